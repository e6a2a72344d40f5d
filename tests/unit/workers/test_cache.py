"""A cache keeps what was used last, within its bound and its time."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.cache import Cache


def never() -> int:
    raise AssertionError("it was kept")


def test_a_value_is_made_once() -> None:
    cache: Cache[str, int | None] = Cache(2)

    assert cache.get_or_make("none", lambda: None) is None
    assert cache.get_or_make("none", never) is None
    assert "none" in cache
    assert "other" not in cache


@given(size=st.integers(1, 4), keys=st.lists(st.integers(0, 6)))
def test_the_keys_used_last_are_kept(size: int, keys: list[int]) -> None:
    cache: Cache[int, int] = Cache(size)
    used: OrderedDict[int, None] = OrderedDict()

    for key in keys:
        made: list[int] = []
        assert cache.get_or_make(key, lambda key=key, made=made: made.append(key) or key) == key  # type: ignore[misc]
        assert bool(made) is (key not in list(used)[-size:])
        used[key] = None
        used.move_to_end(key)


def test_what_making_raises_is_not_kept() -> None:
    cache: Cache[str, int] = Cache(2)

    with pytest.raises(AssertionError):
        cache.get_or_make("a", never)
    assert cache.get_or_make("a", lambda: 1) == 1


def test_a_value_is_over_after_its_time_however_often_it_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("workers.cache.time.monotonic", lambda: now)
    cache: Cache[str, int] = Cache(2, seconds=10.0)
    cache.put("a", 1)

    now = 9.9
    assert cache.get_or_make("a", never) == 1
    now = 10.0
    assert "a" not in cache
    assert cache.get_or_make("a", lambda: 2) == 2


def test_a_value_that_is_waited_for_is_kept() -> None:
    cache: Cache[str, int] = Cache(2)

    async def one() -> int:
        await asyncio.sleep(0)
        return 1

    async def ask() -> tuple[int, int]:
        return await cache.get_or_await("a", one), cache.get_or_make("a", never)

    assert asyncio.run(ask()) == (1, 1)


def test_many_threads_stay_within_the_bound() -> None:
    cache: Cache[int, int] = Cache(3)

    def use(start: int) -> None:
        for step in range(2_000):
            key = (start + step) % 5
            assert cache.get_or_make(key, lambda key=key: key) == key  # type: ignore[misc]

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(use, range(4)))
    assert sum(key in cache for key in range(5)) == 3
