"""Leases: which worker may run a pump. Time is the database's, so the clocks of machines are not compared.

A lease is held only while a slice runs. The end of a slice is one commit that frees it, makes its generation one
higher and notes when the pump wants to run next; the retry published after it carries that generation. A message runs
if the lease is free and it carries no generation (a wake-up) or the current one.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.orm import Session

from models.fragments import seconds_ago, seconds_from_now

LEASE_SECONDS = 15  # three missed renewals; longer would delay the takeover of a killed worker's pumps
RENEW_SECONDS = 5
MAX_LAPSES = 3  # claims of one job that ran out in a row; one or two are a worker that was killed for another reason


@dataclass(frozen=True, slots=True)
class Lease:
    """A lease that is held."""

    name: str
    owner: str
    generation: int


_ACQUIRE = text(f"""
    INSERT INTO leases AS l (name, owner, until, generation)
    VALUES (:name, :owner, {seconds_from_now(":seconds")}, 0)
    ON CONFLICT (name) DO UPDATE SET owner = excluded.owner, until = excluded.until
    WHERE (l.until IS NULL OR l.until < clock_timestamp())
      AND (cast(:generation AS int) IS NULL OR l.generation = :generation)
    RETURNING generation
""")
_RENEW = text(f"""
    UPDATE leases SET until = {seconds_from_now(":seconds")}
    WHERE name = :name AND owner = :owner AND generation = :generation AND until IS NOT NULL
""")
_RENEW_CLAIMS = text(f"""
    UPDATE jobs SET claimed_until = {seconds_from_now(":seconds")}
    WHERE id IN (SELECT id FROM jobs WHERE id = ANY(:ids) AND claimed_until IS NOT NULL ORDER BY id FOR UPDATE)
""")
_LOCK = text("""
    SELECT generation FROM leases
    WHERE name = :name AND owner = :owner AND generation = :generation AND until IS NOT NULL FOR UPDATE
""")
_RELEASE = text(f"""
    UPDATE leases SET owner = NULL, until = NULL, generation = generation + 1,
        wake_at = {seconds_from_now("cast(:wake_in AS float8)")}
    WHERE name = :name
    RETURNING generation
""")
_WANT = text(f"""
    INSERT INTO leases AS l (name, wake_at)
    SELECT name, {seconds_from_now(":wake_in")}
    FROM (SELECT DISTINCT name FROM unnest(cast(:names AS text[])) AS n(name) ORDER BY name) wanted
    ON CONFLICT (name) DO UPDATE SET wake_at = excluded.wake_at
    WHERE (l.until IS NULL OR l.until < clock_timestamp())
      AND (l.wake_at IS NULL OR l.wake_at > excluded.wake_at)
    RETURNING name
""")
_OVERDUE = text(f"""
    UPDATE leases SET wake_at = clock_timestamp()
    WHERE (until IS NULL OR until < clock_timestamp())
      AND (wake_at < {seconds_ago(":grace")} OR until < clock_timestamp())
    RETURNING name
""")
_FORGO = text("UPDATE leases SET wake_at = NULL WHERE name = :name AND until IS NULL AND wake_at <= clock_timestamp()")
_NOW = text("SELECT clock_timestamp()")


def acquire(session: Session, name: str, owner: str, generation: int | None) -> Lease | None:
    """Take the lease; None where another process holds it or `generation` is not the current one."""
    row = session.execute(
        _ACQUIRE, {"name": name, "owner": owner, "seconds": LEASE_SECONDS, "generation": generation}
    ).first()
    return Lease(name, owner, row.generation) if row else None


def renew(session: Session, lease: Lease, job_ids: Sequence[str] = ()) -> bool:
    """Renew the lease and the claims on these jobs for another term; False when another process took the lease."""
    if job_ids:
        session.execute(_RENEW_CLAIMS, {"ids": job_ids, "seconds": LEASE_SECONDS})
    result = session.execute(
        _RENEW,
        {"name": lease.name, "owner": lease.owner, "generation": lease.generation, "seconds": LEASE_SECONDS},
    )
    return bool(result.rowcount)  # type: ignore[attr-defined]


def lock_for_release(session: Session, lease: Lease) -> bool:
    """Lock the lease's row before looking whether work is left; False when it was taken over.

    A process that adds work commits it first and checks the lease second. So work that is not visible under this lock
    was added by a process that will find the lease free, and wake the pump.
    """
    return (
        session.execute(_LOCK, {"name": lease.name, "owner": lease.owner, "generation": lease.generation}).first()
        is not None
    )


def release(session: Session, lease: Lease, wake_in: float | None) -> int:
    """Free the lease, note in how many seconds the pump wants to run (None: when woken); returns the new generation."""
    return int(session.execute(_RELEASE, {"name": lease.name, "wake_in": wake_in}).scalar_one())


def want(session: Session, names: Collection[str], wake_in: float = 0.0) -> list[str]:
    """Note that pumps should run within `wake_in` seconds; those that a message must be published for.

    The others run now (they will look again before they end), or a message for an earlier time is out. The leases are
    locked in the order of their names.
    """
    return list(session.execute(_WANT, {"names": list(names), "wake_in": wake_in}).scalars())


def forgo(session: Session, name: str) -> None:
    """Note that a pump's message was dropped: it runs when it is woken again, and is not missed."""
    session.execute(_FORGO, {"name": name})


def overdue(session: Session, grace: float) -> list[str]:
    """Names of pumps that should have run `grace` seconds ago, or whose worker died; noted as woken now."""
    return [row.name for row in session.execute(_OVERDUE, {"grace": grace})]


def now(session: Session) -> datetime:
    """The database's clock."""
    value: datetime = session.execute(_NOW).scalar_one()
    return value
