"""The submit pump: claims an account's queued jobs, prepares them, commits their attempts and sends them.

admission --> claim --> prepare --> begin (attempts committed, cost booked) --> send --> outcomes written in groups
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from time import monotonic

import structlog
from sqlalchemy.orm import Session

from models.batches import SINGLES
from models.states import AttemptState, JobState, Reason
from providers.outcomes import Accepted, SubmitOutcome
from providers.protocol import Provider
from workers.accounts import admission
from workers.accounts.latency import Latencies
from workers.config.accounts import Account, ahead_of
from workers.engine import begin, claims, provider_calls
from workers.engine.batch_writer import BatchWriter
from workers.engine.blame import blames_input, judged
from workers.engine.effects import Effects
from workers.engine.floors import Floors
from workers.engine.in_flight import InFlight
from workers.engine.locate_outcomes import LOCATE_FIRST_SECONDS, WRITE_SECONDS
from workers.engine.notify import notify
from workers.engine.outcomes import Sent, after_submit
from workers.engine.prepare import Prepared, Unready, prepare
from workers.engine.record import Recorded, hold_polls, record, recorded, settle_admission
from workers.engine.recost import recosted
from workers.engine.runtime import Runtime
from workers.engine.slice import PATIENCE_SECONDS, Slice
from workers.engine.streaks import key_mark
from workers.engine.wake import submit_pump
from workers.failpoints import hold_here
from workers.http.exchange import clock
from workers.jobs.state_changes import AttemptMove
from workers.jobs.transitions import move_jobs
from workers.messaging.task_events import show_starts

BLOCKED_RETRY_SECONDS = 5.0  # a full account is checked again at least this often, in case no poll wakes the pump
LEARN_SECONDS = 1.0  # between two looks at what was learned, while jobs are sent of which nothing is known
MIN_CLAIM_SHARE = 4  # claim again when a quarter of the connections is free, not for every single one

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Answered:
    sent: Sent
    outcome: SubmitOutcome
    #: Whether the provider was given an address to call back.
    called: bool
    #: When it came, by the monotonic clock.
    answered_at: float = field(default_factory=monotonic)


class SubmitPump:
    """Submits the jobs of one account."""

    def __init__(self, runtime: Runtime, account: str) -> None:
        self.name = submit_pump(account)
        self._runtime = runtime
        self._base = runtime.account(account)
        self._account: Account = self._base
        self._ahead = ahead_of(self._base, runtime.accounts.values())
        self._latencies, self._learn_at = Latencies(), 0.0
        self._half_open = False
        self._count: admission.Count | None = None
        self._retry_in: float | None = None
        self._floors = runtime.floors.setdefault(account, Floors())

    async def run(self, turn: Slice) -> None:
        """Submit until the slice ends, no job is left, or none may be submitted."""
        self._account, self._latencies = await turn.db(self._begin_slice)
        provider = self._runtime.provider(self._account)
        writer: BatchWriter[_Answered] = BatchWriter(
            self._runtime,
            self._write,
            after=partial(notify, self._runtime, self._account.name),
            fallback=_write_fallback,
        )
        async with writer, InFlight(self._connections) as sending:
            while not turn.over:
                if sending.free < self._connections // MIN_CLAIM_SHARE:
                    await turn.wait(turn.left, sending)
                    continue
                begun = await self._next(turn, provider, sending.free)
                if begun is None:
                    if not await self._patient(turn, sending):
                        break
                    continue
                for item, sent_at, write_before in begun:
                    sending.start(self._send(provider, item, sent_at, write_before, writer))
                await self._show_starts(begun)

    def next_in(self, session: Session) -> float | None:
        """Seconds until the next job can be claimed and the account accepts; None when neither is known."""
        seen = admission.read(session, self._account.name)
        waiting = claims.next_claim_in(session, self._account, self._ahead)
        if waiting is None:
            return None
        allowed = admission.allowance(seen, self._base.with_overrides(seen.overrides), 1)
        if allowed.number:
            return waiting
        if allowed.ask_in == float("inf"):
            return None
        return max(waiting, BLOCKED_RETRY_SECONDS if allowed.ask_in is None else allowed.ask_in)

    @property
    def _connections(self) -> int:
        # Polls need connections too.
        return max(1, self._runtime.settings.connections // 2)

    def _begin_slice(self, session: Session) -> tuple[Account, Latencies]:
        seen = admission.read(session, self._base.name)
        return self._base.with_overrides(seen.overrides), admission.latencies(session, self._base.name)

    async def _next(self, turn: Slice, provider: Provider, free: int) -> list[tuple[Prepared, datetime, float]] | None:
        """Claim and commit up to `free` submissions; None when there is no job or no place."""
        claimed = await turn.db(self._claim, free)
        if not claimed:
            return None
        log.debug("claimed", account=self._account.name, jobs=len(claimed))
        ids = {claim.job_id for claim in claimed}
        turn.in_hand |= ids
        await hold_here("claimed")
        try:
            return await self._commit(turn, provider, claimed)
        finally:
            turn.in_hand -= ids

    async def _commit(
        self, turn: Slice, provider: Provider, claimed: Sequence[claims.Claim]
    ) -> list[tuple[Prepared, datetime, float]] | None:
        """Prepare claimed jobs and commit the attempts that may be sent; None when none may."""
        prepared, unusable = await prepare(self._runtime, self._account, provider, claimed)
        if unusable:
            await self._turn_away(turn, unusable)
        if not prepared:
            return []
        by_reference = {item.ready.claim.reference: item for item in prepared}
        begun, write_before = await turn.db(self._begin, [item.ready for item in prepared])
        if not begun.started:
            self._retry_in = begun.ask_in
            self._say_why_not(begun.blocked_by, begun.ask_in)
            return None
        await hold_here("committed")
        return [(by_reference[reference], begun.sent_at, write_before) for reference in begun.started]

    async def _show_starts(self, begun: Sequence[tuple[Prepared, datetime, float]]) -> None:
        """Have Flower show that producers' jobs are sent, for the first time; of a catalog's jobs it is told later."""
        first = [(item.ready.claim, sent_at) for item, sent_at, _ in begun if item.ready.claim.number == 1]
        if singles := [(claim.job_id, sent_at) for claim, sent_at in first if claim.batch_id == SINGLES]:
            await self._runtime.in_thread(show_starts, singles)

    def _say_why_not(self, because: str | None, ask_in: float | None) -> None:
        """Log why nothing may be submitted now: a stop, a limit, a budget, or paused batches."""
        log.debug("not_submitted", account=self._account.name, because=because or "jobs_not_free", ask_in=ask_in)

    def _claim(self, session: Session, free: int) -> list[claims.Claim]:
        if self._latencies.scouting and monotonic() >= self._learn_at:  # the first results may come to another worker
            self._latencies.catch_up(admission.latencies(session, self._account.name))
            self._learn_at = monotonic() + LEARN_SECONDS
        room_for = self._account.max_in_flight - free
        seen = admission.read(session, self._account.name, known=self._count, room_for=room_for)
        self._count = seen.count
        allowed = admission.allowance(seen, self._account, free)
        self._half_open = seen.failures > 0
        self._retry_in = None if allowed.number else allowed.ask_in
        if not allowed.number:
            self._say_why_not(allowed.blocked_by, allowed.ask_in)
        return claims.claim(session, self._account, allowed.number, self._ahead, self._floors) if allowed.number else []

    def _begin(self, session: Session, ready: Sequence[begin.Ready]) -> tuple[begin.Begun, float]:
        # The time to write runs from before the rows are written, so a slow commit counts against it.
        write_before = clock() + WRITE_SECONDS
        return begin.begin(session, self._account, ready, self._count), write_before

    async def _turn_away(self, turn: Slice, unready: Sequence[Unready]) -> None:
        for item in unready:
            log.debug(
                "not_ready", job=item.job.job_id, account=self._account.name, to=item.job.to, error=item.job.error
            )

        def write(session: Session) -> Recorded:
            settle_admission(session, self._account.name, [item.trouble for item in unready if item.trouble])
            hold_polls(session, self._account.name, [item.hold for item in unready])
            waiting = [(item.job, item.tried) for item in unready if item.job.to is JobState.QUEUED]
            claims.postpone(
                session, [claims.Wait(move.job_id, move.wait, move.error, tried) for move, tried in waiting]
            )
            ending = [item.job for item in unready if item.job.to is not JobState.QUEUED]
            return recorded(session, (), move_jobs(session, ending))

        await notify(self._runtime, self._account.name, await turn.db(write))

    async def _patient(self, turn: Slice, sending: InFlight) -> bool:
        """Wait a little for a place, an answer or a job; False when the slot should be released."""
        if self._retry_in is None:
            return await turn.patience(sending)
        if self._retry_in > PATIENCE_SECONDS:
            return False
        await asyncio.sleep(min(self._retry_in, turn.left))
        return True

    async def _send(
        self, provider: Provider, item: Prepared, sent_at: datetime, write_before: float, writer: BatchWriter[_Answered]
    ) -> None:
        claim = item.ready.claim
        outcome = await provider_calls.submit(provider, item.order, write_before=write_before)
        log.debug(
            "submitted", job=claim.job_id, attempt=claim.number, account=self._account.name,
            operation=claim.operation, outcome=type(outcome).__name__,
        )  # fmt: skip
        if blames_input(outcome) and item.links:
            outcome = await judged(outcome, self._runtime.own_web)
        await hold_here("answered")
        operation = self._account.operations[claim.operation]
        reused = tuple(picture.handle for picture in item.order.inputs.values() if picture.reused and picture.handle)
        sent = Sent(claim.reference, claim.job_id, claim.number, operation, sent_at, reused)
        writer.put(_Answered(sent, outcome, called=item.ready.callback_token is not None))

    def _write(self, session: Session, answered: Sequence[_Answered]) -> Recorded:
        effects = [self._effects(item) for item in answered]
        key = key_mark(self._runtime.settings.secret_key, self._base)
        return record(session, self._account.name, effects, opened=self._half_open, key=key)

    def _effects(self, item: _Answered) -> Effects:
        operation = item.sent.operation
        # What this process's poll pump has learned counts on when its slice is over.
        self._latencies = self._runtime.latencies.get(self._account.name, self._latencies)
        first_look = self._latencies.first_look(
            operation.name, operation.typical_seconds, self._account.poll_every, called=item.called
        )
        first_look, ago = min(first_look, self._account.deadline), monotonic() - item.answered_at
        effects = after_submit(item.sent, item.outcome, first_look, self._runtime.settings.tries, ago=ago)
        made = len(item.outcome.parts) if isinstance(item.outcome, Accepted) else None
        return recosted(effects, self._account, operation, made)


def _write_fallback(session: Session, item: _Answered, error: Exception) -> None:
    """Record an outcome that the database refuses: it is only certain that something was sent."""
    message = f"the answer could not be stored: {type(error).__name__}"
    attempt = AttemptMove(
        item.sent.reference, AttemptState.UNKNOWN, reason=Reason.UNCLEAR_SUBMIT, error=message,
        poll_in=LOCATE_FIRST_SECONDS,
    )  # fmt: skip
    record(session, "", [Effects(attempt)])
