"""The state machines as data: complete, connected, the same in the database and in the drawing."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from enum import StrEnum

import pytest
from sqlalchemy import CheckConstraint

from models import states
from models.base import Base
from models.schedules import RUN_MOVES, RunState
from models.states import (
    ACCOUNT_REASONS,
    ANNOUNCED_JOB_STATES,
    ATTEMPT_MOVES,
    FINAL_JOB_STATES,
    JOB_MOVES,
    OPEN_ATTEMPT_STATES,
    REJECTING_REASONS,
    AttemptState,
    Closure,
    JobState,
)
from models.tables import Account, Attempt, Batch, Job

Machine = Mapping[StrEnum, frozenset[StrEnum]]
MACHINES: list[tuple[Machine, type[StrEnum], StrEnum]] = [
    (JOB_MOVES, JobState, JobState.QUEUED),  # type: ignore[list-item]
    (ATTEMPT_MOVES, AttemptState, AttemptState.SENDING),  # type: ignore[list-item]
    (RUN_MOVES, RunState, RunState.DUE),  # type: ignore[list-item]
]


def drawn() -> set[tuple[str, str]]:
    """Every arrow of the drawing in the module's docstring."""
    found = set()
    for line in (states.__doc__ or "").splitlines():
        chain = re.sub(r"\(.*|^\s*(job|attempt):", "", line)
        if "->" in chain:
            steps = [re.findall(r"\w+", step) for step in chain.split("->")]
            found |= {(was, now) for left, right in itertools.pairwise(steps) for was in left for now in right}
    return found


@pytest.mark.parametrize(("moves", "machine", "start"), MACHINES)
def test_every_state_has_its_moves_and_can_be_reached(moves: Machine, machine: type[StrEnum], start: StrEnum) -> None:
    assert set(moves) == set(machine)
    assert not [state for state, nexts in moves.items() if state in nexts]
    reached, todo = {start}, [start]
    while todo:
        todo += (fresh := moves[todo.pop()] - reached)
        reached |= fresh
    assert reached == set(machine)


def test_the_drawing_shows_moves_that_are_allowed() -> None:
    allowed = {(was, now) for moves, _, _ in MACHINES for was, nexts in moves.items() for now in nexts}

    assert len(drawn()) >= 12
    assert drawn() <= allowed


@pytest.mark.parametrize(
    ("table", "column", "values"),
    [
        (Job, "state", set(JobState)),
        (Job, "kind", {"swap", "generate"}),
        (Attempt, "state", set(AttemptState)),
        (Account, "closed_reason", {"throttled", "outage", "credit", "auth", "budget", "paused"}),
    ],
)
def test_the_database_allows_what_the_enums_name(table: type[Base], column: str, values: set[str]) -> None:
    checks = {check.name: str(check.sqltext) for check in table.metadata.tables[table.__tablename__].constraints
              if isinstance(check, CheckConstraint)}  # fmt: skip

    assert set(re.findall(r"'(\w+)'", checks[f"ck_{table.__tablename__}_{column}"])) == {str(value) for value in values}


def test_the_database_allows_the_closures_and_no_others() -> None:
    check = next(item for item in Account.metadata.tables["accounts"].constraints if isinstance(item, CheckConstraint))

    assert set(re.findall(r"'(\w+)'", str(check.sqltext))) == set(Closure)


def test_a_batch_counts_every_state_of_a_job() -> None:
    assert set(JobState) <= set(Batch.metadata.tables["batches"].columns.keys())


def test_an_end_with_a_result_is_final_and_all_others_can_be_tried_again() -> None:
    assert not JOB_MOVES[JobState.SUCCEEDED]
    for state in FINAL_JOB_STATES - {JobState.SUCCEEDED}:
        assert JobState.QUEUED in JOB_MOVES[state]
    assert set(JobState) - FINAL_JOB_STATES == {JobState.QUEUED, JobState.RUNNING, JobState.SAVING}
    assert {JobState.HELD} == FINAL_JOB_STATES - ANNOUNCED_JOB_STATES


def test_a_late_result_reaches_its_job_and_its_attempt() -> None:
    assert JobState.SAVING in JOB_MOVES[JobState.FAILED]
    assert AttemptState.DONE in ATTEMPT_MOVES[AttemptState.EXPIRED]
    assert AttemptState.DONE in ATTEMPT_MOVES[AttemptState.UNKNOWN]


def test_only_what_was_provably_never_received_is_sent_again() -> None:
    assert {state for state, nexts in ATTEMPT_MOVES.items() if AttemptState.SENDING in nexts} == {AttemptState.NOT_SENT}


def test_places_are_held_by_what_the_provider_may_be_working_on() -> None:
    assert {AttemptState.SENDING, AttemptState.RUNNING, AttemptState.UNKNOWN} == OPEN_ATTEMPT_STATES
    assert not REJECTING_REASONS & ACCOUNT_REASONS
