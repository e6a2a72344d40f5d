"""The `recast` command: the tree of its commands, and the messages and exit codes for exceptions."""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from types import FrameType

import structlog
import typer
from kombu.exceptions import OperationalError as BrokerError
from redis.exceptions import RedisError
from sqlalchemy.exc import ProgrammingError
from typer.exceptions import TyperException

from catalog.errors import CatalogError
from cli import accounts, batches, bulk, housekeeping, services, spend
from cli.database import db
from cli.doctor import doctor
from cli.exit_codes import ExitCode
from cli.output import Style, complain
from cli.providers import providers
from cli.redownload import redownload
from cli.resolve import resolve
from cli.run import run
from cli.schedules import schedules
from cli.show import show
from cli.webhooks import webhooks
from devstack.errors import ServerError
from models.address import conninfo, place
from models.availability import is_unavailable
from providers.protocol import CredentialsError
from recast.address import parse
from recast.errors import InvalidJobError
from recast.hints import hint
from workers import private
from workers.config.account_values import AccountsError
from workers.config.settings import SettingsError, read
from workers.failures import is_full
from workers.images.roots import OutsideRootsError
from workers.images.storage import StorageError
from workers.observability.logs import are_configured
from workers.operations.paid_check import PaidCheckError
from workers.schedules.cron import ScheduleError
from workers.webhooks.service import UnknownWebhookError

TERMINATED = 128 + signal.SIGTERM
log = structlog.get_logger()

UNDEFINED = frozenset({"42P01", "42703"})  # PostgreSQL: no such table, no such column

app = typer.Typer(
    name="recast",
    help="Bulk face swaps and portraits through image APIs that are slow, rate-limited and billed per call.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command()(run)
app.command()(batches.status)
app.command()(batches.jobs)
app.command()(show)
app.command()(batches.export)
app.command()(resolve)
for operation in (bulk.cancel, bulk.retry, bulk.pause, bulk.resume, bulk.reroute, bulk.set_priority):
    app.command()(operation)
app.command()(redownload)
app.command("reprioritise", hidden=True)(bulk.set_priority)
app.command()(housekeeping.forget)
app.command()(housekeeping.prune)
app.command()(spend.books)
app.command()(spend.reconcile)
app.command()(providers)
app.add_typer(accounts.accounts, name="accounts")
app.add_typer(schedules, name="schedule")
app.add_typer(webhooks, name="webhooks")
for command in (
    services.up,
    services.worker,
    services.beat,
    services.flower,
    services.web,
    services.sandbox,
    services.health,
):
    app.command()(command)
app.command()(doctor)
app.add_typer(db, name="db")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    signal.signal(signal.SIGTERM, _terminate)
    private.begin()
    _log_to_standard_error()
    try:
        return app(args=arguments, standalone_mode=False) or ExitCode.OK
    except (KeyboardInterrupt, typer.Abort):
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        # The reader of our output (`| head`) has ended; without this the interpreter prints an error at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.OK
    except Exception as error:
        code, message = explain(error)
        if code is None:
            raise
        _report(message)
        return code


def _report(message: str) -> None:
    """Report why a command failed: in the log of a service, on standard error for any other command."""
    if are_configured():
        log.critical("not_started", error=message)
        return
    with suppress(OSError):  # standard error may be a file on a full disk: the exit code says it too
        complain(message, style=Style.BAD)


def explain(error: Exception) -> tuple[ExitCode | None, str]:
    """The exit code and the message for an expected error; the code is None for a bug."""
    for kinds, code, describe in _EXPECTED:
        if isinstance(error, kinds):
            return code, describe(error)
    state = getattr(getattr(error, "orig", None), "sqlstate", None)
    if isinstance(error, ProgrammingError) and state in UNDEFINED:
        return (
            ExitCode.INFRASTRUCTURE,
            f"the database lacks tables or columns that this version needs; run {hint('db upgrade')}",
        )
    if is_unavailable(error):
        where = _at(place(conninfo(read().database_url or "postgresql://")))
        said = _first_line(getattr(error, "orig", error))
        advice = "check that it runs, accepts writes and has room, or correct RECAST_DATABASE_URL"
        return ExitCode.INFRASTRUCTURE, f"the database{where} cannot be used now: {said}; {advice}"
    if is_full(error):
        what = getattr(error, "filename", None) or "a file"
        return ExitCode.INFRASTRUCTURE, f"no room to write {what}: {_first_line(error)}; make room, then run this again"
    if isinstance(error, BrokerError | RedisError):
        chosen = read().broker_url
        where = _at(parse(chosen).place if chosen else "")
        advice = "start it, or correct RECAST_BROKER_URL"
        return ExitCode.INFRASTRUCTURE, f"the broker{where} does not answer: {_first_line(error)}; {advice}"
    return None, ""


def _usage(error: Exception) -> str:
    context = getattr(error, "ctx", None)
    advice = f" (see `{context.command_path} --help`)" if context is not None else ""
    return f"{error.format_message()}{advice}" if isinstance(error, TyperException) else str(error)


_EXPECTED: Sequence[tuple[tuple[type[Exception], ...], ExitCode, Callable[[Exception], str]]] = (
    ((TyperException,), ExitCode.USAGE, _usage),
    (
        (
            SettingsError,
            AccountsError,
            CredentialsError,
            CatalogError,
            InvalidJobError,
            ScheduleError,
            OutsideRootsError,
        ),
        ExitCode.USAGE,
        str,
    ),
    ((UnknownWebhookError,), ExitCode.USAGE, str),
    ((PaidCheckError,), ExitCode.PERSON, str),
    ((ServerError,), ExitCode.INFRASTRUCTURE, str),
    (
        (StorageError,),
        ExitCode.INFRASTRUCTURE,
        "the storage cannot be used: {}; correct RECAST_STORAGE_URL or its credentials".format,
    ),
)


def _log_to_standard_error() -> None:
    """Log warnings to standard error, because standard output is for the command's result."""
    structlog.configure(
        processors=[structlog.processors.add_log_level, structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())],
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def _terminate(_: int, __: FrameType | None) -> None:
    """Exit through exceptions, so that the embedded stack is stopped."""
    raise SystemExit(TERMINATED)


def _at(place: str) -> str:
    return f" at {place}" if place else ""


def _first_line(error: object) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
