"""A time slice: one activation of a pump, under a lease that is kept for as long as it runs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Concatenate, ParamSpec, TypeVar

import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from workers.engine import leases
from workers.engine.in_flight import InFlight
from workers.engine.runtime import Runtime
from workers.http.exchange import clock

P = ParamSpec("P")
R = TypeVar("R")

PATIENCE_SECONDS = 1.0  # a slice with nothing to do waits this long for work before it hands its slot back

log = structlog.get_logger()


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

    async def wait(self, seconds: float, calls: InFlight | None = None) -> None:
        """Wait for one of `calls`, a nudge, or `seconds`."""
        await (InFlight() if calls is None else calls).wait(seconds, self.nudged)

    async def patience(self, calls: InFlight | None = None) -> bool:
        """Wait a little for an answer or for new work; False when the slot should be released."""
        started = clock()
        seconds = min(PATIENCE_SECONDS, self.left)
        await self.wait(seconds, calls)
        return clock() - started < seconds

    async def goes_on(self, claimed: int, calls: InFlight) -> bool:
        """Wait, after a claim, until another one may bring something; False when the slot should be released."""
        if not claimed and not calls:
            return await self.patience()
        if not claimed or not calls.free:
            await self.wait(self.left, calls)
        return True

    async def keep_lease(self) -> None:
        """Renew the lease until cancelled; when it is lost, claiming stops and work in flight continues."""
        failing_since: float | None = None
        while not self._lost:
            await asyncio.sleep(leases.RENEW_SECONDS)
            try:
                self._lost = not await self.db(leases.renew, self.lease, sorted(self.in_hand))
                failing_since = None
            except SQLAlchemyError as error:
                failing_since = failing_since or clock()
                self._lost = clock() - failing_since > leases.LEASE_SECONDS - leases.RENEW_SECONDS
                log.warning("lease_not_renewed", pump=self.lease.name, error=type(error).__name__)
        log.warning("lease_lost", pump=self.lease.name)
