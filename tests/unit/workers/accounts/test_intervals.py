"""Intervals between looks at a provider of which nothing is learned, and past a deadline: within their bounds."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from workers.accounts.intervals import ANOTHER_LOOK_SECONDS, SILENT_LOOKS, next_look, silent_look


@given(
    polls=st.integers(0, 1_000),
    interval=st.floats(0.01, 1_000),
    poll_every=st.floats(0.01, 100),
    left=st.floats(-1_000, 10_000),
)
def test_the_next_look_keeps_its_bounds(polls: int, interval: float, poll_every: float, left: float) -> None:
    wait = next_look(polls, interval=max(interval, poll_every), poll_every=poll_every, left=left)

    assert wait >= 0
    assert wait <= max(left, 0.0), "past the deadline"
    assert wait >= min(poll_every, max(left, 0.0)), "more often than the account allows"


def test_looks_past_a_deadline_are_some_and_end() -> None:
    waits = [silent_look(number, deadline=600.0) for number in range(SILENT_LOOKS + 2)]
    assert waits[0] == ANOTHER_LOOK_SECONDS
    assert [wait for wait in waits if wait is not None] == waits[:SILENT_LOOKS]
    assert max(filter(None, waits)) <= 600.0
