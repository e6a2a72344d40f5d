"""A group of outcomes: written together, and none ever dropped, whatever the database says."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.exc import DataError, IntegrityError, InternalError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm import Session

from workers.backoff import Backoff
from workers.engine import batch_writer
from workers.engine.batch_writer import GROUP_SIZE, MANY, BatchWriter
from workers.engine.runtime import Runtime


def away() -> Exception:
    return OperationalError("UPDATE", {}, ConnectionError("the server closed the connection"))


def read_only() -> Exception:
    return InternalError("UPDATE", {}, psycopg.errors.ReadOnlySqlTransaction("cannot execute UPDATE"))


def locked() -> Exception:
    return OperationalError("UPDATE", {}, psycopg.errors.LockNotAvailable("canceling statement due to lock timeout"))


def no_connection() -> Exception:
    return PoolTimeoutError("QueuePool limit of size 12 overflow 12 reached")


def refused() -> Exception:
    return DataError("UPDATE", {}, ValueError("invalid byte sequence"))


def duplicate() -> Exception:
    return IntegrityError("INSERT", {}, ValueError("duplicate key"))


def unsendable() -> Exception:
    return UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed")


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_writer, "GROUP_SECONDS", 0.0)
    monkeypatch.setattr(batch_writer, "DATABASE_RETRY", Backoff(first=0.0, cap=0.0))


@dataclass
class Table:
    """A database that holds numbers, and refuses some of them, and is away now and then."""

    poison: frozenset[int] = frozenset()
    error: Callable[[], Exception] = refused
    #: How many more times it is away, and what is raised then.
    absences: int = 0
    absent: Callable[[], Exception] = away
    rows: list[int] = field(default_factory=list)
    fallen_back: list[int] = field(default_factory=list)
    groups: list[int] = field(default_factory=list)
    told: list[int] = field(default_factory=list)
    done: list[int] = field(default_factory=list)

    async def adb(self, work: Callable[..., Any], *arguments: Any) -> Any:
        await asyncio.sleep(0)
        if self.absences:
            self.absences -= 1
            raise self.absent()
        return work(cast("Session", self), *arguments)

    def write(self, _: Session, outcomes: Sequence[int]) -> int:
        self.groups.append(len(outcomes))
        if self.poison & set(outcomes):
            raise self.error()
        self.rows += outcomes
        return len(outcomes)

    async def notify(self, written: int) -> None:
        self.told.append(written)

    def write_fallback(self, session: Session, outcome: int, error: Exception) -> None:
        del session, error
        self.fallen_back.append(outcome)

    def group(self, after: Callable[[int], Any] | None = None) -> BatchWriter[int]:
        return BatchWriter(
            cast("Runtime", self),
            self.write,
            after=after or self.notify,
            fallback=self.write_fallback,
            done=self.done.append,
        )

    def settle(self, outcomes: Sequence[int], after: Callable[[int], Any] | None = None) -> Table:
        """Put all `outcomes` into a group and close it."""

        async def go() -> None:
            group = self.group(after)
            for outcome in outcomes:
                group.put(outcome)
            await asyncio.wait_for(group.close(), 30)

        asyncio.run(go())
        return self


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop turn until `condition` holds."""
    while not condition():  # noqa: ASYNC110 - it is about what a group does turn by turn
        await asyncio.sleep(0)


def test_outcomes_are_written_together() -> None:
    table = Table().settle(range(2 * GROUP_SIZE + 10))

    assert table.groups == [GROUP_SIZE, GROUP_SIZE, 10]
    assert table.rows == table.done == list(range(2 * GROUP_SIZE + 10))
    assert table.told == table.groups


def test_an_empty_group_writes_nothing() -> None:
    assert Table().settle([]).groups == []


def test_an_outcome_does_not_wait_for_company_for_long() -> None:
    table = Table()

    async def go() -> None:
        group = table.group()
        for outcome in range(3):
            group.put(outcome)
            await until(lambda: table.done == list(range(outcome + 1)))  # noqa: B023 - awaited at once
        await group.close()

    asyncio.run(asyncio.wait_for(go(), 30))
    assert table.groups == [1, 1, 1]


