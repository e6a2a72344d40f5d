"""Runs of tables from a program, as `recast run` runs a catalog.

    from recast import run
    batch = run(frame, name="spring")          # mappings, a pandas or polars frame, or a catalog's path
    batch.wait()
    for row in batch.results():
        print(row["key"], row["state"], [each["uri"] for each in row["results"]])
    redo("spring", verdict="needs_work", max_cost="2.50")

Sending jobs needs only this package. Running a table needs the server's packages, database and accounts file: the first
call loads them, by name.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from importlib import import_module
from importlib.util import find_spec
from os import PathLike
from pathlib import Path
from typing import Any, Literal, Protocol, TypedDict, cast

from recast.errors import RecastError
from recast.money import Money

SERVER_DISTRIBUTION = "recast-server"
#: Its packages that are loaded here; a producer's own module with such a name would hide them.
SERVER_PACKAGES = ("models", "providers", "faces", "workers", "catalog", "reports", "desk")

#: An amount of money: as text such as ``"12.50"`` or as a number, in the deployment's currency, or with its own.
Amount = Money | Decimal | int | str
CatalogFormat = Literal["csv", "tsv", "jsonl", "parquet", "xlsx"]
CatalogRows = Literal["new", "changed", "failed"]


class ServerPackagesError(RecastError):
    """The server's packages cannot be loaded in this program; the message says what to do."""


class BatchError(RecastError):
    """Base of the errors of a batch."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(name, message)
        self.name = name
        self.message = message

    def __str__(self) -> str:
        return f"{self.name}: {self.message}"


class BatchWaitError(BatchError):
    """A batch took longer than the timeout; its jobs continue."""


class BatchStuckError(BatchError):
    """A batch cannot continue without a person; the message says what to do."""


class Frame(Protocol):
    """A pandas or polars frame."""

    @property
    def columns(self) -> Any:
        """The names of the columns."""
        ...


class Result(TypedDict):
    """One picture of a job."""

    index: int
    uri: str
    sha256: str
    size: int
    media_type: str
    width: int
    height: int


class Outcome(TypedDict):
    """A job of a batch and its present state; `cost` is the cost of all its attempts."""

    key: str
    state: str
    reason: str | None
    error: str | None
    account: str | None
    operation: str | None
    cost: Money
    attempts: int
    results: list[Result]
    metadata: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch in the database: what a call of `run` did, and the progress of its jobs."""

    name: str
    #: Rows that this call queued: new, retried after a failure, and changed.
    new: int = 0
    retried: int = 0
    changed: int = 0
    #: Rows that are done or in progress.
    unchanged: int = 0
    #: The highest cost of the queued rows, each submitted once; None for a batch from `recast.batch`.
    cost: Money | None = None
    #: The same with every attempt that may be paid: what this call can cost at most.
    at_most: Money | None = None

    def counts(self) -> dict[str, int]:
        """The number of the batch's jobs in each state, from this call and earlier ones."""
        counts: dict[str, int] = server("reports.progress").counts(self.name)
        return counts

    def wait(self, timeout: float | None = None) -> dict[str, int]:
        """Wait until no job needs a worker, and return the counts.

        Args:
            timeout: seconds; None waits without limit.

        Raises:
            BatchWaitError: the timeout is over; the jobs continue.
            BatchStuckError: the batch cannot continue without a person; the message says what to do.
        """
        counts: dict[str, int] = server("reports.progress").wait(self.name, timeout)
        return counts

    def results(self) -> Iterator[Outcome]:
        """The jobs in the order of the table, with their pictures and metadata; read in portions."""
        outcomes: Iterator[Outcome] = server("reports.progress").outcomes(self.name)
        return outcomes


def run(
    table: Iterable[Mapping[str, Any]] | Frame | str | PathLike[str], *, name: str | None = None,
    folder: str | PathLike[str] | None = None, moved: bool = False, format: CatalogFormat | None = None,  # noqa: A002
    sheet: str | None = None, account: str | None = None, provider: str | None = None, require_consent: bool = False,
    max_cost: Amount | None = None, max_in_flight: int | None = None, redo_flagged: Collection[str] = (),
    redo_each: int | None = None, redo_cap: Amount | None = None, keep_days: int | None = None,
    label: str | None = None, priority: int | None = None, deadline: datetime | timedelta | None = None,
    only: Collection[CatalogRows] | None = None, pilot: str | None = None, retry_rejected: bool = False,
) -> Batch:  # fmt: skip
    """Check every row of a table and enqueue those that are new, changed or failed; return at once.

    Args:
        table: mappings with a catalog's columns (others are metadata), a frame of them, or a catalog's path or address.
        name: the batch's name, which identifies its rows in later runs; for a catalog, by default its file's name.
        folder: what relative paths of a table are relative to; the working folder by default.
        format: the format of a catalog whose name or server does not tell it.
        sheet: the sheet of a workbook; by default the first one.
        account: the account of rows that name neither account nor provider.
        provider: the provider of rows that name neither.
        require_consent: whether each row needs the reference of a model release in its column ``consent``.
        max_cost: spending limit for the whole batch: ``"12.50"``, in the deployment's currency, or `Money`.
        max_in_flight: most of its jobs at providers at a time.
        redo_flagged: quality checks, such as ``"no_face"``, whose flags ask for a picture again.
        redo_each: how often that is done for one job; 1 by default.
        redo_cap: what such redos may cost in the batch, repeats included.
        keep_days: days after which the pictures of ended jobs are removed.
        label: label for the batch, for filters and sums.
        priority: from -100 to 100; higher ones go first.
        deadline: a time with a time zone, or a duration from now, after which no job is sent.
        pilot: how much of the rows to send before a person decides about the rest: ``"1%"`` or ``"25"``.
        only: which of these rows to queue; all if it is left out.
        retry_rejected: whether to retry rejected rows.
        moved: whether to continue the batch although it was made from another catalog or `folder`.

    Raises:
        CatalogError: of `catalog.errors`; nothing was enqueued: `BadRowsError` with `mistakes`, or `OtherPlaceError`.
        InvalidJobError: another argument is not valid.
        RecastError: no deployment is configured, its accounts file cannot be used, or packages are missing.
    """
    return cast("Batch", server("catalog.runs").run(**locals()))


