"""The poll pump: polls the due attempts of an account, and searches for unclear ones."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from time import monotonic

import structlog
from sqlalchemy import TextClause, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from models.fragments import seconds_ago, until
from models.states import AttemptState
from providers.outcomes import Done, Failed, LocateOutcome, Pending, PollOutcome
from providers.protocol import NotSentError, Provider, UnclearError
from workers.accounts import admission
from workers.accounts.latency import SPREAD, Latencies
from workers.engine import look_ups, provider_calls
from workers.engine.batch_writer import MANY, BatchWriter
from workers.engine.blame import blames_input, judged, with_links
from workers.engine.due import DUE, Due
from workers.engine.effects import Effects
from workers.engine.first_looks import plan_first_looks
from workers.engine.floors import DueFloor
from workers.engine.in_flight import InFlight
from workers.engine.locate_outcomes import after_locate
from workers.engine.notify import notify
from workers.engine.outcomes import after_poll
from workers.engine.record import Recorded, record
from workers.engine.recost import recosted
from workers.engine.runtime import Runtime
from workers.engine.slice import Slice
from workers.engine.wake import poll_pump
from workers.failpoints import hold_here
from workers.failures import describe
from workers.jobs.state_changes import AttemptMove

TICK_SECONDS = 0.1  # how soon a running slice notices an attempt that a callback made due; each look takes 0.5 ms
AHEAD = 2  # due attempts claimed for each connection
GATHER_SECONDS = 0.05  # due attempts are claimed at most this often, so that a claim brings many
IDLE_SECONDS = 1.0  # with nothing due for longer than this the slot is released
SPOILED_RETRY_SECONDS = 60.0
INBOX_MARGIN_SECONDS = 0.1  # on top of `poll_every`, for the way of a call to the provider

CALLBACKS_READ = 10  # bodies of one attempt that are searched for a handle, the latest; repetitions say the same

log = structlog.get_logger()

_BODIES = text("SELECT body FROM callbacks WHERE token = :token ORDER BY id DESC LIMIT :number")

_OF_ACCOUNT = "FROM attempts WHERE account = :account AND NOT id = ANY(cast(:busy AS uuid[]))"
_FIRST = "ORDER BY next_poll_at LIMIT :number"
_HELD = "(SELECT polls_after FROM accounts WHERE name = :account)"
# By the time of the statement: the clock's, which may change within it, bounds no look at an index, and all attempts in
# flight would be read.
_DUE = text(f"""
    SELECT {DUE} {_OF_ACCOUNT} AND next_poll_at <= statement_timestamp()
        AND next_poll_at >= coalesce(cast(:since AS timestamptz), '-infinity')
        AND coalesce({_HELD}, '-infinity') <= clock_timestamp() {_FIRST}
""")
# An inbox is read for all attempts of the account at once, whichever of them is due.
_OPEN = text(f"""
    SELECT {DUE} {_OF_ACCOUNT} AND next_poll_at IS NOT NULL
        AND (state <> 'unknown' OR next_poll_at <= clock_timestamp()) {_FIRST}
""")
_INBOX_TURN = text(f"""
    UPDATE accounts SET inbox_at = clock_timestamp()
    WHERE name = :account AND (inbox_at IS NULL OR inbox_at <= {seconds_ago(":every")})
        AND coalesce(polls_after, '-infinity') <= clock_timestamp()
    RETURNING name
""")
_INBOX_READ = text("UPDATE accounts SET inbox_at = clock_timestamp() WHERE name = :account")
_NEXT = text(f"""
    SELECT CASE WHEN count(*) > 0 THEN {until(f"greatest(min(next_poll_at), {_HELD})")} END
    {_OF_ACCOUNT} AND next_poll_at IS NOT NULL
