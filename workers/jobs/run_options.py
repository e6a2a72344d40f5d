"""RunOptions: all options with which a catalog or a table is run.

`recast run`, `recast schedule`, `recast.run`, plans and the intake all take a `RunOptions`, and each value is checked
here alone. What is not said keeps what the batch has, or leaves it as it is by default.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any, Self, TypeVar

from models.checks import CheckName
from recast.errors import InvalidJobError
from recast.money import Money, plain
from workers.jobs.request import MAX_PRIORITY, MIN_PRIORITY

MAX_NAME = 200  # characters of an account's or a provider's name
MAX_LABEL = 200  # characters
MAX_DAYS = 36_500  # a century: what is meant to be kept for longer is kept for good
LAST_YEAR = 9999  # in which a moment may be none in another zone
MAX_SAMPLE = 100_000  # rows of a pilot, which people look at
MAX_IN_FLIGHT = 2**31 - 1  # as the database counts
MAX_REDOS = 20  # of one job by its flags: who wants more has another fault to mend

#: Options that are amounts of money, in the deployment's currency.
AMOUNTS = ("max_cost", "redo_cap")

N = TypeVar("N", bound=StrEnum)

_SAMPLE = re.compile(r"(?P<number>[0-9]{1,9}(?:\.[0-9]{1,4})?)(?P<percent>%?)")


class Only(StrEnum):
    """Which rows a run is narrowed to."""

    NEW = "new"
    CHANGED = "changed"
    FAILED = "failed"


class Format(StrEnum):
    """The formats of catalogs."""

    CSV = "csv"
    TSV = "tsv"
    JSONL = "jsonl"
    PARQUET = "parquet"
    XLSX = "xlsx"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """How a catalog is run.

    Raises:
        InvalidJobError: a value is not allowed; it names the field, the value and what is allowed.
    """

    #: Format of the catalog's file, where its name or its server does not say it.
    format: Format | None = None
    #: Sheet of a workbook; by default the first one.
    sheet: str | None = None
    #: Account of rows that name neither account nor provider.
    account: str | None = None
    #: Provider of rows that name neither.
    provider: str | None = None
    #: Whether each row must name the model's release, in its column `consent`.
    require_consent: bool = False
    #: Spending limit of the batch, or of each run of a schedule, in the deployment's currency.
    max_cost: Decimal | None = None
    #: Most jobs of the batch at providers at the same time.
    max_in_flight: int | None = None
    #: Quality checks whose flags ask for a picture again, as long as nobody has judged it.
    redo_flagged: Collection[CheckName] = ()
    #: How often that may be done for one job, 1 by default.
    redo_each: int | None = None
    #: What all of it may cost, repeats included, in the deployment's currency.
    redo_cap: Decimal | None = None
    #: Days after which the pictures of ended jobs are removed.
    keep_days: int | None = None
    #: What the batch is filed under.
    label: str | None = None
    #: Of the rows that are queued now or wait already: higher ones go first.
    priority: int | None = None
    #: Nothing is sent after it: a moment, or a time from the run's start.
    deadline: datetime | timedelta | None = None
    #: Which rows are queued, of those that would be; all where it is empty.
    only: Collection[Only] = ()
    #: How much of the rows is sent before a person decides about the rest: ``1%`` or ``25``.
    pilot: str | None = None
    #: Whether rows that a provider refused are tried again.
    retry_rejected: bool = False
    #: Whether the batch goes on although it was made from another place.
    moved: bool = False
    #: Whether each run of a schedule is a batch of its own, and so does every row again.
    fresh: bool = False

    def __post_init__(self) -> None:
        for name, check in _CHECKS.items():
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, check(name, value))
        if bool(self.redo_flagged) != (self.redo_cap is not None):
            missing = "redo_cap" if self.redo_flagged else "redo_flagged"
            raise InvalidJobError(missing, "redo_flagged says which checks, redo_cap what it may cost; name both")
        if self.redo_each is not None and not self.redo_flagged:
            raise InvalidJobError("redo_each", "it says how often, and redo_flagged names no check")

    def deadline_from(self, start: datetime) -> datetime | None:
        """The moment after which a run that began at `start` sends nothing."""
        return start + self.deadline if isinstance(self.deadline, timedelta) else self.deadline

    def document(self) -> dict[str, Any]:
        """As JSON has it, without what is not said: amounts as text, times from the start in seconds."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        said = {name: value for name, value in values.items() if value is not None and value is not False}
        return {name: _written(value) for name, value in said.items() if value != ()}

    @classmethod
    def parse(cls, values: Mapping[str, Any], currency: str) -> Self:
        """The options that a person or a program gave: amounts as `Money.parse` takes them, all else as it is kept.

        Raises:
            InvalidJobError: a value is not allowed.
        """
        return cls(**{**values, **{name: _parsed(name, values.get(name), currency) for name in AMOUNTS}})

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> Self:
        """The options that `document` gave; of a later version's, those that are known here.

        Raises:
            InvalidJobError: a value is not allowed.
        """
        names = {field.name for field in fields(cls)}
        known = {name: value for name, value in document.items() if name in names and value not in (None, "")}
        known |= {name: Decimal(known[name]) for name in AMOUNTS if name in known}
        if "deadline" in known:
            said = known["deadline"]
            known["deadline"] = datetime.fromisoformat(said) if isinstance(said, str) else timedelta(seconds=said)
        return cls(**known)


