"""Acceptance of producers' jobs, a group of messages in one transaction; catalogs use COPY, see `catalog`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from operator import attrgetter

import structlog
from sqlalchemy import Row, text
from sqlalchemy.orm import Session

from models.availability import is_unavailable
from models.bulk import Bulk
from models.fragments import columns
from models.jobs import ASKED
from models.states import ANNOUNCED_JOB_STATES
from recast.errors import InvalidJobError
from workers.engine.runtime import Runtime
from workers.engine.wake import awake, submit_pumps
from workers.failures import describe
from workers.jobs.releases import refusal, says
from workers.messaging.publish import announce
from workers.producers.check import Checked, TaskMessage, check
from workers.restore import hold

#: Columns whose type is not text.
_TYPES = {"options": "jsonb", "extra": "jsonb", "priority": "int", "expires_at": "timestamptz"}
_COLUMNS = ("id", *ASKED, "lane", "priority", "dedupe_key", "expires_at")


def _column(name: str) -> tuple[str, Callable[[Checked], object]]:
    return _TYPES.get(name, "text"), lambda row: row.values[name]


_JOBS = Bulk[Checked](**{name: _column(name) for name in _COLUMNS})
_INSERT = text(f"""
    INSERT INTO jobs ({_JOBS.names}) SELECT {columns(_COLUMNS, "w")} FROM {_JOBS.table}
    ON CONFLICT DO NOTHING RETURNING id
""")
_EXISTING = text("""
    SELECT id, dedupe_key, fingerprint, state FROM jobs WHERE id = ANY(:ids) OR dedupe_key = ANY(:keys)
""")


_CONSENTS = Bulk[Checked](
    id=("text", attrgetter("id")), consent=("text", attrgetter("consent")), kind=_column("kind"),
    dedupe_key=_column("dedupe_key"),
)  # fmt: skip
_UNRELEASED = text(f"""
    SELECT w.id, w.consent, {refusal("r", "w.kind", "NULL")} AS why
    FROM {_CONSENTS.table} JOIN releases r ON r.reference = w.consent
    WHERE NOT EXISTS (SELECT FROM jobs j WHERE j.id = w.id OR j.dedupe_key = w.dedupe_key)
""")


@dataclass(frozen=True, slots=True)
class _Stored:
    """A message whose job is stored, and whether that job has ended already."""

    checked: Checked
    job_id: str
    ended: bool = False


_NOTICES = Bulk[_Stored](
    task_id=("text", attrgetter("checked.id")),
    job_id=("text", attrgetter("job_id")),
    canvas=("text", attrgetter("checked.canvas")),
)
# Celery has just set a redelivered task back to STARTED: if its job has ended, the end is announced once more.
_ANNOUNCE = text(f"""
    INSERT INTO announcements (task_id, job_id, canvas) SELECT w.task_id, w.job_id, w.canvas FROM {_NOTICES.table}
    ON CONFLICT (task_id) DO UPDATE SET announced_at = NULL