""")


@dataclass(frozen=True, slots=True)
class _Answered:
    due: Due
    outcome: PollOutcome | LocateOutcome


class PollPump:
    """Polls the attempts of one account."""

    def __init__(self, runtime: Runtime, account: str) -> None:
        self.name = poll_pump(account)
        self._runtime = runtime
        self._account = runtime.account(account)
        self._latencies = Latencies()
        self._busy: set[uuid.UUID] = set()
        self._floor = DueFloor()
        #: Operations of which the first results are in, and whose attempts under way wait for a plan.
        self._taught: set[str] = set()
        self._receipts: list[str] = []
        # Submissions need connections too.
        self._places = max(1, runtime.settings.connections // 2)
        self._connections = asyncio.Semaphore(self._places)

    async def run(self, turn: Slice) -> None:
        """Poll what is due until the slice is over or nothing will be due soon."""
        overrides, self._latencies = await turn.db(self._begin_slice)
        self._runtime.latencies[self._account.name] = self._latencies
        self._account = self._account.with_overrides(overrides)
        provider = self._runtime.provider(self._account)
        writer: BatchWriter[_Answered] = BatchWriter(
            self._runtime,
            self._write,
            after=partial(notify, self._runtime, self._account.name),
            fallback=self._write_fallback,
            done=self._written,
        )
        try:
            async with writer, InFlight() as calls:
                await self._work(turn, provider, writer, calls)
        finally:
            await self._acknowledge(provider)
            del self._runtime.latencies[self._account.name]
            await turn.db(self._end_slice)

    async def _work(self, turn: Slice, provider: Provider, writer: BatchWriter[_Answered], calls: InFlight) -> None:
        while not turn.over:
            if self._receipts:
                calls.start(self._acknowledge(provider))
            if self._taught:
                self._taught -= await turn.db(self._plan_first_looks)
                self._floor.at_once()
            due = await turn.db(self._due if provider.POLL_MANY == 1 else self._inbox, self._room(provider))
            for chunk in self._chunks(due, provider.POLL_MANY):
                calls.start(self._call(provider, chunk, writer))
            if self._busy:
                # Where many are due, more will be soon: they are claimed together.
                await turn.wait(GATHER_SECONDS if 0 < len(due) < MANY else TICK_SECONDS)
                continue
            soon = await turn.db(self.next_in)
            if soon is None or soon > IDLE_SECONDS:
                break
            # An inbox whose turn has not come yet leaves attempts due.
            await turn.wait(min(soon or TICK_SECONDS, TICK_SECONDS))

    def next_in(self, session: Session) -> float | None:
        """When the next attempt is due."""
        seconds = session.execute(_NEXT, {"account": self._account.name, "busy": list(self._busy)}).scalar_one()
        return None if seconds is None else max(0.0, float(seconds))

    def _room(self, provider: Provider) -> int:
        # A second poll costs nothing, so due attempts are taken ahead of the connections that they will wait for.
        return max(0, AHEAD * self._runtime.settings.connections * provider.POLL_MANY - len(self._busy))

    def _begin_slice(self, session: Session) -> tuple[dict[str, object], Latencies]:
        return admission.read(session, self._account.name).overrides, admission.latencies(session, self._account.name)

    def _end_slice(self, session: Session) -> None:
        admission.keep_latencies(session, self._account.name, self._latencies)

    def _plan_first_looks(self, session: Session) -> set[str]:
        """Plan some, and say what was learned; returns the operations whose attempts all have their plan now."""
        planned = set()
        for operation in self._taught:
            first, called = (
                self._latencies.planned_look(operation, self._account.poll_every, called=called)
                for called in (False, True)
            )
            if plan_first_looks(session, self._account.name, operation, first=first, called=called, spread=SPREAD):
                planned.add(operation)
        admission.keep_latencies(session, self._account.name, self._latencies)  # other workers plan by it at once
        return planned

    def _due(self, session: Session, number: int) -> list[Due]:
        began = monotonic()
        since = self._floor.of(began)
        due = self._take(session, _DUE, number, since=since)
        if since is None:
            self._floor.took(began, monotonic())
        if 0 < len(due) < number:  # none may also mean that the provider is left alone
            self._floor.took_all(due[0].requested_at)
        return due

    def _inbox(self, session: Session, number: int) -> list[Due]:
        """All open attempts, when one of them is due and the inbox may be read again."""
        soon = self.next_in(session)
        if self._busy or soon is None or soon > 0:
            return []
        every = self._account.poll_every + INBOX_MARGIN_SECONDS
        granted = session.execute(_INBOX_TURN, {"account": self._account.name, "every": every}).first()
        return self._take(session, _OPEN, number) if granted else []

    def _take(self, session: Session, statement: TextClause, number: int, **more: datetime | None) -> list[Due]:
        parameters = {"account": self._account.name, "number": number, "busy": list(self._busy), **more}
        due = [Due.read(row) for row in session.execute(statement, parameters)]
        self._busy.update(item.id for item in due)
        return due

    def _chunks(self, due: Sequence[Due], size: int) -> list[list[Due]]:
        """Attempts to ask for together: lost submissions are searched for one by one."""
        lost = [[item] for item in due if item.state is AttemptState.UNKNOWN]
        known = [item for item in due if item.state is not AttemptState.UNKNOWN]
        return lost + [known[start : start + size] for start in range(0, len(known), size)]

    async def _call(self, provider: Provider, chunk: Sequence[Due], writer: BatchWriter[_Answered]) -> None:
        try:
            async with self._connections:
                await self._ask(provider, chunk, writer)
        except SQLAlchemyError as error:
            # What is due stays due: a worker with a working database reads it again.
            log.warning("not_asked", account=self._account.name, attempts=len(chunk), error=describe(error))
            self._busy.difference_update(item.id for item in chunk)
            self._floor.at_once()

    async def _ask(self, provider: Provider, chunk: Sequence[Due], writer: BatchWriter[_Answered]) -> None:
        chunk = [item.as_of_now() for item in chunk]
        if chunk[0].state is AttemptState.UNKNOWN:
            answer = await self._locate(provider, chunk[0])
            self._say("located", chunk[0], answer)
            writer.put(_Answered(chunk[0], answer))
            return
        answers = await provider_calls.poll(provider, [item.for_provider() for item in chunk])
        if any(isinstance(outcome, Done) for outcome in answers.values()):
            await hold_here("found")
        if provider.POLL_MANY > 1:
            # Counted from the call's end: a slow call and a quick one after it must not meet at the provider.
            await self._runtime.adb(self._inbox_read)
        answers = {**answers, **await self._judged(chunk, answers)}
        outcomes = {item.id: answers.get(item.id, Pending()) for item in chunk}
        late = {item.id: item for item in chunk if look_ups.is_late(provider, item, outcomes[item.id])}
        for item in chunk:
            if item.id not in late:
                self._learn(item, outcomes[item.id])
                self._polled(item, outcomes[item.id], writer)
        if late:
            await self._look_up(provider, late, writer)

    async def _look_up(self, provider: Provider, late: dict[uuid.UUID, Due], writer: BatchWriter[_Answered]) -> None:
        def answered(item: Due, outcome: PollOutcome) -> None:
            del late[item.id]
            self._polled(item, outcome, writer)

        rate, stopping = self._account.rate, self._runtime.stopping
        try:
            await look_ups.look_up_late(
                provider, list(late.values()), answered, rate=rate, places=self._places, stopping=stopping
            )  # fmt: skip
        finally:
            self._busy.difference_update(late)  # what this round did not reach stays due for the next one
            self._floor.at_once()

    def _polled(self, item: Due, outcome: PollOutcome, writer: BatchWriter[_Answered]) -> None:
        self._say("polled", item, outcome)
        writer.put(_Answered(item, outcome))

    async def _judged(
        self, chunk: Sequence[Due], answers: Mapping[uuid.UUID, PollOutcome]
    ) -> dict[uuid.UUID, PollOutcome]:
        """The answers that blame a picture which the provider got by a link of ours, judged anew."""
        blamed = [item for item in chunk if blames_input(answers.get(item.id))]
        if not blamed:
            return {}
        jobs = {(item.job_id, item.operation) for item in blamed}
        linked = await self._runtime.adb(with_links, self._account, jobs)
        return {
            item.id: await judged(answers[item.id], self._runtime.own_web) for item in blamed if item.job_id in linked
        }

    def _inbox_read(self, session: Session) -> None:
        session.execute(_INBOX_READ, {"account": self._account.name})

    def _written(self, item: _Answered) -> None:
        self._busy.discard(item.due.id)
        self._receipts += getattr(item.outcome, "receipts", ())

    async def _acknowledge(self, provider: Provider) -> None:
        """Acknowledge what is committed; a failed call is repeated, or the message expires at the provider."""
        receipts, self._receipts = self._receipts, []
        try:
            if receipts:
                await provider.acknowledge(receipts)
        except (NotSentError, UnclearError) as error:
            log.warning("not_acknowledged", account=self._account.name, receipts=len(receipts), error=str(error))

    async def _locate(self, provider: Provider, item: Due) -> LocateOutcome:
        token = item.callback_token
        bodies = [] if token is None else await self._runtime.adb(_called_back, token)
        return await provider_calls.locate(provider, item.for_provider(), bodies)

    def _say(self, what: str, item: Due, outcome: PollOutcome | LocateOutcome) -> None:
        log.debug(
            what, job=item.job_id, attempt=item.number, account=self._account.name, polls=item.polls,
            outcome=type(outcome).__name__,
        )  # fmt: skip

    def _learn(self, item: Due, outcome: PollOutcome) -> None:
        # What was looked for again was there before.
        if not isinstance(outcome, Done | Failed) or item.state is not AttemptState.RUNNING or item.refetches:
            return
        told = item.is_told if item.callback_token is not None else None
        if self._latencies.learn(item.operation, since=item.pending_age, age=item.result_age, told=told):
            self._taught.add(item.operation)

    def _write(self, session: Session, answered: Sequence[_Answered]) -> Recorded:
        return record(session, self._account.name, [self._effects(item) for item in answered])

    def _effects(self, item: _Answered) -> Effects:
        tries = self._runtime.settings.tries
        if item.due.state is AttemptState.UNKNOWN:
            assert not isinstance(item.outcome, PollOutcome)
            provable = self._account.adapter.CAN_LOCATE or item.due.callback_token is not None
            return after_locate(item.due, self._account, item.outcome, provable=provable, tries=tries)
        assert isinstance(item.outcome, PollOutcome)
        # Not the account's own choice: it may have become smaller while the attempt was under way.
        operation = self._account.adapter.OPERATIONS[item.due.operation]
        now, expected = item.due.as_of_now(), item.due.callback_token is not None and not item.due.is_told
        next_look = self._latencies.next_look(
            operation.name, operation.typical_seconds, age=now.age,
            poll_every=self._account.poll_every, left=now.left, called=expected,
        )  # fmt: skip
        effects = after_poll(item.due, operation, self._account, item.outcome, next_look=next_look, tries=tries)
        # A submission that was found again had no answer of its own to say how many pictures it makes.
        made = item.outcome.made if isinstance(item.outcome, Done) and not item.due.parts else None
        return recosted(effects, self._account, operation, made)

    def _write_fallback(self, session: Session, item: _Answered, error: Exception) -> None:
        """An answer the database refuses to store counts as none."""
        message = f"the answer could not be stored: {type(error).__name__}"
        move = AttemptMove(item.due.id, item.due.state, error=message, polled=True, poll_in=SPOILED_RETRY_SECONDS)
        record(session, self._account.name, [Effects(move)])


def _called_back(session: Session, token: str) -> list[bytes]:
    return list(session.execute(_BODIES, {"token": token, "number": CALLBACKS_READ}).scalars())
