"""The parts of a deployment: how each is struck, and brought back. Nothing here waits for long."""

from __future__ import annotations

import signal
import subprocess
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Protocol

from tests.chaos.plan import GAP_SECONDS, WORKERS, Kill, Plan
from tests.stack import Stack, Worker

SIGNALS = {"killed": signal.SIGKILL, "stopped": signal.SIGTERM}


class Component(Protocol):
    """Something that can be struck and brought back."""

    def strike(self, manner: str) -> None:
        """Strike it; what was asked to end may take its time."""
        ...

    def gone(self) -> bool:
        """Whether it has ended."""
        ...

    def bring_back(self) -> None:
        """Start it again."""
        ...


class _Worker:
    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    def strike(self, manner: str) -> None:
        assert self._worker.process is not None
        self._worker.process.send_signal(SIGNALS[manner])

    def gone(self) -> bool:
        return self._worker.process is None or self._worker.process.poll() is not None

    def bring_back(self) -> None:
        self._worker.start()


class _Process:
    def __init__(self, start: Callable[[], subprocess.Popen[bytes]]) -> None:
        self._start = start
        self._process = start()

    def strike(self, manner: str) -> None:
        self._process.send_signal(SIGNALS[manner])

    def gone(self) -> bool:
        return self._process.poll() is not None

    def bring_back(self) -> None:
        self._process = self._start()


class _Valkey:
    def __init__(self, stack: Stack) -> None:
        self._stack = stack

    def strike(self, manner: str) -> None:
        if manner == "flushed":
            self._stack.redis.flushall()
        else:
            self._stack.servers.kill_valkey(SIGNALS[manner])

    def gone(self) -> bool:
        return self._stack.servers.pids.valkey is None

    def bring_back(self) -> None:
        self._stack.servers.restart_valkey()


class _Postgres:
    def __init__(self, stack: Stack) -> None:
        self._stack = stack

    def strike(self, manner: str) -> None:
        # SIGTERM would wait for all clients to go; a restart is SIGINT, which disconnects them.
        self._stack.servers.kill_postgres(signal.SIGKILL if manner == "killed" else signal.SIGINT)

    def gone(self) -> bool:
        return self._stack.servers.pids.postgres is None

    def bring_back(self) -> None:
        self._stack.servers.restart_postgres()
        self._stack.engine.dispose()


class _Sandbox:
    """Its fault rules, and its counts of them, end with it: `noted` is called before that."""

    def __init__(self, stack: Stack, noted: Callable[[], None]) -> None:
        self._stack, self._noted = stack, noted
        self._up = True

    def strike(self, manner: str) -> None:
        self._noted()
        self._stack.sandbox.kill(SIGNALS[manner])
        self._up = False

    def gone(self) -> bool:
        return not self._up

    def bring_back(self) -> None:
        self._stack.sandbox.start()
        self._up = True


class Weather:
    """Switches the sandbox's faults on and off, and counts those that happened."""

    def __init__(self, stack: Stack, plan: Plan) -> None:
        self._stack, self._plan = stack, plan
        self._on: frozenset[int] = frozenset()
        self.happened: Counter[str] = Counter()

    def step(self, now: float, *, up: bool) -> None:
        """Have those faults in force that the plan has `now` seconds after the start; `up`: the sandbox answers."""
        wanted = frozenset(i for i, fault in enumerate(self._plan.faults) if fault.at <= now < fault.until)
        if not up or wanted == self._on:
            return
        self.note()
        self._stack.sandbox.clear_faults()
        for index in sorted(wanted):
            self._stack.sandbox.add_fault(**self._plan.faults[index].rule)
        self._on = wanted

    def note(self) -> None:
        """Add what has happened under the rules in force, which are then forgotten: they must be set again."""
        for rule in self._stack.sandbox.faults():
            self.happened[rule["fault"]] += rule["fired"]
        self.happened = +self.happened  # without those that have not happened
        self._on = frozenset()


class Killer:
    """Strikes as the plan says, and brings back what has been away long enough."""

    def __init__(self, stack: Stack, plan: Plan, port: int, weather: Weather) -> None:
        self.parts: Mapping[str, Component] = {
            **{name: _Worker(stack.worker(name)) for name in WORKERS},
            "beat": _Process(stack.beat),
            "web": _Process(lambda: stack.web(port, wait=False)),
            "valkey": _Valkey(stack),
            "postgres": _Postgres(stack),
            "sandbox": _Sandbox(stack, weather.note),
        }
        self._left = {name: [kill for kill in plan.kills if kill.component == name] for name in self.parts}
        self._away: dict[str, Kill] = {}
        self._back_at: dict[str, float] = {}
        #: When a component may be struck again: on a slow machine kills come later, and never closer together.
        self._spared_until: dict[str, float] = {}
        #: What was done, and when it really was, in seconds after the start.
        self.done: list[tuple[float, Kill]] = []

    def up(self, name: str) -> bool:
        """Whether a component runs, as far as we know."""
        return name not in self._away

    def step(self, now: float) -> None:
        """Strike what is due `now` seconds after the start; a component is struck again only when it is back."""
        for name, kills in self._left.items():
            if name in self._away:
                self._return(name, now)
            elif kills and now >= max(kills[0].at, self._spared_until.get(name, 0.0)):
                kill = kills.pop(0)
                self.parts[name].strike(kill.manner)
                self.done.append((now, kill))
                if kill.manner != "flushed":
                    self._away[name] = kill

    def restore(self, now: float) -> bool:
        """Bring everything back without waiting out its time; whether all is up."""
        self._left = {name: [] for name in self.parts}
        for name in list(self._away):
            self._back_at[name] = now
            self._return(name, now)
        return not self._away

    def _return(self, name: str, now: float) -> None:
        if not self.parts[name].gone():
            return
        if now >= self._back_at.setdefault(name, now + self._away[name].down):
            self.parts[name].bring_back()
            del self._away[name], self._back_at[name]
            self._spared_until[name] = now + GAP_SECONDS[0]
