"""What a command says of an exception, and its exit code.

Exceptions are known by the names of their classes: one whose module was never imported cannot have been raised, so
none is imported here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from cli.exit_codes import ExitCode
from cli.late import load
from recast.hints import hint
from workers.failures import is_full

_Describe = Callable[[Any], str]

UNDEFINED = frozenset({"42P01", "42703"})  # PostgreSQL: no such table, no such column


def _usage(error: Any) -> str:
    context = getattr(error, "ctx", None)
    advice = f" (see `{context.command_path} --help`)" if context is not None else ""
    # What checks the values of options puts this before what it has to say.
    return f"{error.format_message().replace('Value error, ', '', 1)}{advice}"


def _storage(error: Exception) -> str:
    return f"the storage cannot be used: {error}; correct RECAST_STORAGE_URL or its credentials"


def _broker(error: Exception) -> str:
    where = load("cli.addresses:broker")()
    return f"the broker{where} does not answer: {_first_line(error)}; start it, or correct RECAST_BROKER_URL"


def _broker_refuses(error: Exception) -> str:
    return f"the broker{load('cli.addresses:broker')()} takes nothing now: {_first_line(error)}; make room, or wait"


#: By the class, as ``module:name``. A class that is not here is looked for among those it derives from.
EXPECTED: Mapping[str, tuple[ExitCode, _Describe]] = {
    "typer.exceptions:TyperException": (ExitCode.USAGE, _usage),
    "workers.config.settings:SettingsError": (ExitCode.USAGE, str),
    "workers.config.account_values:AccountsError": (ExitCode.USAGE, str),
    "providers.protocol:CredentialsError": (ExitCode.USAGE, str),
    "catalog.errors:CatalogError": (ExitCode.USAGE, str),
    "recast.errors:InvalidJobError": (ExitCode.USAGE, str),
    "recast.errors:NotConfiguredError": (ExitCode.USAGE, str),
    "workers.schedules.cron:ScheduleError": (ExitCode.USAGE, str),
    "workers.images.roots:OutsideRootsError": (ExitCode.USAGE, str),
    "workers.webhooks.service:UnknownWebhookError": (ExitCode.USAGE, str),
    "desk.verdicts:DeskError": (ExitCode.USAGE, str),
    "desk.people:PersonError": (ExitCode.USAGE, str),
    "desk.tokens:TokenError": (ExitCode.USAGE, str),
    "desk.releases:ReleaseError": (ExitCode.USAGE, str),
    "desk.guests:GuestError": (ExitCode.USAGE, str),
    "desk.passwords:PasswordError": (ExitCode.USAGE, str),
    "desk.actors:ForbiddenError": (ExitCode.USAGE, str),
    "workers.operations.archive_files:ArchiveError": (ExitCode.INFRASTRUCTURE, str),
    "workers.messaging.permissions:NotPermittedError": (ExitCode.INFRASTRUCTURE, str),
    "workers.messaging.refusals:BrokerRefusalError": (ExitCode.INFRASTRUCTURE, _broker_refuses),
    "workers.operations.paid_check:PaidCheckError": (ExitCode.PERSON, str),
    "migrations:MigrationServerError": (ExitCode.INFRASTRUCTURE, str),
    "devstack.errors:NotInstalledError": (ExitCode.USAGE, str),
    "devstack.errors:ServerError": (ExitCode.INFRASTRUCTURE, str),
    "workers.images.results:SigningError": (ExitCode.INFRASTRUCTURE, str),
    "workers.images.storage:StorageError": (ExitCode.INFRASTRUCTURE, _storage),
}
#: Those that are asked for last: an error of the database, or a full disk, may be one of them too.
LINKS: Mapping[str, tuple[ExitCode, _Describe]] = {
    "kombu.exceptions:OperationalError": (ExitCode.INFRASTRUCTURE, _broker),
    "redis.exceptions:RedisError": (ExitCode.INFRASTRUCTURE, _broker),
}
_DRIVERS = ("sqlalchemy", "psycopg")


def explain(error: Exception) -> tuple[ExitCode | None, str]:
    """The exit code and the message for an expected error; the code is None for a bug."""
    if (found := _named(error, EXPECTED)) is not None:
        return found
    if any(kind.__module__.partition(".")[0] in _DRIVERS for kind in type(error).__mro__):
        state = getattr(getattr(error, "orig", None), "sqlstate", None)
        if "ProgrammingError" in {kind.__name__ for kind in type(error).__mro__} and state in UNDEFINED:
            return (
                ExitCode.INFRASTRUCTURE,
                f"the database lacks tables or columns that this version needs; run {hint('db upgrade')}",
            )
        if load("models.availability:is_unavailable")(error):
            return ExitCode.INFRASTRUCTURE, database_away(error, load("cli.addresses:database")())
    if is_full(error):
        what = getattr(error, "filename", None) or "a file"
        return ExitCode.INFRASTRUCTURE, f"no room to write {what}: {_first_line(error)}; make room, then run this again"
    return _named(error, LINKS) or (None, "")


def database_away(error: Exception, where: str, setting: str = "RECAST_DATABASE_URL") -> str:
    """Say that the database at `where`, which `setting` names, cannot be used now."""
    said = _first_line(getattr(error, "orig", error))
    advice = load("models.availability:remedy")(error) or "check that it runs, accepts writes and has room"
    return f"the database{where} cannot be used now: {said}; {advice}, or correct {setting}"


def _named(error: Exception, known: Mapping[str, tuple[ExitCode, _Describe]]) -> tuple[ExitCode, str] | None:
    """What is known of the nearest class of `error`."""
    places = (f"{kind.__module__}:{kind.__qualname__}" for kind in type(error).__mro__)
    found = next((known[place] for place in places if place in known), None)
    return None if found is None else (found[0], found[1](error))


def _first_line(error: object) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