def _parsed(field: str, value: object, currency: str) -> Decimal | None:
    try:
        return None if value is None else Money.parse(value, currency).amount
    except ValueError as error:
        raise InvalidJobError(field, str(error)) from None


def _written(value: Any) -> Any:
    if isinstance(value, Decimal):
        return plain(value)
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, datetime):
        return value.isoformat()
    return list(value) if isinstance(value, tuple) else value


# --- Checks: each returns the value as it is kept -----------------------------------------------------------------


def _wrong(field: str, value: object, allowed: str) -> InvalidJobError:
    shown = repr(value) if isinstance(value, str) else str(value)
    return InvalidJobError(field, f"{shown[:80]} is not allowed; allowed: {allowed}")


def _flag(field: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise _wrong(field, value, "true or false")
    return value


def _line(most: int) -> Callable[[str, object], str]:
    def check(field: str, value: object) -> str:
        text = value.strip() if isinstance(value, str) else ""
        if not text or len(text) > most or not text.isprintable():
            raise _wrong(field, value, f"1 to {most} printable characters")
        return text

    return check


def _whole(least: int, most: int) -> Callable[[str, object], int]:
    def check(field: str, value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise _wrong(field, value, f"{least} to {most}")
        return value

    return check


def _amount(field: str, value: object) -> Decimal:
    if not isinstance(value, Decimal) or not value.is_finite() or value <= 0:
        raise InvalidJobError(
            field, f"{str(value)[:80]!r} is not a valid amount; allowed: a number such as 12.50, above 0"
        )
    return value


def _deadline(field: str, value: object) -> datetime | timedelta:
    if isinstance(value, timedelta):
        if not timedelta(0) < value <= timedelta(days=MAX_DAYS):
            raise _wrong(field, value, f"up to {MAX_DAYS} days")
        return value
    if not isinstance(value, datetime):
        raise _wrong(field, value, "a moment, or a time from the run's start")
    if value.tzinfo is None:
        raise _wrong(field, value, "a moment with its time zone")
    if value <= datetime.now(UTC) or value.year >= LAST_YEAR:
        raise _wrong(field, value, f"a moment that has not passed, before the year {LAST_YEAR}")
    return value


def _format(field: str, value: object) -> Format:
    if value not in set(Format):
        raise _wrong(field, value, ", ".join(Format))
    return Format(str(value))


def _some_of(kind: type[N]) -> Callable[[str, object], tuple[N, ...]]:
    def check(field: str, value: object) -> tuple[N, ...]:
        chosen = (value,) if isinstance(value, str) else tuple(value) if isinstance(value, Iterable) else (value,)
        for each in chosen:
            if each not in set(kind):
                raise _wrong(field, each, ", ".join(kind))
        return tuple(dict.fromkeys(map(kind, chosen)))

    return check


def _sample(field: str, value: object) -> str:
    found = _SAMPLE.fullmatch(value.strip()) if isinstance(value, str) else None
    if found is None or not (0 < float(found["number"]) <= (100 if found["percent"] else MAX_SAMPLE)):
        raise _wrong(field, value, f"a share of the rows such as 1%, or a number of rows from 1 to {MAX_SAMPLE:,}")
    if not found["percent"] and "." in found["number"]:
        raise _wrong(field, value, "a whole number of rows, or a share such as 1%")
    return f"{found['number']}{found['percent']}"


_CHECKS: Mapping[str, Callable[[str, object], object]] = {
    "format": _format,
    "sheet": _line(MAX_NAME),
    "account": _line(MAX_NAME),
    "provider": _line(MAX_NAME),
    "require_consent": _flag,
    "max_cost": _amount,
    "max_in_flight": _whole(1, MAX_IN_FLIGHT),
    "redo_flagged": _some_of(CheckName),
    "redo_each": _whole(1, MAX_REDOS),
    "redo_cap": _amount,
    "keep_days": _whole(1, MAX_DAYS),
    "label": _line(MAX_LABEL),
    "priority": _whole(MIN_PRIORITY, MAX_PRIORITY),
    "deadline": _deadline,
    "only": _some_of(Only),
    "pilot": _sample,
    "retry_rejected": _flag,
    "moved": _flag,
    "fresh": _flag,
}

#: A run of which nothing is said.
DEFAULTS = RunOptions()
