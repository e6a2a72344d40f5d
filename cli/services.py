"""The processes of a deployment: each in this terminal, or all of them with `recast up`."""

from __future__ import annotations

import os
import secrets
import sys
import threading
import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from cli.environment import SandboxOption, choose, is_external
from cli.output import Code, Style, complain, emit, say
from cli.stack import SANDBOX_FOLDER, Parts, Stack, publish, sandbox_command, web_command
from workers.config.settings import Settings, SettingsError, settings
from workers.messaging.app import QUEUES
from workers.messaging.heartbeat import file_of
from workers.observability.health import judge
from workers.observability.logs import LogLevel, configure_logs

WATCH_SECONDS = 0.5  # between looks at whether all processes still run
ORPHAN_SECONDS = 20.0  # less than the next command waits for a leftover worker, which is `devstack.process`'s 30 s
PASSWORD_BYTES = 12  # of a page's password when none is set

ALL_QUEUES = ",".join(QUEUES)


class Kind(StrEnum):
    """The processes that write a heartbeat."""

    WORKER = "worker"
    BEAT = "beat"


LogLevelOption = Annotated[LogLevel, typer.Option(case_sensitive=False, help="The log begins with this level.")]
DEFAULT_NAMES = {Kind.WORKER: "recast", Kind.BEAT: "beat"}