def batch(name: str) -> Batch:
    """The batch called `name`.

    Raises:
        catalog.errors.UnknownBatchError: there is no such batch.
        ServerPackagesError: this program has only the producers' package, or hides one of the others.
        RecastError: no deployment is configured.
    """
    found: Batch = server("reports.progress").find_batch(name)
    return found


@dataclass(frozen=True, slots=True)
class Redone:
    """What a call of `redo` would do, and did: `done` jobs are sent again, 0 after a dry run."""

    jobs: int
    done: int
    #: All pictures, each paid once.
    cost: Money
    #: The same with every attempt that may be paid: what this call can cost at most.
    at_most: Money
    #: Why jobs are left out, and how many for each reason.
    left_out: Mapping[str, int]


def redo(
    batch: str | None = None, *keys: str, jobs: Collection[str] | None = None, singles: bool = False,
    verdict: Literal["unreviewed", "approved", "needs_work"] | None = None, reason: str | None = None,
    check: Collection[str] | None = None, account: str | None = None, operation: str | None = None,
    seed: int | None = None, options: Mapping[str, Any] | None = None, to: str | None = None,
    to_operation: str | None = None, max_cost: Amount | None = None, dry_run: bool = False,
) -> Redone:  # fmt: skip
    """Ask for pictures again as new versions of their jobs, which pays again, and return at once.

    A job keeps its picture until the new one is there. If none comes, it is what it was. An empty list of `jobs` or of
    `check` is refused, as it would choose nothing; without any `keys`, the whole batch is meant.

    Args:
        batch: the batch whose pictures are chosen; with `keys`, only these rows of it.
        keys: of rows in the batch.
        jobs: ids of jobs, instead of a batch.
        singles: whether pictures of jobs that came one by one are chosen, instead of a batch.
        verdict: only pictures with this verdict.
        reason: only pictures whose verdict gives this reason.
        check: only pictures that one of these quality checks flags, such as ``["no_face"]``; ``["any"]`` for all.
        account: only pictures that were last sent to, or pinned to, this account.
        operation: only pictures of this operation.
        seed: another seed, where the operation has one.
        options: other values of options; None takes one away.
        to: the account to send them to.
        to_operation: the operation to use.
        max_cost: nothing is sent if it may cost more than this: ``"2.50"``, in the deployment's currency, or `Money`.
        dry_run: whether to count only.

    Raises:
        catalog.errors.CatalogError: there is no such batch or job.
        InvalidJobError: an argument is not valid, it may cost more than `max_cost`, or nothing is named.
        RecastError: no deployment is configured, its accounts file cannot be used, or packages are missing.
    """
    redone: Redone = server("desk.programs").redo(**locals())
    return redone


_NEED = "recast.run, batch, pilot, review and redo need"


def server(module: str) -> Any:
    """A module of the server's distribution.

    Raises:
        ServerPackagesError: it is not there, or a module of the program's own hides it.
    """
    advice = f"{_NEED} the {SERVER_DISTRIBUTION} distribution: pip install {SERVER_DISTRIBUTION}"
    home = _home()
    if home is None:
        raise ServerPackagesError(advice)
    for package in SERVER_PACKAGES:
        place = _place(package)
        if place is not None and not place.is_relative_to(home / package):
            raise ServerPackagesError(
                f"{_NEED} the server's package {package!r}, but {place} hides it: rename that, or start "
                "Python with -P, so that the program's own folder is not searched first"
            )
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        raise ServerPackagesError(f"{advice} ({error})") from error


def _home() -> Path | None:
    """The folder of the server's packages: next to this package, or anywhere on Python's path."""
    for folder in (Path(__file__).parents[1], *map(Path, sys.path)):
        if (folder / "catalog" / "runs.py").is_file():
            return folder.resolve()
    return None


def _place(package: str) -> Path | None:
    """The file or folder from which Python imports `package`; None if it finds nothing."""
    loaded = sys.modules.get(package)
    if loaded is not None:
        return Path(loaded.__file__).resolve() if loaded.__file__ else None
    spec = find_spec(package)
    if spec is None:
        return None
    # A namespace package has no file of its own; Python prefers any regular package to it.
    place = spec.origin or next(iter(spec.submodule_search_locations or ()), None)
    return Path(place).resolve() if place else None
