"""Walks through a batch on a real database: what comes next, in the order of the catalog and the worst first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pytest
from sqlalchemy.orm import Session

from desk import walks
from desk.actors import Actor
from desk.handing import Handed, Nothing, next_undecided
from desk.loupe import neighbors
from desk.verdicts import Decision, judge, undo
from desk.walks import beside, only_decided, place_in, usual_sort
from models.checks import CheckName
from models.people import Role
from models.verdicts import Verdict
from reports.grid import Place
from reports.grid_filter import GridFilter, Sort
from tests.integration.desk.pictures import made, results
from workers.config.reasons import REVIEW_REASONS

if TYPE_CHECKING:
    from tests.integration.database import Database

pytest_plugins = ["tests.integration.database"]

WORST = GridFilter(sort=Sort.WORST)
ANNA, BEN = Actor("Anna", Role.REVIEWER), Actor("Ben", Role.REVIEWER)


def approve(session: Session, actor: Actor, result: int) -> None:
    judge(session, actor, result, Decision(Verdict.APPROVED), based_on=0, known_reasons=REVIEW_REASONS)


def handed_out(database: Database, batch: int, shown: GridFilter) -> list[tuple[str, Place]]:
    """Everything that is handed out, each approved before the next one is asked for."""
    found = []
    after = None
    while isinstance(handed := database.run(next_undecided, ANNA, batch, after, shown), Handed):
        found.append((handed.job_id, handed.place))
        after = handed.place
        (result,) = database.sql("SELECT id FROM results WHERE job_id = :id", id=handed.job_id)
        database.run(approve, ANNA, result.id)
    return found


def flag(database: Database, job: str, *ranks: float) -> None:
    """Flags of a job's picture, one of each rank."""
    for name, rank in zip(CheckName, ranks, strict=False):
        database.sql(
            "INSERT INTO checks (result_id, name, job_id, batch_id, seq, score, threshold, flagged, rank)"
            " SELECT r.id, :name, j.id, j.batch_id, j.seq, 0.9, 0.5, true, :rank"
            " FROM results r JOIN jobs j ON j.id = r.job_id WHERE j.id = :job",
            name=name.value, rank=rank, job=job,
        )  # fmt: skip


def test_flagged_pictures_come_first_and_the_worst_of_them_first_of_all(database: Database) -> None:
    batch = made(database, 6)
    assert database.run(usual_sort, batch) is Sort.CATALOG
    flag(database, "job-00001", 0.5, 0.9)
    flag(database, "job-00003", 0.1)
    flag(database, "job-00004", 0.5)
    assert database.run(usual_sort, batch) is Sort.WORST
    walk = [f"job-0000{number}" for number in (3, 1, 4, 0, 2, 5)]
    places = {job: database.run(place_in, batch, WORST, job) for job in walk}
    # What lies beside each of them, on both sides
    for number, job in enumerate(walk):
        near = database.run(neighbors, batch, WORST, places[job], "Anna", 2)
        assert [each.job_id for each in near.before] == walk[max(0, number - 2) : number]
        assert [each.job_id for each in near.after] == walk[number + 1 : number + 3]
    # What is handed out, each where the one before it left off, until nothing is left
    assert handed_out(database, batch, WORST) == [(job, places[job]) for job in walk]
    # What is taken back is found again from wherever the person is
    database.run(undo, ANNA, batch)
    database.run(undo, ANNA, batch)
    for person, after, job in ((BEN, "job-00005", "job-00002"), (ANNA, "job-00004", "job-00005")):
        found = database.run(next_undecided, person, batch, places[after], WORST)
        assert isinstance(found, Handed)
        assert (found.job_id, found.place) == (job, places[job])


def test_a_flagged_picture_is_found_behind_many_that_are_decided(database: Database) -> None:
    number = walks.NEAR + 20
    batch = made(database, number)
    for place in range(number):
        flag(database, f"job-{place:05}", place / number)
    for result in results(database, batch)[:-1]:
        database.run(approve, ANNA, result)
    found = database.run(next_undecided, BEN, batch, None, WORST)
    assert isinstance(found, Handed)
    assert found.job_id == f"job-{number - 1:05}"


@pytest.mark.parametrize("sort", list(Sort))
@pytest.mark.parametrize(
    ("conditions", "numbers"),
    [
        ({}, range(8)), ({"account": "other"}, (2, 5)), ({"key": "ROW-1"}, (1,)), ({"verdict": "unreviewed"}, range(8)),
        ({"check": "any"}, (3, 5)), ({"check": "blank", "account": "other"}, (5,)), ({"state": "failed"}, ()),
        ({"part": "made"}, range(8)), ({"part": "needs_you"}, ()), ({"part": "made", "account": "other"}, (2, 5)),
    ],
)  # fmt: skip
def test_what_is_handed_out_is_the_filter_in_its_order(
    database: Database, conditions: dict[str, str], numbers: Sequence[int], sort: Sort
) -> None:
    batch = made(database, 8)
    database.sql("UPDATE jobs SET key = 'row-' || right(id, 1), finished_at = now() + seq * interval '1 second'")
    database.sql("UPDATE attempts SET cost = 1 - 0.1 * cast(right(job_id, 1) AS numeric)")
    database.sql("UPDATE attempts SET account = 'other' WHERE job_id IN ('job-00002', 'job-00005')")
    flag(database, "job-00005", 0.1)
    flag(database, "job-00003", 0.4)
    shown = GridFilter.of({**conditions, "sort": sort.value})
    expected = [f"job-{number:05}" for number in numbers]
    if sort is Sort.WORST:
        expected.sort(key=["job-00005", "job-00003", *expected].index)
    elif sort is Sort.NEWEST:
        expected.reverse()
    near = database.run(beside, batch, shown, None, "Anna", 10, forward=True)
    assert [each.job_id for each in near] == expected
    assert [job for job, _ in handed_out(database, batch, shown)] == expected


def test_of_decided_pictures_the_next_one_is_shown_and_none_is_handed_out(database: Database) -> None:
    batch = made(database, 3)
    for result in results(database, batch)[:2]:
        database.run(approve, ANNA, result)
    shown = GridFilter(verdict=Verdict.APPROVED)
    assert only_decided(shown)
    first = database.run(place_in, batch, shown, "job-00000")
    near = database.run(neighbors, batch, shown, first, "Ben")
    assert [(each.job_id, each.undecided) for each in near.after] == [("job-00001", False)]


def test_a_search_that_takes_long_says_where_it_stopped_and_goes_on_there(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(walks, "PATIENCE", -1.0)
    monkeypatch.setattr(walks, "SEARCHED", 2)
    batch = made(database, 5)
    shown = GridFilter(account="main")
    for result in results(database, batch)[:4]:
        database.sql(
            "INSERT INTO picture_claims (job_id, person, until)"
            " SELECT job_id, 'Ben', now() + interval '1 hour' FROM results WHERE id = :id", id=result,
        )  # fmt: skip
    stops, after = [], None
    while isinstance(found := database.run(next_undecided, ANNA, batch, after, shown), Nothing):
        stops.append(found.stopped)
        after = found.stopped
    assert found.job_id == "job-00004"
    assert len(stops) == 2