def worker(
    name: Annotated[
        str, typer.Option(help="Its name before the @; two workers on one machine need two.")
    ] = DEFAULT_NAMES[Kind.WORKER],
    queues: Annotated[str, typer.Option(help="The queues to work on, separated by commas.")] = ALL_QUEUES,
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
    """Run the beat, which sends the sweeps; several do no harm."""
    configure_logs(loglevel.number)
    _needs_broker().home.mkdir(parents=True, exist_ok=True)
    _celery("beat", "--pidfile=", f"--loglevel={loglevel.value}")


def flower(loglevel: LogLevelOption = LogLevel.INFO) -> None:
    """Run Flower, which shows every job as a task; always behind a password."""
    given = settings().flower_auth
    # Made up before the log begins, which is no place for a password.
    auth = given.get_secret_value() if given else _made_up_auth("FLOWER", "Flower") if sys.stderr.isatty() else None
    configure_logs(loglevel.number)
    chosen = _needs_broker()
    if auth is None:
        raise SettingsError("RECAST_FLOWER_AUTH is not set, and Flower is always behind a password; set USER:PASSWORD")
    os.environ["FLOWER_BASIC_AUTH"] = auth
    os.environ["FLOWER_LOGGING"] = loglevel.value
    _celery("flower", f"--address={chosen.flower_address}", f"--port={chosen.flower_port}")


def web(
    port: Annotated[int | None, typer.Option(help="RECAST_WEB_PORT by default.")] = None,
    loglevel: LogLevelOption = LogLevel.INFO,
) -> None:
    """Serve the gallery (with RECAST_WEB_AUTH), health, and the pictures that providers fetch."""
    configure_logs(loglevel.number)
    chosen = settings()
    if chosen.database_url is None:
        raise SettingsError(_nothing("DATABASE_URL", chosen))
    _become(web_command(chosen, port or chosen.web_port, loglevel))


def sandbox(
    port: Annotated[int, typer.Option(help="0 takes a free one.")] = 0,
    home: Annotated[Path | None, typer.Option(help="Keeps the bill, the jobs and the pictures.")] = None,
) -> None:
    """Run the provider sandbox alone; it prints its address when it is ready."""
    folder = home or choose(sandbox=True).home / SANDBOX_FOLDER
    _become(sandbox_command(folder, port, child=False))


def health(
    kind: Annotated[Kind, typer.Argument(help="What to look at.")] = Kind.WORKER,
    name: Annotated[str | None, typer.Option(help="NAME or NAME@HOST of a process that has another name.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Tell whether a worker or beat of this machine can do its work, by the heartbeat it writes after real work."""
    called = name or DEFAULT_NAMES[kind]
    verdict = judge(file_of(settings().home, called))
    if as_json:
        emit({"kind": kind, "name": called, **verdict.document()})
    elif verdict.healthy:
        say(f"{kind} {called} is well: {', '.join(verdict.parts)} answered {verdict.age:.0f} s ago", style=Style.GOOD)
    else:
        for reason in verdict.reasons:
            complain(f"{kind} {called}: {reason}", style=Style.BAD)
    raise typer.Exit(Code.OK if verdict.healthy else Code.INFRASTRUCTURE)


def up(
    sandbox: SandboxOption = False,
    with_flower: Annotated[bool, typer.Option("--flower", help="Run Flower too.")] = False,
) -> None:
    """Run the whole deployment in this terminal until Ctrl-C: servers, worker, beat and web."""
    chosen = choose(sandbox=sandbox)
    if with_flower and chosen.flower_auth is None:
        os.environ["RECAST_FLOWER_AUTH"] = _made_up_auth("FLOWER", "Flower")
    if chosen.web_auth is None:
        os.environ["RECAST_WEB_AUTH"] = _made_up_auth("WEB", "the gallery")
    parts = Parts(worker=True, web=True, beat=True, flower=with_flower, sandbox=sandbox)
    with Stack(chosen, parts, external=is_external(sandbox=sandbox)) as stack:
        if not stack.owned:
            raise SettingsError(f"a stack runs in {chosen.home} already; stop it first, or use another RECAST_HOME")
        _tell_addresses(chosen, stack, with_flower=with_flower)
        try:
            while True:
                stack.check()
                time.sleep(WATCH_SECONDS)
        except KeyboardInterrupt:
            complain("stopping; nothing is lost")


def _made_up_auth(name: str, what: str) -> str:
    made = f"recast:{secrets.token_urlsafe(PASSWORD_BYTES)}"
    complain(f"RECAST_{name}_AUTH is not set; for this time {what} takes {made}", style=Style.WAITING)
    return made


def _tell_addresses(chosen: Settings, stack: Stack, *, with_flower: bool) -> None:
    say("up; Ctrl-C stops it", style="bold")
    say(f"  home     {chosen.home}{os.sep} (logs in {chosen.home / 'logs'})")
    say(f"  web      {os.environ.get('RECAST_PUBLIC_URL') or f'http://{chosen.web_host}:{chosen.web_port}'} (gallery)")
    if with_flower:
        say(f"  flower   http://{chosen.flower_address}:{chosen.flower_port}")
    if stack.sandbox_url is not None:
        say(f"  sandbox  {stack.sandbox_url} (its bill: {stack.sandbox_url}/_sandbox/bill)")
        say(f"  producers join with RECAST_HOME={chosen.home}; commands with --sandbox")


def _needs_broker() -> Settings:
    chosen = settings()
    if chosen.broker_url is None:
        raise SettingsError(_nothing("BROKER_URL", chosen))
    return chosen


def _follow(parent: int) -> None:
    """End, in the worker of an embedded stack, some time after the command that started it was killed.

    The kernel has told the worker to stop then. What it still waits for is the database, to record what was paid for:
    the next command in this home brings it back, and waits for us.
    """
    while os.getppid() == parent:
        time.sleep(WATCH_SECONDS)
    time.sleep(ORPHAN_SECONDS)
    os._exit(Code.INFRASTRUCTURE)


def _nothing(name: str, chosen: Settings) -> str:
    return f"RECAST_{name} is not set and no embedded stack runs in {chosen.home}; `recast up` starts everything"


def _become(command: list[str]) -> NoReturn:
    """Run a program in place of this one, so that signals reach it."""
    publish({})
    os.execv(command[0], command)  # noqa: S606 - no shell is wanted


def _celery(*arguments: str) -> None:
    """Run a command of Celery's in this process, with our app, whatever lies in the working folder."""
    # Here and not above: registering the tasks reads the settings, which `--sandbox` has yet to decide elsewhere.
    from tasks.main import app  # noqa: PLC0415

    raise typer.Exit(app.start(["--quiet", *arguments]) or 0)
