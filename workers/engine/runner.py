"""The engine under every pump: one slice of work under a lease, on the event loop, with outcomes written in groups.

message --> lease taken? --no--> return
                |yes
                v
            slice: claim ... call ... write        (claiming stops after slice_seconds, or when nothing is due)
                |
                v
            lock the lease, look what is left, release --> message for the next slice, or none
"""

from __future__ import annotations

import asyncio
import itertools
import os
import socket
import uuid
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any, Concatenate, Generic, ParamSpec, Protocol, TypeVar

import structlog
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm import Session

from models.transactions import is_connection_trouble
from workers.backoff import Backoff
from workers.config.settings import MAX_COUNTDOWN_SECONDS
from workers.engine import leases
from workers.engine.runtime import Runtime
from workers.http.client import clock

P = ParamSpec("P")
T = TypeVar("T")
R = TypeVar("R")

GROUP_SIZE = 250  # outcomes in one statement; more gains nothing and locks longer
GROUP_SECONDS = 0.05  # how long an outcome may wait for company
PATIENCE_SECONDS = 1.0  # a slice with nothing to do waits this long for work before it hands its slot back
DATABASE_RETRY = Backoff(first=0.2, cap=5.0)  # a restarted database is back within seconds

log = structlog.get_logger()


class Pump(Protocol):
    """What one kind of pump does with its slices."""

    name: str

    async def run(self, turn: Slice) -> None:
        """Claim and work until ``turn.over`` or until nothing is due; return when every outcome is written."""
        ...

    def next_in(self, session: Session) -> float | None:
        """Seconds until the next slice should run; None when only a wake-up can bring work."""
        ...


