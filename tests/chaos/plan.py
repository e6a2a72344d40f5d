"""What a soak does to a deployment, and when: all of it follows from a seed, and nothing else. Pure."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

WORKERS = ("worker-1", "worker-2")

#: What is killed, and how: a process by SIGKILL or SIGTERM (PostgreSQL, which would wait for its clients, by SIGINT).
MANNERS: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys((*WORKERS, "beat", "web", "postgres", "sandbox"), ("killed", "stopped")),
    "valkey": ("killed", "stopped", "flushed"),
}

GAP_SECONDS = (15.0, 75.0)  # between two kills of one component; less would only show that nothing runs
DOWN_SECONDS = (0.5, 4.0)
FAULT_EVERY_SECONDS = (1.0, 4.0)
FAULT_SECONDS = (4.0, 15.0)
CHANCES = (0.05, 0.4)  # that a call of one provider meets a fault that is in force
PROVIDERS = ("zhiqite", "qolaba", "piktid", "hidream", "replicate")


@dataclass(frozen=True, slots=True)
class Kill:
    """One component's death, `at` seconds after the start; it stays away for `down` seconds."""

    at: float
    component: str
    manner: str
    down: float


@dataclass(frozen=True, slots=True)
class Fault:
    """A rule of the sandbox that is in force for a while; times in seconds after the start."""

    at: float
    until: float
    rule: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Plan:
    """A soak: `jobs` come evenly within `seconds`, while things are killed and providers misbehave."""

    seed: int
    jobs: int
    seconds: float
    kills: tuple[Kill, ...]
    faults: tuple[Fault, ...]


def make_plan(seed: int, jobs: int, seconds: float) -> Plan:
    """The soak of this seed; kills and faults of a longer one begin like those of a shorter one."""
    kills = [kill for component in MANNERS for kill in _kills(random.Random(f"{seed} {component}"), component, seconds)]
    faults = _faults(random.Random(f"{seed} faults"), seconds)
    return Plan(seed, jobs, seconds, tuple(sorted(kills, key=lambda kill: kill.at)), tuple(faults))


def _kills(chance: random.Random, component: str, seconds: float) -> Iterator[Kill]:
    at = chance.uniform(*DOWN_SECONDS) + chance.uniform(0, GAP_SECONDS[0])
    while at < seconds:
        yield Kill(at, component, chance.choice(MANNERS[component]), chance.uniform(*DOWN_SECONDS))
        at += chance.uniform(*GAP_SECONDS)


def _faults(chance: random.Random, seconds: float) -> Iterator[Fault]:
    at, bag = 0.0, list[str]()
    while (at := at + chance.uniform(*FAULT_EVERY_SECONDS)) < seconds:
        # Out of a bag that is filled again when it is empty: every kind happens before any happens twice.
        bag = bag or chance.sample(sorted(RULES), len(RULES))
        kind, provider = bag.pop(), chance.choice(PROVIDERS)
        rule: dict[str, Any] = {"fault": kind, "seed": chance.randrange(2**31), "probability": chance.uniform(*CHANCES)}
        rule |= RULES[kind](chance)
        rule["where"] = {"provider": provider, **rule.get("where", {})}
        yield Fault(at, min(seconds, at + chance.uniform(*FAULT_SECONDS)), rule)


def _stage(chance: random.Random) -> dict[str, Any]:
    return {"stage": chance.choice(("before", "after"))}


def _lasting(chance: random.Random) -> dict[str, Any]:
    # It stops the account until a person resumes it: once is enough.
    return {"times": 1, "probability": 1.0, "where": {"call": "submit"}, "retry_after": chance.uniform(0, 1)}


#: Every fault with what makes it one of many: chance decides.
RULES: Mapping[str, Callable[[random.Random], dict[str, Any]]] = {
    "latency": lambda chance: {**_stage(chance), "seconds": chance.uniform(0.5, 6)},
    "throttle": lambda chance: {
        "retry_after": float(chance.randint(1, 4)),
        "retry_after_form": chance.choice(("seconds", "http-date")),
    },
    "error5xx": lambda chance: {**_stage(chance), "status": chance.choice((500, 502, 503, 504))},
    "accept_then_hang": lambda _: {"probability": 0.05},
    "reset": _stage,
    "malformed": lambda _: {},
    "lost": lambda _: {"probability": 0.05},
    "late": lambda chance: {"seconds": chance.uniform(5, 80)},
    "fail": lambda chance: {"error": chance.choice(("no_face", "unreadable", "content", "internal"))},
    "expired_url": lambda chance: {"status": chance.choice((403, 404, 410))},
    "damaged": lambda chance: {"damage": chance.choice(("half", "empty", "html", "noise"))},
    "out_of_credit": _lasting,
    "auth": _lasting,
    "callback_dropped": lambda _: {},
    "callback_late": lambda chance: {"seconds": chance.uniform(1, 30)},
    "callback_duplicated": lambda _: {},
    "callback_forged": lambda _: {},
}
