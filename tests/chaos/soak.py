"""One soak: a storm as planned, then quiet until nothing is left to do, and the judgement."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy.exc import DBAPIError

from devstack.ports import pick_port
from devstack.servers import Servers
from sandbox import Sandbox, SandboxConfig
from tests.bill import read_bill
from tests.chaos.components import Killer, Weather
from tests.chaos.load import Load
from tests.chaos.plan import Plan
from tests.chaos.report import Report
from tests.faults.person import open_accounts, resolve_by_the_bill
from tests.invariants import RESTLESS, busy_slots, wrongs
from tests.stack import Stack

TICK_SECONDS = 0.05
TOLD_EVERY_SECONDS = 15.0
PERSON_EVERY_SECONDS = 5.0  # how often somebody looks for closed accounts
LOOK_SECONDS = 1.0
SETTLE_SECONDS = 1_800.0  # on a machine that does other things besides
AOF_SECONDS = 1.0  # of messages that a killed Valkey may have lost
ACCEPT_SECONDS = 120.0  # within this a task that was sent is a job, unless the broker forgot it

DEADLINE = "60s"
LIMITS: dict[str, Any] = {"submit_timeout": "3s", "poll_every": "0.5s", "deadline": DEADLINE, "max_in_flight": 400}

WORK_LEFT = {
    "jobs are under way": "SELECT 1 FROM jobs WHERE state IN ('queued', 'running', 'saving')",
    # An expired attempt is looked at three times more: a late result turns its job around.
    "polls are due": "SELECT 1 FROM attempts a JOIN jobs j ON j.id = a.job_id"
    " WHERE a.next_poll_at IS NOT NULL AND j.state <> 'held'",
}


def soak(plan: Plan, home: Path, tell: Callable[[str], None]) -> Report:
    """Carry `plan` out in `home`, and judge."""
    port = pick_port(None)
    config = SandboxConfig(
        home=home / "sandbox", pictures="cheap", latency=2.0, spread=0.7, latencies={"piktid": 6.0},
        duplicates="bill", callback_scale=0.05, tokens_expire=60.0, seed=plan.seed,
    )  # fmt: skip
    settings = {
        "RECAST_PUBLIC_URL": f"http://127.0.0.1:{port}",
        "RECAST_SWEEP_EVERY": "2",
        "RECAST_VISIBILITY_TIMEOUT": "80",
    }
    with Servers(home / "servers", durable=True) as servers, Sandbox(config) as sandbox:
        stack = Stack(home, servers, sandbox, **settings)
        try:
            stack.configure(**{name: LIMITS for name in stack.accounts if name != "sandbox-piktid"})
            stack.configure(**{"sandbox-piktid": {**LIMITS, "poll_every": "3.2s"}})
            return _Soak(plan, stack, port, tell).run()
        finally:
            stack.close()


class _Soak:
    def __init__(self, plan: Plan, stack: Stack, port: int, tell: Callable[[str], None]) -> None:
        self._plan, self._stack, self._tell = plan, stack, tell
        self._weather = Weather(stack, plan)
        self._killer = Killer(stack, plan, port, self._weather)
        self._load = Load(stack, plan, stack.home)
        self._report = Report(plan.seed, plan.jobs, plan.seconds)
        self._opened: Counter[str] = Counter()
        self._began = time.monotonic()
        self._told = self._visited = 0.0

    def run(self) -> Report:
        try:
            self._storm()
            self._calm()
            self._settle()
        finally:
            self._load.close()
        self._judge()
        return self._report

    @property
    def _now(self) -> float:
        return time.monotonic() - self._began

    def _storm(self) -> None:
        while (now := self._now) < self._plan.seconds:
            self._killer.step(now)
            self._weather.step(now, up=self._killer.up("sandbox"))
            if self._killer.up("postgres"):
                self._load.feed(now)
            self._look_after(now)
            time.sleep(TICK_SECONDS)

    def _calm(self) -> None:
        """Everything comes back, every fault ends, and what had to wait is brought in."""
        while not self._killer.restore(self._now):
            time.sleep(TICK_SECONDS)
        self._weather.step(self._plan.seconds, up=True)
        self._weather.note()
        self._quiet_at = self._now
        while not self._load.complete:
            self._load.feed(self._now)
        self._report.states_at_quiet = dict(self._stack.states())
        self._tell("quiet: all faults off, everything up")

    def _settle(self) -> None:
        """Wait until every job has ended or is held; then have a person resolve the held ones, and wait for those."""
        report, said = self._report, Counter[str]()
        self._wait(WORK_LEFT)
        report.settled_after = self._now - self._quiet_at
        report.states_settled = dict(self._stack.states())
        report.held = self._stack.states()["held"]
        report.wrong += [f"with jobs held: {wrong}" for wrong in wrongs(self._stack)]
        while self._stack.states()["held"] and self._in_time:
            said.update(verdict.value for verdict in resolve_by_the_bill(self._stack).elements())
            self._wait(WORK_LEFT)
        self._wait({**WORK_LEFT, **RESTLESS})
        report.resolved = dict(said)
        report.finished_after = self._now - self._quiet_at

    def _wait(self, left: dict[str, str]) -> None:
        """Wait until none of these queries finds anything, and no message waits."""
        while self._in_time and (any(map(self._stack.sql, left.values())) or self._messages()):
            self._look_after(self._now)
            time.sleep(LOOK_SECONDS)

    def _messages(self) -> int:
        counts = self._stack.broker_messages()
        # (Pumps' own messages come and go; a producer's may come back when it was a dead worker's.)
        return counts["jobs"] + sum(b'"task": "swap"' in body for body in self._stack.redis.hvals("unacked"))

    @property
    def _in_time(self) -> bool:
        return self._now < self._plan.seconds + SETTLE_SECONDS

    def _look_after(self, now: float) -> None:
        """Open closed accounts as a person would, and tell how it goes."""
        if now - self._visited < PERSON_EVERY_SECONDS or not self._killer.up("postgres"):
            return
        self._visited = now
        try:
            self._opened += open_accounts(self._stack)
            if now - self._told >= TOLD_EVERY_SECONDS:
                self._told = now
                states = ", ".join(f"{number} {state}" for state, number in sorted(self._stack.states().items()))
                self._tell(f"{now:4.0f} s: {states}; killed {len(self._killer.done)} times")
        except DBAPIError:
            self._stack.engine.dispose()

    def _judge(self) -> None:
        report, stack = self._report, self._stack
        for what, query in {**WORK_LEFT, **RESTLESS}.items():
            if found := stack.sql(query):
                report.wrong.append(f"in the end {what}: {len(found)}")
        report.wrong += [f"a slot is held by {task}" for task in self._busy()]
        report.wrong += wrongs(stack)
        report.wrong += self._lost()
        report.tasks_sent = len(self._load.sent)
        report.opened, report.faults = dict(self._opened), dict(self._weather.happened)
        report.note_kills(self._killer.done)
        report.note_books(stack, read_bill(stack))

    def _busy(self) -> list[str]:
        for _ in range(20):  # a sweep, which comes every two seconds, may be looked upon at work
            if not (busy := busy_slots(self._stack)):
                return []
            time.sleep(LOOK_SECONDS)
        return busy

    def _lost(self) -> list[str]:
        """Jobs that were brought in and are not there, but for tasks that the broker forgot."""
        wrong = []
        there = self._stack.sql("SELECT count(*) AS n FROM jobs WHERE batch_id > 0")[0].n
        if there != self._load.inserted:
            wrong.append(f"{self._load.inserted} jobs were brought in by batches and {there} are there")
        known = {row.task_id for row in self._stack.sql("SELECT task_id FROM announcements")}
        forgot = [at for at, kill in self._killer.done if kill.component == "valkey" and kill.manner != "stopped"]
        for task_id, sent in self._load.sent.items():
            if task_id in known:
                continue
            self._report.tasks_lost += 1
            if not any(sent - AOF_SECONDS <= at <= sent + ACCEPT_SECONDS for at in forgot):
                wrong.append(f"task {task_id}, sent after {sent:.0f} s, never became a job")
        return wrong
