"""Commands that run the processes of a deployment: each in this terminal, or all with `recast up`."""

from __future__ import annotations

import os
import secrets
import sys
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Annotated, NoReturn
from urllib.parse import urlsplit

import typer

from cli.browser import FOR, signing_in
from cli.environment import SandboxOption, choose, is_external, require_sandbox
from cli.exit_codes import ExitCode
from cli.health import DEFAULT_NAMES, Kind
from cli.late import load
from cli.listeners import bound, url_of
from cli.output import Style, complain, say
from cli.stack import FLOWER, SANDBOX_FOLDER, WEB, Parts, Stack, publish, sandbox_command, web_command
from desk.local_links import is_local
from models.transactions import Database
from recast.hints import hint
from sandbox.door import token_of
from workers import private
from workers.config.passed_over import remove_links
from workers.config.settings import Settings, SettingsError, read, settings
from workers.messaging.app import QUEUES
from workers.messaging.claim import claim_if_possible
from workers.observability.logs import LogLevel, configure_logs

WATCH_SECONDS = 0.5  # between two checks that all processes are running
ORPHAN_SECONDS = 20.0  # less than the 30 s that the next command waits for a leftover worker (`devstack.process`)
PASSWORD_BYTES = 12  # of the password that is generated for a page

ALL_QUEUES = ",".join(QUEUES)

COMMANDS_OF_CELERY = {
    "worker": "celery.bin.worker:worker", "beat": "celery.bin.beat:beat", "flower": "flower.command:flower",
}  # fmt: skip


LogLevelOption = Annotated[LogLevel, typer.Option(case_sensitive=False, help="Lowest level to log.")]


def worker(
    name: Annotated[
        str, typer.Option(help="Name before the @; must differ between workers on one machine.")
    ] = DEFAULT_NAMES[Kind.WORKER],
    queues: Annotated[str, typer.Option(help="Queues to consume, separated by commas.")] = ALL_QUEUES,
    loglevel: LogLevelOption = LogLevel.INFO,
    parent: Annotated[int | None, typer.Option(hidden=True)] = None,
) -> None:
    """Run a worker process."""
    configure_logs(loglevel.number)
    chosen = _needs_broker()
    if parent is not None:
        threading.Thread(target=_follow, args=(parent,), name="follow-parent", daemon=True).start()
    _celery(
        "worker", "--pool=threads", f"--concurrency={chosen.slots}", f"--queues={queues}", f"--hostname={name}@%h",
        "--without-gossip", "--without-mingle", f"--loglevel={loglevel.value}",
    )  # fmt: skip


def beat(loglevel: LogLevelOption = LogLevel.INFO) -> None:
    """Run the beat, which sends the sweeps. Running several is safe."""
    configure_logs(loglevel.number)
    chosen = _needs_broker()
    private.folder(chosen.home)
    if chosen.database_url is not None:
        with closing(Database(chosen.database_url, connections=1)) as database:
            claim_if_possible(database)
    _celery("beat", "--pidfile=", f"--loglevel={loglevel.value}")


def flower(loglevel: LogLevelOption = LogLevel.INFO) -> None:
    """Run Flower, which shows every job as a task. It always requires a password."""
    given = settings().flower_auth
    # Generated before logging starts, because a password does not belong in a log.
    auth = given.get_secret_value() if given else _generated_auth("FLOWER", "Flower") if sys.stderr.isatty() else None
    configure_logs(loglevel.number)
    chosen = _needs_broker()
    if auth is None:
        raise SettingsError("RECAST_FLOWER_AUTH is not set, and Flower requires a password; set it to USER:PASSWORD")
    bound(chosen.flower_address, chosen.flower_port, named_by=FLOWER).close()
    remove_links(os.environ, "FLOWER_")
    os.environ["FLOWER_BASIC_AUTH"] = auth
    os.environ["FLOWER_LOGGING"] = loglevel.value
    _celery("flower", f"--address={chosen.flower_address}", f"--port={chosen.flower_port}")


def web(
    port: Annotated[int | None, typer.Option(help="Port. Default: RECAST_WEB_PORT.")] = None,
    loglevel: LogLevelOption = LogLevel.INFO,
) -> None:
    """Serve pages for people, health, metrics and pictures.

    The pages are for people who were added, or who have RECAST_WEB_AUTH. Providers fetch the pictures.
    """
    configure_logs(loglevel.number)
    chosen = settings()
    if chosen.database_url is None:
        raise SettingsError(_not_configured("DATABASE_URL", chosen))
    bound(chosen.web_host, port or chosen.web_port, named_by=WEB).close()
    _replace_process(web_command(chosen, port or chosen.web_port, loglevel))


def sandbox(
    port: Annotated[int, typer.Option(help="Port; 0 uses a free one.")] = 0,
    home: Annotated[Path | None, typer.Option(help="Folder for the bill, the jobs and the pictures.")] = None,
) -> None:
    """Run only the provider sandbox. It prints its address when it is ready."""
    require_sandbox()
    folder = home or choose(sandbox=True).home / SANDBOX_FOLDER
    _replace_process(sandbox_command(folder, port, child=False))


