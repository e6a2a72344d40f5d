"""The store pump: fetches finished pictures at once, verifies them, marks them as synthetic, and stores them.

Several store pumps may run side by side; each claims its own `saving` jobs. A job claimed by a worker that died is
claimed again when the claim runs out: storing the same picture twice changes nothing, keys are content-addressed.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from sqlalchemy import text
from sqlalchemy.orm import Session

from models.states import AttemptState, JobState, Reason
from workers.accounts import admission
from workers.backoff import Backoff
from workers.config.accounts import AccountsError
from workers.engine.batch_writer import BatchWriter
from workers.engine.in_flight import InFlight
from workers.engine.leases import LEASE_SECONDS
from workers.engine.notify import tell
from workers.engine.record import Recorded, waiting_for
from workers.engine.runtime import Runtime
from workers.engine.slice import Slice
from workers.engine.wake import awake, store_pump
from workers.failpoints import hold_here
from workers.http.client import TooLargeError
from workers.http.ssrf import ForbiddenAddressError
from workers.images.download import DeadUrlError, TransientDownloadError, fetch
from workers.images.provenance import SOURCE_TYPES, marked
from workers.images.storage import StorageError
from workers.images.verify import BadPictureError, Picture, inspect, thumbnail, verify
from workers.jobs.moves import AttemptMove, JobMove
from workers.jobs.transitions import clip, move_attempts, move_jobs

DOWNLOADS = 16  # jobs saved side by side by one pump; more only fills memory
TRIES = 3  # of one download within a claim
TRY_AGAIN = Backoff(first=0.5, cap=5.0)  # between those tries
GIVE_UP_SECONDS = 3600.0  # after this long of trouble the provider's URL is taken for dead
POSTPONE_SECONDS = 20.0
REFETCHES = 1  # a dead URL is asked for once more; then the job is lost

SUFFIXES = {"image/jpeg": "jpg", "image/png": "png", "image/webp": "webp"}

log = structlog.get_logger()

_CLAIM = text(f"""
    WITH chosen AS (
        SELECT id FROM jobs WHERE state = 'saving' AND (claimed_until IS NULL OR claimed_until < clock_timestamp())
        ORDER BY seq LIMIT :number FOR UPDATE SKIP LOCKED
    ), claimed AS (
        UPDATE jobs SET claimed_until = clock_timestamp() + {LEASE_SECONDS} * interval '1 second'
        FROM chosen WHERE jobs.id = chosen.id RETURNING jobs.id, jobs.kind, jobs.former_attempts
    )
    SELECT claimed.id AS job_id, claimed.kind, last.id AS attempt_id, last.account, last.outputs, last.refetches,
        extract(epoch FROM clock_timestamp() - last.finished_at)::float8 AS age
    FROM claimed JOIN LATERAL (
        SELECT id, account, outputs, refetches, finished_at FROM attempts
        WHERE job_id = claimed.id AND number > claimed.former_attempts AND state = 'done' AND outputs IS NOT NULL
        ORDER BY number DESC LIMIT 1
    ) last ON true
""")  # noqa: S608 - the only thing put in is our own text above
_LOCK_JOBS = text("SELECT 1 FROM jobs WHERE id = ANY(:ids) ORDER BY id FOR UPDATE")
_WAITING_IN = text("""
    SELECT extract(epoch FROM min(coalesce(claimed_until, clock_timestamp())) - clock_timestamp())::float8
    FROM jobs WHERE state = 'saving'
""")
_INSERT = text("""
    INSERT INTO results (job_id, attempt_id, index, key, thumbnail_key, sha256, original_key, original_sha256, size,
                         media_type, width, height, facts)
    SELECT * FROM unnest(
        cast(:job_ids AS text[]), cast(:attempt_ids AS uuid[]), cast(:indexes AS int[]), cast(:keys AS text[]),
        cast(:thumbnails AS text[]), cast(:digests AS text[]), cast(:originals AS text[]),
        cast(:original_digests AS text[]), cast(:sizes AS bigint[]), cast(:types AS text[]), cast(:widths AS int[]),
        cast(:heights AS int[]), cast(:facts AS jsonb[])
    )
    ON CONFLICT (attempt_id, index) DO NOTHING
