"""Running a table of jobs from a program, as `recast run` runs a catalog.

    from recast import run
    batch = run(frame, name="spring")          # mappings, a pandas or polars frame, or a catalog's path
    batch.wait()
    for row in batch.results():
        print(row["key"], row["state"], [each["uri"] for each in row["results"]])

The machinery behind it is loaded by the first call, so that `import recast` stays light.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, TypedDict

from recast.errors import InvalidJobError, RecastError

LOOK_SECONDS = 0.5  # between two looks at one row of the database
JUDGE_SECONDS = 5.0  # between looks at what may keep a batch from ever going on


class BatchError(RecastError):
    """What is to be said of a batch, by its name."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(name, message)
        self.name = name
        self.message = message

    def __str__(self) -> str:
        return f"{self.name}: {self.message}"


class BatchWaitError(BatchError):
    """A batch took longer than somebody wanted to wait; its jobs go on."""


class BatchStuckError(BatchError):
    """A batch cannot go on without a person; the message says what to do."""


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
    """A job of a batch, as it stands."""

    key: str
    state: str
    reason: str | None
    error: str | None
    account: str | None
    operation: str | None
    cost: Decimal
    attempts: int
    results: list[Result]
    metadata: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch in the database: what a call of `run` did, and how its jobs stand."""

    name: str
    #: What this call queued: rows that are new, tried again after a failure, and changed.
    new: int = 0
    retried: int = 0
    changed: int = 0
    #: Rows that were done, or on their way.
    unchanged: int = 0
    #: What the queued rows cost at most, each submitted once.
    cost: Decimal = Decimal(0)

    def counts(self) -> dict[str, int]:
        """How many jobs of the batch, from this call and former ones, stand in each state."""
        find = import_module("reports.batch").find

        return dict(_runtime().db(find, self.name).counts)

    def wait(self, timeout: float | None = None) -> dict[str, int]:
        """Wait until no job needs a worker any more, and return the counts.

        Args:
            timeout: seconds; None waits for as long as it takes.

        Raises:
            BatchWaitError: the time is over; the jobs go on.
            BatchStuckError: the batch cannot go on without a person; the message says what to do.
        """
        find = import_module("reports.batch").find
        needs_person = import_module("reports.batch").needs_person

        runtime = _runtime()
        ends = None if timeout is None else time.monotonic() + timeout
        judge_at = 0.0
        while True:
            report = runtime.db(find, self.name)
            if report.settled:
                return dict(report.counts)
            now = time.monotonic()
            if now >= judge_at:
                judge_at = now + JUDGE_SECONDS
                if stuck := runtime.db(needs_person, report, runtime.accounts):
                    raise BatchStuckError(self.name, stuck)
            if ends is not None and now >= ends:
                raise BatchWaitError(self.name, f"{report.open} of {report.total} jobs are not over")
            time.sleep(LOOK_SECONDS if ends is None else min(LOOK_SECONDS, ends - now))

    def results(self) -> Iterator[Outcome]:
        """The jobs in the order of the table, with their pictures and metadata; read in portions."""
        find = import_module("reports.batch").find
        jobs_of = import_module("reports.export").jobs_of

        runtime = _runtime()
        batch_id = runtime.db(find, self.name).id
        with runtime.sessions.begin() as session:
            for job in jobs_of(session, batch_id, runtime.storage):
                yield {
                    "key": job.key, "state": job.state, "reason": job.reason, "error": job.error,
                    "account": job.account, "operation": job.operation, "cost": job.cost, "attempts": job.attempts,
                    "results": [_result(each) for each in job.results], "metadata": dict(job.extra),
                }  # fmt: skip


def run(
    table: Iterable[Mapping[str, Any]] | str | Path | Any,
    *,
    name: str | None = None,
    folder: str | Path | None = None,
    account: str | None = None,
    provider: str | None = None,
    max_cost: Decimal | str | None = None,
    max_in_flight: int | None = None,
    only: Collection[Literal["new", "changed", "failed"]] = (),
    retry_rejected: bool = False,
    label: str | None = None,
    priority: int | None = None,
    deadline: datetime | None = None,
) -> Batch:
    """Check every row of a table and enqueue those that are new, changed or failed; return at once.

    Args:
        table: mappings with the columns of a catalog (``key``, ``kind``, ``source``, ``target``, ...; others are
            metadata), a pandas or polars frame of them, or the path or address of a catalog.
        name: of the batch, by which its rows are found again; a catalog's is its file's name by default.
        folder: what relative paths of a table are relative to; the working folder by default.
        account: of rows that name neither account nor provider.
        provider: of rows that name neither.
        max_cost: most money the batch may spend over its life, in the deployment's currency.
        max_in_flight: most of its jobs at providers at the same time.
        only: which rows are queued; all that need it by default.
        retry_rejected: whether rows that a provider refused are tried again.
        label: a word of yours for the batch.
        priority: from -100 to 100; higher ones go first.
        deadline: a moment, with a time zone, after which nothing is sent any more.

    Raises:
        catalog.errors.BadRowsError: rows are wrong; its `mistakes` name line, column and reason. Nothing was enqueued.
        catalog.errors.CatalogError: the table cannot be used at all.
        InvalidJobError: one of the other arguments is wrong.
    """
    Defaults = import_module("catalog.checks").Defaults  # noqa: N806 - a class
    Only = import_module("catalog.enqueue").Only  # noqa: N806 - a class
    enqueue = import_module("catalog.enqueue").enqueue
    take_in = import_module("catalog.intake").take_in
    open_rows = import_module("catalog.rows").open_rows
    TableRows = import_module("catalog.tables").TableRows  # noqa: N806 - a class

    terms = _terms(max_cost, max_in_flight, only, label, priority, deadline)
    runtime = _runtime()
    if isinstance(table, str | Path):
        rows = open_rows(table)
    elif name is None:
        raise InvalidJobError("name", "is missing; a table's rows are found again by it")
    else:
        rows = TableRows(table, name, Path(folder) if folder is not None else None)
    with take_in(rows, runtime.accounts, runtime.reach, name=name, defaults=Defaults(account, provider)) as intake:
        terms["only"] = [Only(each) for each in only]
        done = enqueue(runtime, intake, retry_rejected=retry_rejected, **terms)
    return Batch(done.name, done.new, done.retried, done.changed, done.unchanged, done.cost)


def batch(name: str) -> Batch:
    """The batch called `name`, to look at.

    Raises:
        catalog.errors.UnknownBatchError: there is none.
    """
    find = import_module("reports.batch").find

    return Batch(_runtime().db(find, name).name)


def _runtime() -> Any:
    runtime = import_module("workers.engine.runtime").runtime

    return runtime()


def _result(each: Mapping[str, Any]) -> Result:
    return {
        "index": each["index"], "uri": each["uri"], "sha256": each["sha256"], "size": each["size"],
        "media_type": each["media_type"], "width": each["width"], "height": each["height"],
    }  # fmt: skip


def _terms(
    max_cost: Decimal | str | None,
    max_in_flight: int | None,
    only: Collection[str],
    label: str | None,
    priority: int | None,
    deadline: datetime | None,
) -> dict[str, Any]:
    MAX_PRIORITY = import_module("workers.jobs.request").MAX_PRIORITY  # noqa: N806 - a class
    MIN_PRIORITY = import_module("workers.jobs.request").MIN_PRIORITY  # noqa: N806 - a class

    try:
        cost = None if max_cost is None else Decimal(max_cost)
    except ArithmeticError:
        cost = Decimal("NaN")
    if cost is not None and not (cost.is_finite() and cost > 0):
        raise InvalidJobError("max_cost", f"{max_cost!r} is no sum of money")
    if max_in_flight is not None and max_in_flight < 1:
        raise InvalidJobError("max_in_flight", f"{max_in_flight!r} is not allowed; allowed: 1 or more")
    if unknown := [each for each in only if each not in {"new", "changed", "failed"}]:
        raise InvalidJobError("only", f"{unknown[0]!r} is unknown; allowed: new, changed, failed")
    if priority is not None and not MIN_PRIORITY <= priority <= MAX_PRIORITY:
        raise InvalidJobError("priority", f"{priority!r} is not allowed; allowed: {MIN_PRIORITY} to {MAX_PRIORITY}")
    if deadline is not None and deadline.tzinfo is None:
        raise InvalidJobError("deadline", f"{deadline!r} has no time zone")
    return {
        "max_cost": cost, "max_in_flight": max_in_flight, "label": label, "priority": priority, "deadline": deadline,
    }  # fmt: skip