""")

log = structlog.get_logger()


def accept(runtime: Runtime, asked: Sequence[TaskMessage]) -> list[str | Exception]:
    """Commit the jobs that messages ask for, with the completion notices that their tasks wait for, and wake pumps.

    Returns:
        For each message the job's id: the task's own, or that of the job that shares its `dedupe_key`. Or else the
        error, because of which nothing was stored for this message: it harms no other.
    """
    checked = [_checked(runtime, each) for each in asked]
    good = [each for each in checked if isinstance(each, Checked)]
    outcomes = [pair for group in _one_by_task(good) for pair in _commit(runtime, group)]
    stored = [outcome for _, outcome in outcomes if isinstance(outcome, _Stored)]
    _tell(runtime, stored)
    # Two messages of one task are two objects.
    found = {id(each): outcome for each, outcome in outcomes}
    return [each if isinstance(each, Exception) else _answer(found[id(each)]) for each in checked]


def store(session: Session, job: Checked) -> tuple[str, bool]:
    """Store a job that no task waits for: its id and True, or that of the one that has its `dedupe_key` already.

    Raises:
        InvalidJobError: the key belongs to a job with other arguments, or the release does not allow the job.
    """
    if refused := _unreleased(session, [job]):
        raise refused[job.id]
    if session.execute(_INSERT, _JOBS.of([job])).first() is not None:
        return job.id, True
    return _shared(_Known(session, [job]).job_of(job)), False


def shared_by(session: Session, job: Checked) -> str | None:
    """The job that has this one's `dedupe_key` already.

    Raises:
        InvalidJobError: it has other arguments.
    """
    known = _Known(session, [job])
    return _shared(known.job_of(job)) if known else None


def _shared(outcome: _Stored | InvalidJobError) -> str:
    if isinstance(outcome, InvalidJobError):
        raise outcome
    return outcome.job_id


def _answer(outcome: _Stored | Exception) -> str | Exception:
    return outcome.job_id if isinstance(outcome, _Stored) else outcome


def _checked(runtime: Runtime, asked: TaskMessage) -> Checked | Exception:
    try:
        return check(runtime, asked)
    except Exception as error:  # noqa: BLE001 - the task fails with it
        return error


def _one_by_task(checked: Iterable[Checked]) -> Iterator[list[Checked]]:
    """Groups in which no task comes twice, as one that was delivered twice does."""
    left = list(checked)
    while left:
        first = {each.id: each for each in reversed(left)}
        yield [each for each in left if first[each.id] is each]
        left = [each for each in left if first[each.id] is not each]


def _commit(runtime: Runtime, group: Sequence[Checked]) -> list[tuple[Checked, _Stored | Exception]]:
    """What became of each; a group that the database refuses is halved until the bad message is alone."""
    try:
        return list(zip(group, runtime.db(_insert, runtime, group), strict=True))
    except Exception as error:  # noqa: BLE001 - its task fails with it
        if len(group) == 1 or is_unavailable(error):
            return [(each, error) for each in group]
        log.info("group_halved", messages=len(group), error=describe(error))
        middle = len(group) // 2
        return _commit(runtime, group[:middle]) + _commit(runtime, group[middle:])


def _insert(session: Session, runtime: Runtime, group: Sequence[Checked]) -> list[_Stored | InvalidJobError]:
    refused = _unreleased(session, group)
    stored = iter(_store(session, runtime, [each for each in group if each.id not in refused]))
    return [refused[each.id] if each.id in refused else next(stored) for each in group]


def _unreleased(session: Session, group: Sequence[Checked]) -> dict[str, InvalidJobError]:
    """By task: why the release of the person shown does not allow the job; a job that is there already stays."""
    asked = [each for each in group if each.consent]
    if not asked:
        return {}
    return {
        row.id: InvalidJobError("consent", says(row.consent, row.why))
        for row in session.execute(_UNRELEASED, _CONSENTS.of(asked))
        if row.why is not None
    }


def _store(session: Session, runtime: Runtime, group: Sequence[Checked]) -> list[_Stored | InvalidJobError]:
    new = set(session.execute(_INSERT, _JOBS.of(group)).scalars())
    known = _Known(session, [each for each in group if each.id not in new])
    outcomes = [_Stored(each, each.id) if each.id in new else known.job_of(each) for each in group]
    repeated = [each.id for each in group if each.again and each.id in new]
    if repeated and hold.watches(session):
        hold.hold(session, runtime.accounts, runtime.settings.max_attempts, repeated)
    stored = [outcome for outcome in outcomes if isinstance(outcome, _Stored)]
    session.execute(_ANNOUNCE, _NOTICES.of(stored))
    return outcomes


class _Known:
    """The jobs that were there before messages that ask for them again, by id or by key."""

    def __init__(self, session: Session, group: Sequence[Checked]) -> None:
        keys = [each.values["dedupe_key"] for each in group if each.values["dedupe_key"]]
        rows = session.execute(_EXISTING, {"ids": [each.id for each in group], "keys": keys}).all() if group else []
        self._by_id = {row.id: row for row in rows}
        self._by_key = {row.dedupe_key: row for row in rows if row.dedupe_key}

    def __bool__(self) -> bool:
        return bool(self._by_id)

    def job_of(self, each: Checked) -> _Stored | InvalidJobError:
        """The job that `each` waits for, unless it is another one than it asks for."""
        key = each.values["dedupe_key"]
        row: Row[tuple[str, str, str, str]] = self._by_id.get(each.id) or self._by_key[key]
        if row.fingerprint != each.values["fingerprint"]:
            return InvalidJobError(
                "dedupe_key" if row.id != each.id else "task_id",
                f"{key or each.id!r} belongs to another job with other arguments: {row.id}",
            )
        return _Stored(each, row.id, ended=row.state in ANNOUNCED_JOB_STATES)


def _tell(runtime: Runtime, stored: Sequence[_Stored]) -> None:
    """Announce the jobs that have ended, and wake the pumps that can submit the others; the sweep does what fails."""
    if ended := tuple(each.job_id for each in stored if each.ended):
        announce(ended)
    serving = submit_pumps(runtime, {each.checked.values["lane"] for each in stored if not each.ended})
    try:
        runtime.on_loop(awake(runtime, *serving))
    except Exception as error:
        if not is_unavailable(error):
            raise
        log.warning("pumps_not_woken", pumps=serving, error=describe(error))
