"""Counters of the running sandbox, which a restart resets; the durable bill is kept elsewhere."""

from __future__ import annotations

from collections import Counter, defaultdict
from heapq import heappop, heappush
from typing import Any

from sandbox.faults import Call


class InFlight:
    """How many jobs a provider has accepted and not finished, now and at most.

    A job leaves when its result can be had: at its `ready_at`, or when its pictures are made if that is later.
    """

    def __init__(self) -> None:
        self._due: list[tuple[float, int]] = []
        self._unmade: set[int] = set()
        self._overdue: set[int] = set()
        self.peak = 0

    def enter(self, now: float, number: int, ready_at: float, *, made: bool) -> None:
        """Count a job that was accepted."""
        heappush(self._due, (ready_at, number))
        if not made:
            self._unmade.add(number)
        self.peak = max(self.peak, self.count(now))

    def made(self, number: int) -> None:
        """Note that the pictures of a job are made."""
        self._unmade.discard(number)
        self._overdue.discard(number)

    def count(self, now: float) -> int:
        """Return how many there are at `now` (epoch seconds)."""
        while self._due and self._due[0][0] <= now:
            number = heappop(self._due)[1]
            if number in self._unmade:
                self._overdue.add(number)
        return len(self._due) + len(self._overdue)


class Stats:
    """Requests and acceptances since the start, and jobs in flight, in total and for each account."""

    def __init__(self) -> None:
        self._requests: Counter[tuple[str, str, str, str]] = Counter()
        self._faults: Counter[str] = Counter()
        self._too_soon: Counter[str] = Counter()
        self._callbacks: Counter[str] = Counter()
        self._all = InFlight()
        self._accounts: defaultdict[str, InFlight] = defaultdict(InFlight)

    def request(self, call: Call, fault: str | None) -> None:
        """Count one request, and the fault it met."""
        self._requests[call.provider, call.operation, call.account, call.kind] += 1
        if fault is not None:
            self.fault(fault)

    def fault(self, fault: str) -> None:
        """Count a fault that happened."""
        self._faults[fault] += 1

    def too_soon(self, call: Call) -> None:
        """Count a request that was refused for coming too soon after the one before it."""
        self._too_soon[f"{call.provider}:{call.account}"] += 1

    def callback(self, end: str) -> None:
        """Count how one callback ended: "taken", "given_up", or "overflowed" where the queue was full."""
        self._callbacks[end] += 1

    def accepted(self, now: float, account: str, number: int, ready_at: float, *, made: bool) -> None:
        """Count a job as in flight."""
        self._all.enter(now, number, ready_at, made=made)
        self._accounts[account].enter(now, number, ready_at, made=made)

    def made(self, account: str, number: int) -> None:
        """Note that the pictures of a job are made."""
        self._all.made(number)
        self._accounts[account].made(number)

    def describe(self, now: float) -> dict[str, Any]:
        """Return all counts: `submits`, `polls`, `files` and the like are requests, answered or not.

        `callbacks` counts each time one was sent, `callback_ends` how those that will not be sent again have ended.
        """
        by_operation: defaultdict[str, Counter[str]] = defaultdict(Counter)
        by_account: defaultdict[str, Counter[str]] = defaultdict(Counter)
        total: Counter[str] = Counter(submits=0, polls=0, files=0)
        for (provider, operation, account, kind), count in self._requests.items():
            name = f"{kind}s"
            total[name] += count
            by_operation[f"{provider}.{operation}"][name] += count
            by_account[f"{provider}:{account}"][name] += count
        return {
            **total,
            "in_flight": self._all.count(now),
            "peak": self._all.peak,
            "faults": dict(self._faults),
            "too_soon": dict(self._too_soon),
            "callback_ends": dict(self._callbacks),
            "by_operation": {name: dict(counts) for name, counts in by_operation.items()},
            "by_account": {
                name: dict(by_account[name])
                | {"in_flight": self._accounts[name].count(now), "peak": self._accounts[name].peak}
                for name in by_account
            },
        }
