"""The check pump: measures stored results before people look at them.

It costs nothing but this machine's time, and changes no job. What a worker had in hand when it was killed is due again;
a picture that several workers did not survive stays unchecked.
"""

from __future__ import annotations

from functools import lru_cache

import structlog
from sqlalchemy.orm import Session

from models.checks import CheckName
from workers.config.account_values import AccountsError
from workers.config.check_thresholds import Thresholds
from workers.config.extras import FACE_ENGINE, LIKENESS, missing
from workers.config.settings import Settings
from workers.engine import checking
from workers.engine.batch_writer import BatchWriter
from workers.engine.checking import DueCheck, Found
from workers.engine.in_flight import InFlight
from workers.engine.runtime import Runtime
from workers.engine.slice import Slice
from workers.engine.wake import CHECK_PUMP
from workers.http.client import TooLargeError
from workers.http.ssrf import ForbiddenAddressError
from workers.images.check_rules import OURS, threshold_of
from workers.images.checks import Opened, check, opened
from workers.images.download import DeadUrlError, TransientDownloadError, fetch
from workers.images.foreign import converted
from workers.images.inputs import BadInputError, InputTroubleError
from workers.images.segments import BadPictureError
from workers.images.storage import StorageError

AT_ONCE = 8  # results that are read side by side; decoding has as many threads as there are cores

log = structlog.get_logger()


def makes_checks(settings: Settings) -> bool:
    """Whether this worker makes quality checks: it is told to, and has the face engine."""
    return settings.checks and _has_engine()


@lru_cache(maxsize=1)
def _has_engine() -> bool:
    return not missing(FACE_ENGINE)


@lru_cache(maxsize=1)
def _tells_people_apart() -> bool:
    return not missing(LIKENESS)


def _compares(due: DueCheck, own: Thresholds) -> bool:
    """Whether the result is compared with the person whom it should show."""
    return _tells_people_apart() and threshold_of(CheckName.OTHER_PERSON, due.operation, own) is not None


class CheckPump:
    """Checks results of any account."""

    name = CHECK_PUMP

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        #: Results in hand that were tried before: one at a time, since one of them may end the worker.
        self._risky: set[int] = set()

    async def run(self, turn: Slice) -> None:
        """Check until the slice is over or nothing is due."""
        if not makes_checks(self._runtime.settings):
            return
        writer: BatchWriter[Found] = BatchWriter(
            self._runtime, checking.write, after=_nothing_more, fallback=_write_fallback, done=self._done
        )
        async with writer, InFlight(AT_ONCE) as calls:
            while not turn.over:
                claimed = await turn.db(checking.claim, calls.free, alone=not self._risky) if calls.free else []
                self._risky.update(due.result_id for due in claimed if due.tries > 1)
                for due in claimed:
                    calls.start(self._check(due, writer))
                if not await turn.goes_on(len(claimed), calls):
                    break

    def next_in(self, session: Session) -> float | None:
        """When the next result is due; never here, where no checks are made."""
        return checking.next_due_in(session) if makes_checks(self._runtime.settings) else None

    def _done(self, found: Found) -> None:
        self._risky.discard(found.due.result_id)

    async def _check(self, due: DueCheck, writer: BatchWriter[Found]) -> None:
        if due.tries > checking.MAX_TRIES:
            log.warning("not_checked", job=due.job_id, error=f"{checking.MAX_TRIES} workers did not come to an end")
            writer.put(Found(due))
            return
        try:
            writer.put(await self._found(due))
        except (StorageError, InputTroubleError, TransientDownloadError, AccountsError) as error:
            log.info("not_checked_yet", job=due.job_id, error=str(error))
            writer.put(Found(due, again=True))
        except Exception as error:
            # Whatever it is: the picture is there and paid for, and people look at it.
            if not isinstance(error, BadPictureError):
                log.exception("check_failed", job=due.job_id)
            writer.put(Found(due))

    async def _found(self, due: DueCheck) -> Found:
        result = await self._runtime.in_decoder(opened, await self._runtime.in_thread(self._stored, due.key))
        account = self._runtime.accounts.get(due.account)
        own = OURS if account is None else account.thresholds(due.operation)
        target = await self._given(due, "target", due.target) if not result.blank else None
        person = await self._given(due, "source", due.person) if not result.blank and _compares(due, own) else None
        checked = await self._runtime.in_decoder(
            check, result, target, due.operation, due.options, person=person, own=own
        )
        # Without its target nothing says whether a swap may look like another.
        hash_ = None if target is None and due.target is not None else checked.hash
        return Found(due, checked.scores, hash_, checked.target_hash, own=own)

    def _stored(self, key: str) -> bytes:
        return self._runtime.storage.get(key)

    async def _given(self, due: DueCheck, role: str, uri: str | None) -> Opened | None:
        """A picture that the result was made of; None where it is gone, so that the result is checked without it."""
        if uri is None:
            return None
        try:
            if uri.lower().startswith(("http://", "https://")):
                data = await fetch(self._runtime.downloads(self._runtime.account(due.account)), uri)
            else:
                data = await self._runtime.in_thread(self._runtime.inputs.read_bytes, role, uri)
            return await self._runtime.in_decoder(_opened_input, data)
        except (InputTroubleError, TransientDownloadError) as error:
            if due.tries < checking.MAX_TRIES:
                raise
            log.info("input_not_compared", job=due.job_id, role=role, error=str(error))
            return None
        except (BadInputError, BadPictureError, DeadUrlError, ForbiddenAddressError, TooLargeError) as error:
            log.info("input_not_compared", job=due.job_id, role=role, error=str(error))
            return None


def _opened_input(data: bytes) -> Opened:
    return opened(converted(data))


async def _nothing_more(_: None) -> None:
    return


def _write_fallback(session: Session, found: Found, error: Exception) -> None:
    """Leave a result unchecked whose checks the database refuses."""
    log.warning("check_not_written", job=found.due.job_id, error=type(error).__name__)
    checking.write(session, [Found(found.due)])
