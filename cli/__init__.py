"""The `recast` command: one module for each family of commands, thin over `catalog`, `workers` and `reports`.

    main          the entry point
    tree          the table of commands, from which the one that is called is loaded
    sections      the sections and the examples of `--help`
    late          names that are loaded when they are needed
    failures      messages and exit codes for exceptions
    addresses     the database and the broker, as messages name them
    exit_codes    what each exit code means
    logs          the log of a command
    output        consoles, tables, JSON, and how money and times are written
    parameters    parameters that several commands share
    environment   the settings of a command, and the database of its deployment
    deployment    the deployment with everything that a worker has, for commands that do more than read rows
    reach         the accounts and pictures that a command's jobs can use
    completion    names that a shell completes
    stack         the embedded stack: servers, worker, web and sandbox as child processes
    ownership     what the owner of an embedded stack does to its servers
    sandbox_accounts  the accounts file of a sandbox
    filters       options that select jobs
    run           `run`
    run_options   options of a run, also of `schedule add`
    plan          the plan of `run --dry-run`
    questions     the questions of `run` before anything is enqueued
    hints         the command that is running, written again for hints on how to continue
    watch         the watch over a batch until it ends
    display       the progress that `run` shows
    summary       the messages of `run` about its rows and its end
    batches       `status`
    progress      progress of batches as tables, text and JSON
    following     `watch`, `status --watch`
    browser       `open`
    service_logs  `logs`
    jobs          `jobs`
    export        `export`
    show          `show`
    bulk          `cancel`, `retry`, `pause`, `resume`, `reroute`, `set-priority`
    impact        what a bulk operation is about to change, and the confirmation before a large one
    resolve       `resolve`
    housekeeping  `forget`, `prune`
    spend         `books`, `reconcile`
    accounts      `accounts list|check|stop|start|set|reset`
    paid_check    `accounts check --paid`
    providers     `providers`
    schedules     `schedule add|list|show|history|pause|resume|run|remove`
    webhooks      `webhooks add|list|deliveries|retry|test|rotate|off|on|remove`
    doctor        `doctor`
    sign_on       what `doctor` says of single sign-on
    verdict       `verdict`
    selections    verdicts about a batch's pictures
    guests        `guests add|list|revoke`
    services      `up`, `worker`, `beat`, `flower`, `web`, `sandbox`
    health        `health`
    database      `db upgrade|check|restored`

Exit codes: 0 everything succeeded, 1 some jobs failed, 2 wrong usage or input, 3 a decision by a person is needed,
4 a service does not answer, 130 interrupted.
"""