""")


@dataclass(frozen=True, slots=True)
class Saving:
    """A job whose pictures are to be fetched."""

    job_id: str
    kind: str
    attempt_id: uuid.UUID
    account: str
    outputs: Sequence[Mapping[str, Any]]
    refetches: int
    age: float


@dataclass(frozen=True, slots=True)
class Stored:
    """One picture in our storage."""

    index: int
    key: str
    thumbnail_key: str
    sha256: str
    #: Of the file as the provider made it; its key, where it is kept beside ours.
    original_sha256: str
    original_key: str | None
    size: int
    picture: Picture
    facts: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Saved:
    saving: Saving
    stored: tuple[Stored, ...] = ()
    #: What else became of the job.
    job: JobMove | None = None
    attempt: AttemptMove | None = None
    postpone: str | None = None


class StorePump:
    """Saves results of any account."""

    def __init__(self, runtime: Runtime, number: int) -> None:
        self.name = store_pump(number)
        self._runtime = runtime
        self._number = number

    async def run(self, turn: Slice) -> None:
        """Save until the slice is over or nothing waits."""
        writer: BatchWriter[_Saved] = BatchWriter(
            self._runtime,
            _write,
            after=self._after,
            spoiled=_spoiled,
            done=lambda item: turn.in_hand.discard(item.saving.job_id),
        )
        async with writer, InFlight(DOWNLOADS) as calls:
            while not turn.over:
                claimed = await turn.db(_claim, calls.free) if calls.free else []
                turn.in_hand.update(saving.job_id for saving in claimed)
                for saving in claimed:
                    calls.start(self._save(saving, writer))
                if len(claimed) == DOWNLOADS:
                    await self._call_for_help()
                if not claimed and not calls:
                    if not await turn.patience():
                        break
                elif not claimed or not calls.free:
                    await turn.wait(turn.left, calls)

    def next_in(self, session: Session) -> float | None:
        """When the next job can be claimed for saving."""
        seconds = session.execute(_WAITING_IN).scalar_one()
        return None if seconds is None else max(0.0, float(seconds))

    async def _after(self, written: tuple[Recorded, str | None]) -> None:
        recorded, account = written
        await tell(self._runtime, account or "", recorded)

    async def _call_for_help(self) -> None:
        if self._number + 1 < self._runtime.settings.store_pumps:
            await awake(self._runtime, store_pump(self._number + 1))

    async def _save(self, saving: Saving, writer: BatchWriter[_Saved]) -> None:
        try:
            stored = [await self._one(saving, index, output) for index, output in enumerate(saving.outputs)]
            log.debug("stored", job=saving.job_id, account=saving.account, pictures=len(stored))
            await hold_here("stored")
            writer.put(_Saved(saving, stored=tuple(stored)))
        except DeadUrlError as error:
            writer.put(_dead(saving, str(error)))
        except (BadPictureError, ForbiddenAddressError, TooLargeError) as error:
            message = f"the provider's file cannot be used: {error}"
            writer.put(_Saved(saving, job=JobMove(saving.job_id, JobState.FAILED, Reason.BAD_OUTPUT, message)))
        except (TransientDownloadError, StorageError, AccountsError) as error:
            log.warning("result_not_saved_yet", job=saving.job_id, error=str(error))
            if saving.age > GIVE_UP_SECONDS and isinstance(error, TransientDownloadError):
                writer.put(_dead(saving, str(error)))
            else:
                writer.put(_Saved(saving, postpone=str(error)))
        except Exception as error:
            log.exception("saving_failed", job=saving.job_id)
            writer.put(_Saved(saving, postpone=f"{type(error).__name__}: {error}"))

    async def _one(self, saving: Saving, index: int, output: Mapping[str, Any]) -> Stored:
        client = self._runtime.downloads(self._runtime.account(saving.account))
        cap = self._runtime.settings.max_result_bytes
        for step in range(TRIES):
            try:
                data = await fetch(client, str(output["url"]), max_bytes=cap)
                break
            except TransientDownloadError:
                if step == TRIES - 1:
                    raise
                await asyncio.sleep(TRY_AGAIN.delay(step))
        return await self._runtime.in_thread(self._keep, saving.kind, index, data, output.get("facts") or {})

    def _keep(self, kind: str, index: int, original: bytes, facts: Mapping[str, Any]) -> Stored:
        settings, picture = self._runtime.settings, verify(original)
        data, small = original, thumbnail(original)
        if settings.mark_synthetic:
            data = marked(original, picture.media_type, SOURCE_TYPES[kind])
            small = marked(small, inspect(small).media_type, SOURCE_TYPES[kind])
        key = self._put(data)
        apart = settings.keep_originals and data is not original
        return Stored(
            index=index,
            key=key,
            thumbnail_key=self._put(small),
            sha256=_digest(data),
            original_sha256=_digest(original),
            original_key=self._put(original) if apart else None,
            size=len(data),
            picture=picture,
            facts=facts,
        )

    def _put(self, data: bytes) -> str:
        return self._runtime.storage.put(data, sha256=_digest(data), suffix=SUFFIXES[inspect(data).media_type])


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _dead(saving: Saving, message: str) -> _Saved:
    if saving.refetches < REFETCHES:
        attempt = AttemptMove(
            saving.attempt_id,
            AttemptState.RUNNING,
            frozenset({AttemptState.DONE}),
            error=message,
            poll_in=0.0,
            refetch=True,
        )
        return _Saved(saving, job=JobMove(saving.job_id, JobState.RUNNING, expected=_SAVING), attempt=attempt)
    lost = f"the result was paid for but its URL is dead: {message}"
    return _Saved(saving, job=JobMove(saving.job_id, JobState.FAILED, Reason.LOST, lost))


_SAVING = frozenset({JobState.SAVING})


def _claim(session: Session, number: int) -> list[Saving]:
    return [
        Saving(row.job_id, row.kind, row.attempt_id, row.account, row.outputs, row.refetches, row.age)
        for row in session.execute(_CLAIM, {"number": number})
    ]


def _write(session: Session, saved: Sequence[_Saved]) -> tuple[Recorded, str | None]:
    attempts = [item.attempt for item in saved if item.attempt]
    for account, number in sorted(Counter(item.saving.account for item in saved if item.attempt).items()):
        admission.taken_up_again(session, account, number)
    moved = move_attempts(session, attempts)
    # Some are moved and some only wait: all are locked first, in the one order.
    session.execute(_LOCK_JOBS, {"ids": [item.saving.job_id for item in saved]})
    rows = [(item.saving, stored) for item in saved for stored in item.stored]
    if rows:
        session.execute(_INSERT, _columns(rows))
    moves = [
        item.job or JobMove(item.saving.job_id, JobState.SUCCEEDED, expected=_SAVING)
        for item in saved
        if item.postpone is None and (item.attempt is None or item.attempt.id in moved)
    ]
    jobs = move_jobs(session, moves)
    for item in saved:
        if item.postpone is not None:
            session.execute(
                text(
                    "UPDATE jobs SET claimed_until = clock_timestamp() + :seconds * interval '1 second', error = :error"
                    " WHERE id = :id AND state = 'saving'"
                ),
                {"id": item.saving.job_id, "seconds": POSTPONE_SECONDS, "error": clip(item.postpone)},
            )
    asked_again = next((item.saving.account for item in saved if item.attempt), None)
    ended = tuple(move for move in jobs if move.now is not JobState.RUNNING)
    recorded = Recorded(
        saving=False,
        requeued=False,
        freed=False,
        poll_in=0.0 if asked_again else None,
        announce=waiting_for(session, ended),
        ended=ended,
    )
    return recorded, asked_again


def _columns(rows: Sequence[tuple[Saving, Stored]]) -> dict[str, list[Any]]:
    return {
        "job_ids": [saving.job_id for saving, _ in rows],
        "attempt_ids": [saving.attempt_id for saving, _ in rows],
        "indexes": [stored.index for _, stored in rows],
        "keys": [stored.key for _, stored in rows],
        "thumbnails": [stored.thumbnail_key for _, stored in rows],
        "digests": [stored.sha256 for _, stored in rows],
        "originals": [stored.original_key for _, stored in rows],
        "original_digests": [stored.original_sha256 for _, stored in rows],
        "sizes": [stored.size for _, stored in rows],
        "types": [stored.picture.media_type for _, stored in rows],
        "widths": [stored.picture.width for _, stored in rows],
        "heights": [stored.picture.height for _, stored in rows],
        "facts": [json.dumps(stored.facts) for _, stored in rows],
    }


def _spoiled(session: Session, item: _Saved, error: Exception) -> None:
    message = f"the result could not be recorded: {type(error).__name__}"
    move_jobs(session, [JobMove(item.saving.job_id, JobState.FAILED, Reason.BAD_OUTPUT, message)])
