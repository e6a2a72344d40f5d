"""A grid's walk finds what a plain look at every job finds: each filter, in each order, forward and back."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest

from models.checks import CheckName
from models.states import JobState
from models.verdicts import Verdict
from reports import grid
from reports.grid import PORTION, Place, before_key, find_jobs, place_of
from reports.grid_filter import ANY, YES, GridFilter, Sort
from reports.reviews import Part
from workers.jobs.filters import ids_of

if TYPE_CHECKING:
    from tests.integration.database import Database

pytest_plugins = ["tests.integration.database"]

CHECKS = (CheckName.BLURRED, CheckName.NO_FACE)
ROUNDS = 60  # random filters


@pytest.fixture
def batch(database: Database) -> int:
    """Jobs of every kind, some judged, flagged or both, beside those of another batch."""
    chance = random.Random(7)
    made = database.batch("spring")
    database.jobs(3, batch=database.batch("other"), state="succeeded")
    for number in range(80):
        state = JobState.SUCCEEDED if number % 2 else chance.choice(list(JobState))
        extra = f'{{"color": "{chance.choice(("red", "blue"))}", "size": {number}}}'
        (job,) = database.jobs(batch=made, state=state.value, extra=extra)
        if state in grid.UNENDED:
            continue
        database.sql(
            "UPDATE jobs SET finished_at = now() - :ago * interval '1 second' WHERE id = :id",
            id=job, ago=chance.randrange(40),
        )  # fmt: skip
        if state is JobState.SUCCEEDED:
            _judge(database, made, job, chance)
    return made


def _judge(database: Database, batch: int, job: str, chance: random.Random) -> None:
    attempt = database.attempt(
        job, "done", account=f"'{chance.choice(('main', 'spare'))}'", cost=chance.choice((0.02, 0.05))
    )
    if chance.random() < 0.5:
        database.attempt(job, "refused", number=2, cost=1)  # which was not paid
    result = database.one(
        "INSERT INTO results (job_id, attempt_id, index, key, sha256, size, media_type, width, height)"
        " VALUES (:job, :attempt, 0, :job, :job, 1, 'image/png', 8, 8) RETURNING id", job=job, attempt=attempt,
    )  # fmt: skip
    asked = {"job": job, "batch": batch, "result": result}
    for name in chance.sample(CHECKS, chance.randrange(3)):
        database.sql(
            "INSERT INTO checks (result_id, job_id, batch_id, seq, name, score, threshold, flagged, rank, former)"
            " SELECT :result, id, batch_id, seq, :name, 0.7, 0.5, true, :rank, :former FROM jobs WHERE id = :job",
            **asked, name=name.value, rank=chance.randrange(4) / 4, former=chance.random() < 0.2,
        )  # fmt: skip
    verdict = chance.choice((None, Verdict.APPROVED, Verdict.NEEDS_WORK))
    if verdict:
        database.sql(
            "WITH said AS (INSERT INTO verdicts (result_id, job_id, batch_id, person, verdict, reasons, note)"
            " VALUES (:result, :job, :batch, 'Anna', :verdict, cast(:reasons AS jsonb), :note) RETURNING id)"
            " INSERT INTO reviews (job_id, batch_id, seq, verdict, verdict_id)"
            " SELECT j.id, j.batch_id, j.seq, :verdict, said.id FROM jobs j, said WHERE j.id = :job",
            **asked, verdict=verdict.value, reasons=chance.choice(('["hair"]', "[]")), note=chance.choice((None, "x")),
        )  # fmt: skip


def walked(database: Database, batch: int, shown: GridFilter, place: Place | None, *, forward: bool) -> list[str]:
    """All jobs beyond a place, read seven at a time."""
    ids: list[str] = []
    for _ in count():
        found = database.run(find_jobs, batch, shown, place, limit=7, forward=forward)
        assert found.stopped is None
        ids += [job.id for job in found.jobs]
        if len(found.jobs) < 7:
            return ids
        place = found.jobs[-1].place
    raise AssertionError


def ordered(database: Database, batch: int, shown: GridFilter) -> Sequence[str]:
    """The jobs that fit, in order, as the rows say it."""
    fits = set(database.run(ids_of, shown.which("spring")))
    flags: dict[str, list[float]] = {}
    names = [shown.check] if shown.check and shown.check != ANY else [each.value for each in CheckName]
    for row in database.sql("SELECT job_id, rank FROM checks WHERE NOT former AND name = ANY(:names)", names=names):
        flags.setdefault(row.job_id, []).append(row.rank)

    def place(row: Any) -> tuple[float, ...]:
        if shown.sort == Sort.WORST:
            return (min(flags.get(row.id, [2.0])), row.seq)
        if shown.sort == Sort.NEWEST:
            return (0, -row.finished_at.timestamp(), -row.seq) if row.finished_at else (1, row.seq)
        if shown.sort == Sort.COST:
            return (-float(paid.get(row.id, 0)), row.seq)
        return (row.seq,)

    attempts = database.sql("SELECT job_id, sum(cost) AS cost FROM attempts WHERE state = 'done' GROUP BY job_id")
    paid = {row.job_id: row.cost for row in attempts}
    rows = database.sql("SELECT id, seq, finished_at FROM jobs WHERE batch_id = :batch", batch=batch)
    return [row.id for row in sorted((row for row in rows if row.id in fits), key=place)]


def test_each_filter_in_each_order_shows_what_fits(database: Database, batch: int) -> None:
    chance = random.Random(11)
    values: dict[str, Sequence[str | None]] = {
        "state": (None, None, "succeeded", "failed", "queued"), "verdict": (None, *Verdict),
        "part": (None, None, *Part),
        "check": (None, ANY, *CHECKS), "reason": (None, None, "hair"), "noted": (None, None, YES),
        "account": (None, None, "main"), "operation": (None, "zhiqite.swap"),
        "key": (None, None, "JOB-0001", "3", "none"), "metadata": (None, "color=RED", "3"),
    }  # fmt: skip
    plain = [GridFilter(sort=sort) for sort in Sort]
    alone = [GridFilter(sort=sort).but(**{name: each}) for sort in Sort for name in values for each in values[name]]
    mixed = [
        GridFilter(sort=chance.choice(list(Sort))).but(
            **{name: chance.choice(values[name]) for name in chance.sample(list(values), 3)}
        )
        for _ in range(ROUNDS)
    ]
    seen = 0
    for shown in [*plain, *dict.fromkeys(alone), *mixed]:
        expected = ordered(database, batch, shown)
        assert walked(database, batch, shown, None, forward=True) == expected, shown
        assert walked(database, batch, shown, None, forward=False) == list(reversed(expected)), shown
        if expected:
            seen += 1
            middle = chance.choice(expected)
            place = database.run(place_of, batch, shown, middle)
            behind = expected[expected.index(middle) + 1 :]
            assert walked(database, batch, shown, place, forward=True) == behind, shown
            assert Place.of(str(place)) == place
            before = database.run(before_key, batch, shown, middle)
            assert walked(database, batch, shown, before, forward=True) == [middle, *behind], shown
    assert seen > ROUNDS


def test_a_search_that_takes_long_says_where_it_stopped_and_goes_on(
    database: Database, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    database.sql(
        "INSERT INTO jobs (id, key, lane, kind, batch_id, state) SELECT 'many-' || n, 'many-' || n, 'x', 'swap',"
        " :batch, 'queued' FROM generate_series(1, :number) AS n", batch=batch, number=PORTION,
    )  # fmt: skip
    (last,) = database.jobs(batch=batch, extra='{"color": "green"}')
    monkeypatch.setattr(grid, "PATIENCE", -1.0)
    shown = GridFilter(metadata="green")
    found = database.run(find_jobs, batch, shown, limit=7)
    assert (list(found.jobs), found.stopped is None) == ([], False)
    again = database.run(find_jobs, batch, shown, found.stopped, limit=7)
    assert ([job.id for job in again.jobs], again.stopped) == ([last], None)


@pytest.mark.parametrize(
    "said", [None, "", "x", "-1", "1~2", "0~nan~1", "2~0.0~1", "0~inf~1", f"{2**63}", "1~~1", "\0"]
)
def test_an_address_that_says_no_place_is_passed_over(said: str | None) -> None:
    assert Place.of(said) is None