@pytest.mark.parametrize(("number", "waits"), [(1, 1), (MANY - 1, 1), (MANY, 2), (GROUP_SIZE - 1, 2), (GROUP_SIZE, 0)])
def test_where_many_come_they_wait_for_more(number: int, waits: int, monkeypatch: pytest.MonkeyPatch) -> None:
    table, slept, sleep = Table(), [], asyncio.sleep

    async def counted(seconds: float) -> None:
        slept.append(seconds)
        await sleep(0)

    async def go() -> None:
        group = table.group()
        for outcome in range(number):
            group.put(outcome)
        await until(lambda: len(table.done) == number)
        await group.close()

    monkeypatch.setattr(batch_writer, "GROUP_SECONDS", 7.0)
    monkeypatch.setattr(asyncio, "sleep", counted)
    asyncio.run(asyncio.wait_for(go(), 30))
    assert slept.count(7.0) == waits
    assert table.groups == [number]


@given(number=st.integers(1, 40), poison=st.frozensets(st.integers(0, 39), max_size=6))
def test_only_what_the_database_refuses_goes_to_the_fallback(number: int, poison: frozenset[int]) -> None:
    table = Table(poison=poison).settle(range(number))

    refused = sorted(poison & set(range(number)))
    assert sorted(table.fallen_back) == refused
    assert sorted(table.rows + table.fallen_back) == list(range(number)), "each exactly once"
    assert sorted(table.done) == list(range(number))
    assert sum(table.told) == len(table.rows)


@pytest.mark.parametrize("error", [refused, duplicate])
def test_one_poisoned_outcome_among_many_costs_few_statements(error: Callable[[], Exception]) -> None:
    table = Table(poison=frozenset({77}), error=error).settle(range(GROUP_SIZE))

    assert table.fallen_back == [77]
    assert len(table.rows) == GROUP_SIZE - 1
    assert len(table.groups) <= 2 * GROUP_SIZE.bit_length() + 1


@pytest.mark.parametrize("absent", [away, read_only, locked, no_connection])
def test_a_database_that_cannot_write_is_asked_again_with_the_outcomes_in_hand(absent: Callable[[], Exception]) -> None:
    table = Table(absences=7, absent=absent).settle(range(5))

    assert table.rows == list(range(5))
    assert table.groups == [5]
    assert table.fallen_back == []


@given(poison=st.frozensets(st.integers(0, 19), max_size=4), absences=st.integers(0, 6))
def test_trouble_of_both_kinds(poison: frozenset[int], absences: int) -> None:
    table = Table(poison=poison, absences=absences).settle(range(20))

    assert sorted(table.rows + table.fallen_back) == list(range(20))


def test_outcomes_that_come_while_the_database_is_away_wait_too() -> None:
    table = Table(absences=3)

    async def go() -> None:
        group = table.group()
        group.put(0)
        await until(lambda: table.absences <= 1)
        group.put(1)
        await group.close()

    asyncio.run(asyncio.wait_for(go(), 30))
    assert table.rows == [0, 1]


def test_a_database_that_goes_away_before_others_are_told_costs_no_outcome() -> None:
    absences = 2

    async def notify(_: int) -> None:
        nonlocal absences
        if absences:
            absences -= 1
            raise away()

    table = Table().settle(range(3 * GROUP_SIZE), after=notify)

    assert table.rows == list(range(3 * GROUP_SIZE))


def test_a_database_that_goes_away_while_an_outcome_is_written_by_the_fallback_costs_none() -> None:
    class AwayInTheFallback(Table):
        def write_fallback(self, session: Session, outcome: int, error: Exception) -> None:
            if not self.told:
                self.told.append(0)
                raise away()
            super().write_fallback(session, outcome, error)

    table = AwayInTheFallback(poison=frozenset({1})).settle(range(2))

    assert table.rows == [0]
    assert table.fallen_back == [1]


def test_what_the_driver_cannot_even_send_goes_to_the_fallback_too() -> None:
    table = Table(poison=frozenset({2}), error=unsendable).settle(range(5))

    assert sorted(table.rows) == [0, 1, 3, 4]
    assert table.fallen_back == [2]