def up(
    sandbox: SandboxOption = False,
    with_flower: Annotated[bool, typer.Option("--flower", help="Run Flower too.")] = False,
) -> None:
    """Run a whole deployment in this terminal until Ctrl-C.

    It consists of PostgreSQL, Valkey, a worker, a beat and web. It prints a link that signs you in at the
    desk, once. In a folder without accounts.toml, the sandbox stands in for the providers.
    """
    chosen = choose(sandbox=sandbox)
    if not sandbox and _has_no_accounts(chosen):
        complain(
            f"{chosen.accounts_file} does not exist: the sandbox stands in for the providers, without keys and cost; "
            "for your own accounts, copy accounts.example.toml to it",
            style=Style.WAITING,
        )
        sandbox, chosen = True, choose(sandbox=True)
    if not sandbox:
        load("workers.config.accounts:load")(chosen.accounts_file)  # what is wrong is said here, not in a worker's log
    if with_flower and chosen.flower_auth is None:
        os.environ["RECAST_FLOWER_AUTH"] = _generated_auth("FLOWER", "Flower")
    if chosen.web_auth is None and not is_local(urlsplit(url_of(chosen.web_host, chosen.web_port)).netloc):
        os.environ["RECAST_WEB_AUTH"] = _generated_auth("WEB", "the desk")
    parts = Parts(worker=True, web=True, beat=True, flower=with_flower, sandbox=sandbox)
    with Stack(chosen, parts, external=is_external(sandbox=sandbox)) as stack:
        if not stack.owned:
            raise SettingsError(f"a stack is already running in {chosen.home}; stop it, or set another RECAST_HOME")
        _print_addresses(chosen, stack, with_flower=with_flower)
        try:
            while True:
                stack.check()
                time.sleep(WATCH_SECONDS)
        except KeyboardInterrupt:
            complain("stopping; nothing is lost")


def _has_no_accounts(chosen: Settings) -> bool:
    """Whether this is a new folder: no servers are configured, and no accounts file is there or named."""
    named = "accounts_file" in chosen.model_fields_set
    return not is_external(sandbox=False) and not named and not chosen.accounts_file.exists()


def _generated_auth(name: str, what: str) -> str:
    generated = f"recast:{secrets.token_urlsafe(PASSWORD_BYTES)}"
    complain(f"RECAST_{name}_AUTH is not set; until this command ends, {what} uses {generated}", style=Style.WAITING)
    return generated


def _print_addresses(chosen: Settings, stack: Stack, *, with_flower: bool) -> None:
    say("running; Ctrl-C stops it", style="bold")
    say(f"  home     {chosen.home}{os.sep} (logs in {chosen.home / 'logs'})")
    # At this machine, where it works whether or not the public address leads here already.
    base = f"{stack.web_url}{urlsplit(chosen.public_url or '').path.rstrip('/')}"
    link = signing_in(read(), base)
    say(f"  web      {link or f'{base}/batches'}")
    if link is not None:
        say(f"           {FOR}; {hint('open')} prints another one")
    if with_flower:
        say(f"  flower   {url_of(chosen.flower_address, chosen.flower_port)}")
    if stack.sandbox_url is not None:
        token = token_of(chosen.home / SANDBOX_FOLDER)
        say(f"  sandbox  {stack.sandbox_url}")
        say(f"  its bill {stack.sandbox_url}/_sandbox/bill?token={token}")
        say(f"  producers connect with RECAST_HOME={chosen.home}; commands with --sandbox")


def _needs_broker() -> Settings:
    chosen = settings()
    if chosen.broker_url is None:
        raise SettingsError(_not_configured("BROKER_URL", chosen))
    return chosen


def _follow(parent: int) -> None:
    """End the worker of an embedded stack some time after the command that started it was killed.

    The kernel has sent the worker SIGTERM. The worker may still wait for the database, to record paid submissions: the
    next command in this home starts the database again and waits for this worker.
    """
    while os.getppid() == parent:
        time.sleep(WATCH_SECONDS)
    time.sleep(ORPHAN_SECONDS)
    os._exit(ExitCode.INFRASTRUCTURE)


def _not_configured(name: str, chosen: Settings) -> str:
    return f"RECAST_{name} is not set and no embedded stack runs in {chosen.home}; {hint('up')} starts everything"


def _replace_process(command: list[str]) -> NoReturn:
    """Replace this process by a program, so that signals reach the program."""
    publish({})
    os.execv(command[0], command)  # noqa: S606 - no shell is wanted


def _celery(command: str, *arguments: str) -> NoReturn:
    """Run one of Celery's commands in this process with our app, whatever modules the current folder has."""
    # Loaded here because registering the tasks reads the settings, which `--sandbox` may still change.
    app = load("tasks.main:app")
    context = load("celery.bin.base:CLIContext")(app=app, no_color=None, workdir=None, quiet=True)
    # A group of this command alone: that of all of them loads Flower, with a web server, in every worker.
    group = load("click:Group")("celery", commands={command: load(COMMANDS_OF_CELERY[command])})
    # As `app.start` does, which gives no exit code: a worker that ends over an error must not look well.
    raise typer.Exit(group.main(args=[command, *arguments], obj=context, standalone_mode=False) or ExitCode.OK)
