"""Retention: pictures of jobs that ended long ago, unused inputs, and files that no row names.

The jobs' rows stay, and with them the books; `erased_at` says that their pictures are gone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from sqlalchemy import text
from sqlalchemy.orm import Session

from models.fragments import seconds_ago
from models.states import ANNOUNCED_JOB_STATES
from workers.engine.runtime import Runtime
from workers.operations.erase import Removed, expect, remove_files, take_results, unclaimed

CHUNK = 1_000
ORPHAN_SECONDS = 86_400.0  # a file whose row is about to be committed is seconds old
GUEST_SECONDS = 30 * 86_400.0  # after its end, for which `recast guests list` says who came by a link

_OLD = text("""
    SELECT j.id FROM jobs j JOIN batches b ON b.id = j.batch_id
    WHERE j.id > :after AND j.state = ANY(:states) AND (cast(:batch AS text) IS NULL OR b.name = :batch)
        AND j.finished_at < clock_timestamp() - coalesce(
            cast(:seconds AS float8) * interval '1 second', b.keep_days * interval '1 day')
        AND EXISTS (SELECT 1 FROM results WHERE job_id = j.id)
    ORDER BY j.id LIMIT :limit FOR UPDATE OF j SKIP LOCKED
""")
# No row names the pictures of archived jobs. They are not younger than the last of those jobs.
_ARCHIVED_UNTIL = text("SELECT max(finished_until) FROM archives WHERE results > 0")
_UNUSED = text(f"""
    DELETE FROM inputs WHERE (uri, sha256) IN (
        SELECT uri, sha256 FROM inputs WHERE used_at < {seconds_ago(":seconds")} LIMIT :limit
    ) RETURNING key
""")


# With a link go the names that its guests gave; those beside verdicts stay, as those of other people do.
_GUESTS = text(f"""
    DELETE FROM guests WHERE coalesce(least(revoked_at, expires_at), expires_at) < {seconds_ago(":seconds")}
""")


@dataclass(slots=True)
class Pruned:
    """What retention removed, or would remove."""

    jobs: int = 0
    removed: Removed = field(default_factory=Removed)


def prune(
    runtime: Runtime,
    *,
    seconds: float | None = None,
    states: Sequence[str] = tuple(ANNOUNCED_JOB_STATES),
    batch: str | None = None,
    dry_run: bool = False,
) -> Pruned:
    """Remove the pictures of jobs that ended long ago.

    Args:
        runtime: the deployment.
        seconds: since their end; None means what each batch's `recast run --keep` says, if anything.
        states: in which they ended.
        batch: only of this one.
        dry_run: only count.
    """
    wanted = {"seconds": seconds, "states": list(states), "batch": batch, "limit": CHUNK}
    pruned, after = Pruned(), ""
    while True:
        with runtime.sessions() as session:
            ids = list(session.execute(_OLD, {**wanted, "after": after}).scalars())
            keys = take_results(session, ids)
            expected = expect(session, keys)
            (session.rollback if dry_run else session.commit)()
        if not ids:
            return pruned
        pruned.jobs += len(ids)
        pruned.removed.add(expected if dry_run else remove_files(runtime, keys))
        after = ids[-1]


def prune_orphans(runtime: Runtime, *, dry_run: bool = False) -> Removed:
    """Remove copies of inputs that have been unused for long, and files older than a day that no row names.

    Where jobs with pictures were archived, only files that are younger than the last of those.
    """
    removed = Removed()
    # A link that was made from a note an hour old lasts for `media_seconds`.
    unused = ORPHAN_SECONDS + runtime.settings.media_seconds
    while True:
        with runtime.sessions() as session:
            rows = session.execute(_UNUSED, {"seconds": unused, "limit": CHUNK}).scalars().all()
            keys = {key for key in rows if key is not None}
            expected = expect(session, keys)
            (session.rollback if dry_run else session.commit)()
        removed.add(expected if dry_run else remove_files(runtime, keys))
        if dry_run or len(rows) < CHUNK:
            break
    oldest, found = datetime.now(UTC) - timedelta(seconds=ORPHAN_SECONDS), []
    archived_until = runtime.db(_archived_until)
    for key, written_at in runtime.storage.files():
        if written_at < oldest and (archived_until is None or written_at > archived_until):
            found.append(key)
        if len(found) == CHUNK:
            removed.add(_orphans(runtime, found, dry_run=dry_run))
            found.clear()
    removed.add(_orphans(runtime, found, dry_run=dry_run))
    return removed


def prune_guests(session: Session) -> None:
    """Remove guest links that ended a month ago, with the names that guests gave."""
    session.execute(_GUESTS, {"seconds": GUEST_SECONDS})


def _archived_until(session: Session) -> datetime | None:
    until: datetime | None = session.execute(_ARCHIVED_UNTIL).scalar_one()
    return until


def _orphans(runtime: Runtime, keys: Sequence[str], *, dry_run: bool) -> Removed:
    free = runtime.db(unclaimed, keys)
    return Removed(files=len(free)) if dry_run else remove_files(runtime, free)
