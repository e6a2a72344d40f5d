"""The store pump: fetches finished pictures at once, verifies them, marks them as synthetic, and stores them.

Several store pumps run side by side; each claims its own `saving` jobs. One that has no place free calls for the next,
and a worker that runs its share of them leaves the call to others: so the work spreads over all workers by itself. A
job claimed by a worker that died is claimed again when the claim runs out: storing the same picture twice changes
nothing, keys are content-addressed.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import structlog
from sqlalchemy.orm import Session

from models.results import Provenance
from models.states import JobState, Reason
from workers.accounts import admission
from workers.backoff import Backoff
from workers.config.account_values import AccountsError
from workers.engine.batch_writer import BatchWriter
from workers.engine.check import makes_checks
from workers.engine.effects import Effects
from workers.engine.in_flight import InFlight
from workers.engine.leases import MAX_LAPSES
from workers.engine.notify import notify
from workers.engine.record import Recorded, record
from workers.engine.refetch import asked_anew, not_obtained
from workers.engine.runtime import Runtime
from workers.engine.saving import Postponed, Saving, Stored, claim, next_claim_in
from workers.engine.slice import Slice
from workers.engine.wake import CHECK_PUMP, awake, is_store_pump, poll_pump, store_pump
from workers.failpoints import hold_here
from workers.http.client import TooLargeError
from workers.http.exchange import clock
from workers.http.ssrf import ForbiddenAddressError
from workers.images.download import DeadUrlError, TransientDownloadError, fetch
from workers.images.results import File, Made, SigningError, made_of
from workers.images.segments import BadPictureError
from workers.images.storage import SUFFIXES, StorageError, key_of
from workers.jobs.state_changes import JobMove

if TYPE_CHECKING:
    from workers.images.signing import Signer

DOWNLOADS = 16  # jobs saved side by side by one pump; more only fills memory
MOST_PUMPS = 64  # over all workers: beyond them, what limits is not the number of downloads
HELP_SECONDS = 1.0  # between two calls for the next pump, while one has no place free
TRIES = 3  # of one download within a claim
TRY_AGAIN = Backoff(first=0.5, cap=5.0)  # between those tries
POSTPONE_SECONDS = 20.0
WAITS_FOR_SIGNATURE = 0.5  # of the time that a provider keeps a result: the rest is for its download

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Saved:
    saving: Saving
    effects: Effects


def stores_enough(runtime: Runtime) -> bool:
    """Whether this process runs its share of store pumps, so that another worker is to take the next one."""
    return sum(map(is_store_pump, runtime.active)) >= runtime.settings.store_pumps


class StorePump:
    """Saves results of any account."""

    def __init__(self, runtime: Runtime, number: int) -> None:
        self.name = store_pump(number)
        self._runtime = runtime
        self._number = number
        self._help_at = 0.0
        #: Of the jobs in hand, the one that a worker did not survive: it is the only one of its kind at a time.
        self._risky: set[str] = set()

    async def run(self, turn: Slice) -> None:
        """Save until the slice is over or nothing waits."""
        writer: BatchWriter[_Saved] = BatchWriter(
            self._runtime,
            _write,
            after=self._after,
            fallback=_write_fallback,
            done=lambda item: self._done(turn, item),
        )
        async with writer, InFlight(DOWNLOADS) as calls:
            while not turn.over:
                claimed = await turn.db(claim, calls.free, risky=not self._risky) if calls.free else []
                turn.in_hand.update(saving.job_id for saving in claimed)
                self._risky.update(saving.job_id for saving in claimed if saving.lapses)
                for saving in claimed:
                    calls.start(self._save(saving, writer))
                if not calls.free:
                    await self._call_for_help()
                if not await turn.goes_on(len(claimed), calls):
                    break

    def next_in(self, session: Session) -> float | None:
        """When the next job can be claimed for saving."""
        return next_claim_in(session)

    async def _after(self, written: tuple[Recorded, Sequence[str]]) -> None:
        recorded, asked_again = written
        first, *others = asked_again or [""]
        await notify(self._runtime, first, recorded)
        await awake(self._runtime, *map(poll_pump, others))
        if makes_checks(self._runtime.settings) and any(move.now is JobState.SUCCEEDED for move in recorded.ended):
            await awake(self._runtime, CHECK_PUMP)

    async def _call_for_help(self) -> None:
        if self._number + 1 < MOST_PUMPS and clock() >= self._help_at:
            self._help_at = clock() + HELP_SECONDS
            await awake(self._runtime, store_pump(self._number + 1))

    def _done(self, turn: Slice, item: _Saved) -> None:
        turn.in_hand.discard(item.saving.job_id)
        self._risky.discard(item.saving.job_id)

    async def _save(self, saving: Saving, writer: BatchWriter[_Saved]) -> None:
        if saving.lapses >= MAX_LAPSES:
            message = f"{saving.lapses} workers in a row ended while they saved it"
            writer.put(_Saved(saving, not_obtained(saving, Reason.WORKER_LOST, message)))
            return
        try:
            stored = [await self._one(saving, index, output) for index, output in enumerate(saving.outputs)]
            log.debug("stored", job=saving.job_id, account=saving.account, pictures=len(stored))
            await hold_here("stored")
            effects = _succeeded(saving, stored)
        except (ForbiddenAddressError, TooLargeError) as error:
            # A setting forbids it: no other try would end differently before a person changes that.
            effects = not_obtained(saving, Reason.BAD_OUTPUT, f"the provider's file cannot be used: {error}")
        except BadPictureError as error:
            log.warning("result_damaged", job=saving.job_id, error=str(error))
            effects = asked_anew(saving, Reason.BAD_OUTPUT, f"the provider's file cannot be used: {error}")
        except DeadUrlError as error:
            log.warning("result_url_dead", job=saving.job_id, error=str(error))
            effects = asked_anew(saving, Reason.LOST, f"its URL does not work: {error}")
        except TransientDownloadError as error:
            log.warning("result_not_saved_yet", job=saving.job_id, error=str(error))
            effects = self._later_while_it_lives(saving, str(error))
        except (StorageError, AccountsError, SigningError) as error:
            log.warning("result_not_saved_yet", job=saving.job_id, error=str(error))
            effects = _later(saving, str(error))
        except Exception as error:
            log.exception("saving_failed", job=saving.job_id)
            effects = _later(saving, f"{type(error).__name__}: {error}")
        writer.put(_Saved(saving, effects))

    def _later_while_it_lives(self, saving: Saving, message: str) -> Effects:
        """Try the same URL later, or ask for another one when the provider may have removed the file by now."""
        return _later(saving, message) if saving.age < self._life(saving) else asked_anew(saving, Reason.LOST, message)

    def _life(self, saving: Saving) -> float:
        """Seconds for which the provider keeps results."""
        return self._runtime.account(saving.account).adapter.OPERATIONS[saving.operation].results_live

    async def _one(self, saving: Saving, index: int, output: Mapping[str, Any]) -> Stored:
        client = self._runtime.downloads(self._runtime.account(saving.account))
        cap = self._runtime.settings.max_result_bytes
        for step in range(TRIES):
            if step:
                await asyncio.sleep(TRY_AGAIN.delay(step - 1))
            try:
                data = await fetch(client, str(output["url"]), max_bytes=cap)
                made = await self._made(saving, data)
                return await self._runtime.in_thread(self._keep, saving, index, made, output.get("facts") or {})
            except (TransientDownloadError, BadPictureError):
                if step == TRIES - 1:
                    raise
        raise AssertionError("the last try returns or raises")

    async def _made(self, saving: Saving, data: bytes) -> Made:
        if (signer := self._runtime.signer) is not None:
            try:
                return await self._signed(saving, data, signer)
            except SigningError as error:
                if saving.age < self._life(saving) * WAITS_FOR_SIGNATURE:
                    raise
                # It is paid for, and its provider will remove it: better without a signature than lost.
                log.error("stored_unsigned", job=saving.job_id, error=str(error))  # noqa: TRY400 - the cause is named
        mark = self._runtime.settings.mark_synthetic
        made = await self._runtime.in_decoder(made_of, data, saving.kind, mark=mark)
        _log_provenance(saving, made)
        return made

    async def _signed(self, saving: Saving, data: bytes, signer: Signer) -> Made:
        """The picture with credentials of ours: those of the file that is stored already, if there is one."""
        made = await self._runtime.in_decoder(made_of, data, saving.kind, mark=True, signs=True)
        media_type, term = made.picture.media_type, str(made.source_type)
        name, suffix = signer.name(made.original.sha256, term, saving.consent), SUFFIXES[media_type]
        storage = self._runtime.storage
        stored = await self._runtime.in_thread(storage.find, key_of(name, suffix))
        if stored is None:
            signed = await self._runtime.in_decoder(
                signer.sign, made.file.data, media_type, term, parent=made.parent, release=saving.consent
            )
            stored = await self._runtime.in_thread(storage.put_first, signed, sha256=name, suffix=suffix)
        return await self._runtime.in_decoder(made.signed, stored, name)

    def _keep(self, saving: Saving, index: int, made: Made, facts: Mapping[str, Any]) -> Stored:
        keep = self._runtime.settings.keep_originals and made.file is not made.original
        return Stored(
            job_id=saving.job_id,
            attempt_id=saving.attempt_id,
            index=index,
            key=self._put(made.file, made),
            sha256=made.file.sha256,
            original_sha256=made.original.sha256,
            original_key=self._put(made.original, made) if keep and not made.mark else None,
            mark=made.mark if keep else None,
            provenance=made.provenance,
            source_type=made.source_type,
            size=len(made.file.data),
            picture=made.picture,
            facts=facts,
            to_check=makes_checks(self._runtime.settings),
        )

    def _put(self, file: File, made: Made) -> str:
        return self._runtime.storage.put(
            file.data, sha256=file.name or file.sha256, suffix=SUFFIXES[made.picture.media_type]
        )


def _log_provenance(saving: Saving, made: Made) -> None:
    """Say in the log why a picture was not marked."""
    if made.provenance is Provenance.CREDENTIALS:
        log.info(
            "left_unmarked",
            job=saving.job_id,
            reason="it carries Content Credentials, which a mark would make invalid",
            source_type=made.source_type or "unknown",
        )


_SAVING = frozenset({JobState.SAVING})


def _succeeded(saving: Saving, stored: Sequence[Stored]) -> Effects:
    return Effects(job=JobMove(saving.job_id, JobState.SUCCEEDED, expected=_SAVING), stored=tuple(stored))


def _later(saving: Saving, message: str) -> Effects:
    return Effects(postponed=Postponed(saving.job_id, POSTPONE_SECONDS, message))


def _write(session: Session, saved: Sequence[_Saved]) -> tuple[Recorded, list[str]]:
    """Write what became of jobs; the accounts whose attempts are asked for again come with it."""
    again = Counter(item.saving.account for item in saved if item.effects.attempt)
    for account, number in sorted(again.items()):
        admission.count_reopened(session, account, number)
    return record(session, None, [item.effects for item in saved]), sorted(again)


def _write_fallback(session: Session, item: _Saved, error: Exception) -> None:
    message = f"the result could not be recorded: {type(error).__name__}"
    record(session, None, [not_obtained(item.saving, Reason.BAD_OUTPUT, message)])
