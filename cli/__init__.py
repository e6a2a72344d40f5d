"""The `recast` command: one module for each family of commands, thin over `catalog`, `workers` and `local`.

    main          assembles the commands, and turns exceptions into messages and exit codes
    output        consoles, tables, and how money and times are written
    environment   what a command works with: the configured deployment, or the embedded stack
    stack         the embedded stack: servers, worker, web, sandbox, as child processes
    run           `run`, with `watch` and `display` for what is seen while it works
    batches       `status`, `jobs`, `show`, `export`
    choosing      how every command is told which jobs are meant
    levers        `cancel`, `retry`, `pause`, `resume`, `reroute`, `reprioritise`
    resolve       `resolve`
    books         `books`, `reconcile`
    accounts      `accounts list|check|close|open|set|reset`, `providers`
    doctor        `doctor`
    services      `up`, `worker`, `beat`, `flower`, `web`, `sandbox`
    database      `db upgrade|check`

Exit codes: 0 all succeeded, 1 some jobs failed, 2 bad usage or input, 3 cannot go on without a person, 4 infrastructure
down, 130 interrupted.
"""
