"""A soak follows from its seed, and strikes everything there is."""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from providers import PROVIDERS
from sandbox.faults import Kind, Rule
from tests.chaos import load, plan
from tests.chaos.plan import GAP_SECONDS, MANNERS, RULES, make_plan

SEEDS = st.integers(0, 2**32)
some = settings(max_examples=15)


@some
@given(SEEDS)
def test_a_seed_gives_one_plan(seed: int) -> None:
    assert make_plan(seed, 100, 90.0) == make_plan(seed, 100, 90.0)
    assert make_plan(seed, 100, 90.0) != make_plan(seed + 1, 100, 90.0)


@some
@given(SEEDS)
def test_a_longer_storm_begins_like_a_shorter_one(seed: int) -> None:
    short, long = make_plan(seed, 100, 60.0), make_plan(seed, 100, 120.0)
    assert [kill for kill in long.kills if kill.at < 60.0] == list(short.kills)
    assert [fault.rule for fault in long.faults if fault.at < 60.0] == [fault.rule for fault in short.faults]


@some
@given(SEEDS, st.floats(20.0, 900.0))
def test_everything_is_killed_and_nothing_too_often(seed: int, seconds: float) -> None:
    times = defaultdict(list)
    for kill in make_plan(seed, 100, seconds).kills:
        assert 0 <= kill.at < seconds
        assert kill.manner in MANNERS[kill.component]
        times[kill.component].append(kill.at)
    assert times.keys() == MANNERS.keys()
    for ats in times.values():
        assert all(later - earlier >= GAP_SECONDS[0] for earlier, later in pairwise(ats))


@some
@given(SEEDS)
def test_ten_minutes_bring_every_fault_in_a_form_that_the_sandbox_takes(seed: int) -> None:
    faults = make_plan(seed, 100, 600.0).faults
    assert {fault.rule["fault"] for fault in faults} == set(RULES)
    assert {fault.rule["where"]["provider"] for fault in faults} == set(plan.PROVIDERS)
    for fault in faults:
        assert 0 <= fault.at < fault.until <= 600.0
        Rule.model_validate(fault.rule)


def test_every_fault_of_the_sandbox_is_in_the_plan() -> None:
    # A picture that the content filter keeps is a matter of the provider, and nothing breaks.
    assert set(get_args(Kind)) - set(RULES) == {"withhold"}


def test_every_provider_and_operation_is_asked() -> None:
    assert set(plan.PROVIDERS) == set(PROVIDERS)
    known = {name for provider in PROVIDERS.values() for name in provider.OPERATIONS}
    assert {name for name in load.OPERATIONS if not name.startswith("any")} == known


@pytest.mark.parametrize("seconds", [20.0, 600.0])
def test_times_are_the_plans_own(seconds: float) -> None:
    made = make_plan(7, 20_000, seconds)
    assert (made.seed, made.jobs, made.seconds) == (7, 20_000, seconds)
    assert [kill.at for kill in made.kills] == sorted(kill.at for kill in made.kills)