class Slice:
    """One activation of a pump: how long it may claim, and its way to the database."""

    def __init__(self, runtime: Runtime, lease: leases.Lease, seconds: float) -> None:
        self.runtime = runtime
        self.lease = lease
        self.nudged = asyncio.Event()
        #: Jobs claimed and not yet moved on: their claims are renewed with the lease, and end with it.
        self.in_hand: set[str] = set()
        self._ends_at = clock() + seconds
        self._lost = False

    @property
    def over(self) -> bool:
        """Whether claiming must stop: time is up, the worker shuts down, or the lease is gone."""
        return self._lost or self.runtime.stopping.is_set() or clock() >= self._ends_at

    @property
    def left(self) -> float:
        """Seconds this slice may still claim."""
        return max(0.0, self._ends_at - clock())

    async def db(self, work: Callable[Concatenate[Session, P], R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run `work(session, ...)` in a transaction."""
        return await self.runtime.adb(work, *args, **kwargs)

    async def wait(self, calls: set[asyncio.Task[None]], seconds: float) -> set[asyncio.Task[None]]:
        """Wait for one of `calls`, a nudge, or `seconds`; returns the calls that still run."""
        nudge = asyncio.ensure_future(self.nudged.wait())
        try:
            await asyncio.wait({*calls, nudge}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            nudge.cancel()
        self.nudged.clear()
        return {call for call in calls if not call.done()}

    async def patience(self, calls: Iterable[asyncio.Task[None]] = ()) -> bool:
        """Wait a little for an answer, or for somebody to bring work; False when the slot is better handed back."""
        started = clock()
        seconds = min(PATIENCE_SECONDS, self.left)
        await self.wait({call for call in calls if not call.done()}, seconds)
        return clock() - started < seconds

    async def keep_lease(self) -> None:
        """Renew the lease until cancelled; when it is lost, claiming stops and work in flight goes on."""
        failing_since: float | None = None
        while not self._lost:
            await asyncio.sleep(leases.RENEW_SECONDS)
            try:
                self._lost = not await self.db(leases.renew, self.lease, sorted(self.in_hand))
                failing_since = None
            except (DBAPIError, PoolTimeoutError) as error:
                failing_since = failing_since or clock()
                self._lost = clock() - failing_since > leases.LEASE_SECONDS - leases.RENEW_SECONDS
                log.warning("lease_not_renewed", pump=self.lease.name, error=type(error).__name__)


class Group(Generic[T]):
    """Collects outcomes and writes them together; nothing that was put in is ever dropped.

    A database that is away is asked again with the outcomes in hand; a group that the database refuses is cut in halves
    until the one outcome that it refuses stands alone, and that one is given to `spoiled`.
    """

    def __init__(
        self,
        runtime: Runtime,
        write: Callable[[Session, Sequence[T]], R],
        *,
        after: Callable[[R], Awaitable[None]],
        spoiled: Callable[[Session, T, Exception], None],
        done: Callable[[T], None] = lambda _: None,
    ) -> None:
        self._runtime = runtime
        self._write = write
        self._after = after
        self._spoiled = spoiled
        self._done = done
        self._waiting: list[T] = []
        self._filled = asyncio.Event()
        self._closing = False
        self._telling: set[asyncio.Task[None]] = set()
        self._task = asyncio.ensure_future(self._run())

    def put(self, outcome: T) -> None:
        """Take an outcome to be written soon."""
        self._waiting.append(outcome)
        self._filled.set()

    async def close(self) -> None:
        """Write what is left and stop."""
        self._closing = True
        self._filled.set()
        await self._task
        if self._telling:
            await asyncio.wait(self._telling)

    async def _run(self) -> None:
        while True:
            await self._filled.wait()
            if not self._closing and len(self._waiting) < GROUP_SIZE:
                await asyncio.sleep(GROUP_SECONDS)
            taken, self._waiting = self._waiting[:GROUP_SIZE], self._waiting[GROUP_SIZE:]
            if taken:
                await self._settle(taken)
                for outcome in taken:
                    self._done(outcome)
            if not self._waiting:
                self._filled.clear()
                if self._closing:
                    return

    async def _settle(self, outcomes: list[T]) -> None:
        try:
            result = await self._patiently(self._write, outcomes)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is what is to be told
            # The database, or the driver before it, refuses something in here.
            if len(outcomes) > 1:
                middle = len(outcomes) // 2
                await self._settle(outcomes[:middle])
                await self._settle(outcomes[middle:])
            else:
                await self._spoil(outcomes[0], error)
            return
        # Not waited for: a broker that is away must not hold up what can be written.
        telling = asyncio.ensure_future(self._tell(result))
        self._telling.add(telling)
        telling.add_done_callback(self._telling.discard)

    async def _tell(self, result: Any) -> None:
        try:
            await self._after(result)
        except Exception:
            # It is written; whom it concerns is found by the sweep.
            log.exception("telling_failed")

    async def _spoil(self, outcome: T, error: Exception) -> None:
        log.error("outcome_refused_by_database", error=type(error).__name__)
        try:
            await self._patiently(self._spoiled, outcome, error)
        except Exception:
            log.exception("outcome_not_recorded")

    async def _patiently(self, work: Callable[Concatenate[Session, P], R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run `work(session, ...)`; while the database is away, wait and ask again."""
        for step in itertools.count():
            try:
                return await self._runtime.adb(work, *args, **kwargs)
            except (DBAPIError, PoolTimeoutError) as error:
                if not is_connection_trouble(error):
                    raise
                log.warning("outcomes_wait_for_database", error=type(error).__name__)
                await asyncio.sleep(DATABASE_RETRY.delay(step))
        raise AssertionError("unreachable")


def owner() -> str:
    """A name for the holder of a lease that no other slice has."""
    return f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"


def run(runtime: Runtime, pump: Pump, generation: int | None) -> tuple[float, int] | None:
    """Run one slice of `pump` if its lease is free.

    Returns:
        Seconds until the next slice and the generation its message must carry; None when no message is to be sent.
    """
    lease = runtime.db(leases.acquire, pump.name, owner(), generation)
    if lease is None:
        return None
    with structlog.contextvars.bound_contextvars(pump=pump.name):
        runtime.on_loop(_slice(runtime, pump, lease))
    return runtime.db(_release, lease, pump)


def _release(session: Session, lease: leases.Lease, pump: Pump) -> tuple[float, int] | None:
    if not leases.lock_for_release(session, lease):
        return None
    seconds = pump.next_in(session)
    generation = leases.release(session, lease, seconds)
    # A longer sleep stays a row: the sweep sends the message when the time has come.
    return (seconds, generation) if seconds is not None and seconds <= MAX_COUNTDOWN_SECONDS else None


async def _slice(runtime: Runtime, pump: Pump, lease: leases.Lease) -> None:
    turn = Slice(runtime, lease, runtime.settings.slice_seconds)
    keeper = asyncio.ensure_future(turn.keep_lease())
    runtime.active[pump.name] = turn.nudged
    try:
        await pump.run(turn)
    finally:
        # Cleared before the lease is locked for release: whoever still saw it here has committed work that the look
        # under that lock will find.
        runtime.active.pop(pump.name, None)
        keeper.cancel()
        with suppress(asyncio.CancelledError):
            await keeper
