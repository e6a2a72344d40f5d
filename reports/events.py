"""Events: which jobs have ended and which verdicts were given, in the order of their times, behind any moment.

What a transaction writes is seen when it commits, and others may have committed later times by then. So nothing is told
that is younger than the oldest transaction at work: then no event can come later with an earlier time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

PATIENCE_SECONDS = 10.0  # of events for a transaction at work: a long export must not hold them up

# Of transactions in this database, those whose role this one may look at; itself, it writes nothing.
_SETTLED = text(f"""
    SELECT micros FROM (
        SELECT (extract(epoch FROM greatest(
            coalesce(min(xact_start), clock_timestamp()),
            clock_timestamp() - {PATIENCE_SECONDS} * interval '1 second')) * 1000000)::bigint AS micros
        FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
    ) seen
""")


def _moment(micros: str) -> str:
    return f"(timestamptz 'epoch' + cast({micros} AS bigint) * interval '1 microsecond')"


def _micros(time: str) -> str:
    return f"(extract(epoch FROM {time}) * 1000000)::bigint"


_ENDED = text(f"""
    SELECT {_micros("j.finished_at")} AS micros, j.id AS mark, nullif(b.name, '') AS of_batch, 'job' AS kind,
        jsonb_build_object('job', j.id, 'batch', nullif(b.name, ''), 'key', j.key, 'kind', j.kind, 'version', j.version,
            'state', j.state, 'reason', j.reason, 'error', j.error, 'finished_at', j.finished_at) AS data
    FROM jobs j JOIN batches b ON b.id = j.batch_id
    WHERE (j.finished_at, j.id) > ({_moment(":micros")}, :mark) AND j.finished_at < {_moment(":until")}
    ORDER BY j.finished_at, j.id LIMIT :limit
""")
_JUDGED = text(f"""
    SELECT {_micros("v.at")} AS micros, v.id AS mark, b.name AS of_batch, 'verdict' AS kind,
        jsonb_build_object('verdict_id', v.id, 'result', v.result_id, 'job', v.job_id, 'batch', nullif(b.name, ''),
            'verdict', v.verdict, 'reasons', v.reasons, 'reviewer', v.person, 'at', v.at) AS data
    FROM verdicts v JOIN batches b ON b.id = v.batch_id
    WHERE (v.at, v.id) > ({_moment(":micros")}, :mark) AND v.at < {_moment(":until")}
    ORDER BY v.at, v.id LIMIT :limit
""")


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened, and when (microseconds since 1970, by the database's clock)."""

    micros: int
    kind: str
    #: The name of its batch; None for a single job.
    batch: str | None
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class EventPlace:
    """How far someone has read: the last event of each kind. Without marks, everything of that very moment comes."""

    jobs: tuple[int, str]
    verdicts: tuple[int, int]

    @classmethod
    def at(cls, micros: int) -> EventPlace:
        """The place before everything of a moment."""
        return cls((micros, ""), (micros, 0))


def settled(session: Session) -> int:
    """The moment before which no event can still come, in microseconds; ask for it before the events."""
    return int(session.execute(_SETTLED).scalar_one())


def events(session: Session, place: EventPlace, until: int, limit: int) -> tuple[Sequence[Event], EventPlace, bool]:
    """What happened behind a place and before a moment, in order; the place behind it; and whether that is all.

    Args:
        session: reads what is committed now.
        place: what is read already.
        until: as `settled` said it.
        limit: of each kind.
    """
    jobs = session.execute(_ENDED, _given(place.jobs, until, limit)).all()
    verdicts = session.execute(_JUDGED, _given(place.verdicts, until, limit)).all()
    full = [rows[-1].micros for rows in (jobs, verdicts) if len(rows) == limit]
    # Of the two, the one that has more to come sets the end: behind it, the order is not known yet.
    last = min(full, default=until)
    jobs, verdicts = ([row for row in rows if row.micros <= last] for rows in (jobs, verdicts))
    behind = EventPlace(
        (jobs[-1].micros, jobs[-1].mark) if jobs else place.jobs,
        (verdicts[-1].micros, verdicts[-1].mark) if verdicts else place.verdicts,
    )
    found = sorted([*jobs, *verdicts], key=lambda row: row.micros)
    return [Event(row.micros, row.kind, row.of_batch or None, row.data) for row in found], behind, not full


def _given(read: tuple[int, str | int], until: int, limit: int) -> dict[str, Any]:
    return {"micros": read[0], "mark": read[1], "until": until, "limit": limit}
