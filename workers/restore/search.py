"""The search pump: after a restore, asks an account's provider for submissions that the backup does not know."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import structlog
from sqlalchemy import text
from sqlalchemy.orm import Session

from models.bulk import Bulk
from models.fragments import seconds_from_now, since, until
from models.identity import client_reference
from models.states import JobState
from providers.outcomes import Absent, Found, LocateOutcome, NotYetKnown
from providers.protocol import Provider
from providers.spec import OpenAttempt
from workers.backoff import Backoff
from workers.engine import provider_calls
from workers.engine.batch_writer import BatchWriter
from workers.engine.in_flight import InFlight
from workers.engine.locate_outcomes import ABSENCES_THAT_COUNT, LOCATE_FIRST_SECONDS
from workers.engine.notify import notify
from workers.engine.record import Recorded, recorded
from workers.engine.runtime import Runtime
from workers.engine.slice import Slice
from workers.engine.wake import search_pump
from workers.jobs.state_changes import Moved
from workers.jobs.transitions import clip, lock_jobs
from workers.restore import reconcile

AGAIN = Backoff(first=LOCATE_FIRST_SECONDS, cap=60.0)  # between questions to a provider that does not answer

log = structlog.get_logger()

_DUE = text(f"""
    SELECT s.job_id, s.number, s.operation, s.absences, s.looks, a.locator,
        {since("s.created_at")} AS age
    FROM searches s LEFT JOIN attempts a ON a.job_id = s.job_id AND a.number = s.number
    WHERE s.account = :account AND s.next_at <= statement_timestamp() AND NOT (s.job_id || '#' || s.number) = ANY(:busy)
    ORDER BY s.next_at LIMIT :number
""")
_NEXT = text(f"SELECT {until('min(next_at)')} FROM searches WHERE account = :account AND next_at IS NOT NULL")
_GONE = text("""
    DELETE FROM searches WHERE account = :account AND absences >= :enough AND job_id = ANY(:ids) AND handle IS NULL
        AND next_at IS NOT NULL
""")
# A job that ended meanwhile, by a poll or by a person, is not searched for any longer.
_OVER = text("DELETE FROM searches s USING jobs j WHERE j.id = s.job_id AND j.state <> 'held'")


@dataclass(frozen=True, slots=True)
class Sought:
    """A submission that may have been made."""

    job_id: str
    number: int
    operation: str
    absences: int
    looks: int
    locator: str | None
    #: Seconds since the search began.
    age: float

    @property
    def name(self) -> str:
        """What distinguishes it from the others."""
        return f"{self.job_id}#{self.number}"


@dataclass(frozen=True, slots=True)
class _Answered:
    sought: Sought
    outcome: LocateOutcome


#: Answers, each with the seconds until the next look.
_ANSWERS = Bulk[tuple[_Answered, float | None]](
    job_id=("text", lambda row: row[0].sought.job_id),
    number=("int", lambda row: row[0].sought.number),
    handle=("text", lambda row: row[0].outcome.handle if isinstance(row[0].outcome, Found) else None),
    absence=("int", lambda row: row[0].sought.absences + isinstance(row[0].outcome, Absent)),
    wait=("float8", lambda row: row[1]),
    note=("text", lambda row: clip(row[0].outcome.message) if isinstance(row[0].outcome, NotYetKnown) else None),
)
_KEEP = text(f"""
    UPDATE searches s SET handle = w.handle, absences = w.absence, looks = looks + 1, note = w.note,
        next_at = {seconds_from_now("w.wait")}
    FROM {_ANSWERS.table} WHERE s.account = :account AND s.job_id = w.job_id AND s.number = w.number
""")


def waits(session: Session, account: str) -> bool:
    """Whether a search at `account` is due."""
    seconds = session.execute(_NEXT, {"account": account}).scalar_one()
    return seconds is not None and seconds <= 0


class SearchPump:
    """Searches for the submissions that one account may have had."""

    def __init__(self, runtime: Runtime, account: str) -> None:
        self.name = search_pump(account)
        self._runtime = runtime
        self._account = runtime.account(account)
        self._busy: set[str] = set()
        self._connections = max(1, runtime.settings.connections // 4)

    async def run(self, turn: Slice) -> None:
        """Search until the slice is over or nothing is due."""
        provider = self._runtime.provider(self._account)
        writer: BatchWriter[_Answered] = BatchWriter(
            self._runtime,
            self._write,
            after=partial(notify, self._runtime, self._account.name),
            fallback=self._write_fallback,
            done=lambda item: self._busy.discard(item.sought.name),
        )
        async with writer, InFlight(self._connections) as calls:
            await turn.db(_drop_over)
            while not turn.over:
                for sought in await turn.db(self._due, calls.free):
                    self._busy.add(sought.name)
                    calls.start(self._ask(provider, sought, writer))
                if calls:
                    await turn.wait(turn.left, calls)
                elif not await turn.patience():
                    break

    def next_in(self, session: Session) -> float | None:
        """When the next search is due."""
        seconds = session.execute(_NEXT, {"account": self._account.name}).scalar_one()
        return None if seconds is None else max(0.0, float(seconds))

    def _due(self, session: Session, number: int) -> list[Sought]:
        parameters = {"account": self._account.name, "busy": sorted(self._busy), "number": number}
        return [Sought(**row._mapping) for row in session.execute(_DUE, parameters)]

    async def _ask(self, provider: Provider, sought: Sought, writer: BatchWriter[_Answered]) -> None:
        attempt = OpenAttempt(
            client_reference(sought.job_id, sought.number), sought.operation, None, sought.locator, sought.age
        )
        answer = await provider_calls.locate(provider, attempt)
        log.debug("searched", job=sought.job_id, attempt=sought.number, outcome=type(answer).__name__)
        writer.put(_Answered(sought, answer))

    def _write(self, session: Session, answered: Sequence[_Answered]) -> Recorded:
        ids = sorted({item.sought.job_id for item in answered})
        lock_jobs(session, ids)  # the last search of a job must see the others
        session.execute(
            _KEEP, {**_ANSWERS.of((item, self._wait(item)) for item in answered), "account": self._account.name}
        )
        session.execute(_GONE, {"account": self._account.name, "ids": ids, "enough": ABSENCES_THAT_COUNT})
        return _recorded(session, reconcile.reconcile_jobs(session, self._runtime.accounts, ids))

    def _wait(self, item: _Answered) -> float | None:
        """Seconds until the next look; none for one that was found, or that is left to a person."""
        if isinstance(item.outcome, Found):
            return None
        if isinstance(item.outcome, Absent):
            return LOCATE_FIRST_SECONDS
        if item.sought.age > self._account.deadline:
            return None
        return AGAIN.delay(item.sought.looks)

    def _write_fallback(self, session: Session, item: _Answered, error: Exception) -> None:
        """An answer the database refuses to store counts as none."""
        outcome = NotYetKnown(f"the answer could not be stored: {type(error).__name__}")
        self._write(session, [_Answered(item.sought, outcome)])


def _drop_over(session: Session) -> None:
    session.execute(_OVER)


def _recorded(session: Session, moved: Sequence[Moved]) -> Recorded:
    found = any(move.now is JobState.RUNNING for move in moved)
    return replace(recorded(session, (), moved), poll_in=0.0 if found else None)
