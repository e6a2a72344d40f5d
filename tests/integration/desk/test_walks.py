"""Walks through a batch on a real database: what comes next, in the order of the catalog and the worst first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy.orm import Session

from desk import walks
from desk.actors import Actor
from desk.handing import Handed, next_undecided
from desk.loupe import neighbors
from desk.verdicts import Decision, judge, undo
from desk.walks import Order, Walk, usual_order
from models.checks import CheckName
from models.people import Role
from models.verdicts import Verdict
from tests.integration.desk.pictures import made, results
from workers.config.reasons import REVIEW_REASONS

if TYPE_CHECKING:
    from tests.integration.database import Database

pytest_plugins = ["tests.integration.database"]

ANNA, BEN = Actor("Anna", Role.REVIEWER), Actor("Ben", Role.REVIEWER)


def approve(session: Session, actor: Actor, result: int) -> None:
    judge(session, actor, result, Decision(Verdict.APPROVED), based_on=0, known_reasons=REVIEW_REASONS)


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
    assert database.run(usual_order, batch) is Order.CATALOG
    flag(database, "job-00001", 0.5, 0.9)
    flag(database, "job-00003", 0.1)
    flag(database, "job-00004", 0.5)
    assert database.run(usual_order, batch) is Order.WORST
    walk = [f"job-0000{number}" for number in (3, 1, 4, 0, 2, 5)]
    first = database.one("SELECT min(seq) FROM jobs WHERE batch_id = :batch", batch=batch)
    places = {job: first + int(job[-1]) for job in walk}
    # What lies beside each of them, on both sides
    for number, job in enumerate(walk):
        near = database.run(neighbors, batch, places[job], "Anna", Walk(Order.WORST), 2)
        assert [each.job_id for each in near.before] == walk[max(0, number - 2) : number]
        assert [each.job_id for each in near.after] == walk[number + 1 : number + 3]
    # What is handed out, each where the one before it left off, until nothing is left
    after, handed = -1, []
    while (found := database.run(next_undecided, ANNA, batch, after, Order.WORST)) is not None:
        handed.append(found.job_id)
        after = found.seq
        (result,) = database.sql("SELECT id FROM results WHERE job_id = :id", id=found.job_id)
        database.run(approve, ANNA, result.id)
    assert handed == walk
    # What is taken back is found again from wherever the person is
    database.run(undo, ANNA, batch)
    database.run(undo, ANNA, batch)
    assert database.run(next_undecided, BEN, batch, places["job-00005"], Order.WORST) == Handed("job-00002", first + 2)
    assert database.run(next_undecided, ANNA, batch, places["job-00004"], Order.WORST) == Handed("job-00005", first + 5)


def test_a_flagged_picture_is_found_behind_many_that_are_decided(database: Database) -> None:
    number = walks.NEAR + 20
    batch = made(database, number)
    for place in range(number):
        flag(database, f"job-{place:05}", place / number)
    for result in results(database, batch)[:-1]:
        database.run(approve, ANNA, result)
    found = database.run(next_undecided, BEN, batch, -1, Order.WORST)
    assert found is not None
    assert found.job_id == f"job-{number - 1:05}"
