"""A grid's walk finds what a plain look at every job finds: each filter, in each order, forward and back."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import event

from models.checks import ANY_CHECK, CheckName
from models.states import JobState
from models.verdicts import Verdict
from reports import grid, keys
from reports.grid import PORTION, Place, before_key, find_jobs, place_of
from reports.grid_filter import YES, GridFilter, Sort
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
    names = [shown.check] if shown.check and shown.check != ANY_CHECK else [each.value for each in CheckName]
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
        "check": (None, ANY_CHECK, *CHECKS), "reason": (None, None, "hair"), "noted": (None, None, YES),
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


# --- Parts of keys -------------------------------------------------------------------------------------------------

MANY = 200_000  # jobs: eight portions of keys


@pytest.fixture
def large(database: Database) -> int:
    """A batch whose keys run against the order of its catalog, some with a rare part and a thousand with another."""
    made = database.batch("large")
    database.sql(
        "INSERT INTO jobs (id, key, lane, kind, batch_id, state, finished_at) SELECT 'job-' || n,"
        " 'Shoe-' || lpad((:number - n)::text, 7, '0') || CASE WHEN n % 40000 = 7 THEN '-Rare' ELSE '' END"
        " || CASE WHEN n BETWEEN 100000 AND 101200 THEN '-far' ELSE '' END,"
        " 'x', 'swap', :batch, 'failed', now() - n * interval '1 second' FROM generate_series(0, :number - 1) AS n",
        batch=made, number=MANY,
    )  # fmt: skip
    return made


@contextmanager
def counted(database: Database) -> Iterator[list[str]]:
    """The statements that are executed meanwhile."""
    found: list[str] = []

    def note(_: object, __: object, statement: str, *___: object) -> None:
        found.append(statement)

    event.listen(database.engine, "before_cursor_execute", note)
    try:
        yield found
    finally:
        event.remove(database.engine, "before_cursor_execute", note)


RARE = ["job-7", "job-40007", "job-80007", "job-120007", "job-160007"]


def test_a_part_of_a_key_is_looked_for_a_portion_at_a_time(
    database: Database, large: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grid, "PATIENCE", -1.0)
    for shown in (GridFilter(key="rare"), GridFilter(key="rare", sort=Sort.NEWEST)):
        whole = database.run(find_jobs, large, shown, limit=24, keys_within=99.0)
        assert ([job.id for job in whole.jobs], whole.stopped) == (RARE, None), "in the order that is asked for"
        pages, place = list[list[str]](), None
        for _ in range(MANY // keys.KEYS + 1):
            with counted(database) as statements:
                found = database.run(find_jobs, large, shown, place, limit=24, keys_within=-1.0)
            assert sum("strpos" in each for each in statements) == 1, "one portion"
            assert len(statements) <= 2 + 2 * len(grid._legs(shown))
            pages.append([job.id for job in found.jobs])
            for job in found.jobs:
                again = Place.of(str(job.place))
                assert again == job.place
                behind = database.run(find_jobs, large, shown, again, limit=24, keys_within=-1.0)
                assert [job.id for job in behind.jobs] == pages[-1][pages[-1].index(job.id) + 1 :]
            if found.stopped is None:
                break
            place = Place.of(str(found.stopped))
            assert place == found.stopped
        assert len(pages) >= MANY // keys.KEYS
        assert [job for page in pages for job in page] == RARE[::-1], "each once, a range of keys after the other"


def test_a_page_of_further_keys_leads_back_to_those_before(database: Database, large: int) -> None:
    shown = GridFilter(key="rare")
    last = database.run(find_jobs, large, shown, Place(grid.BEGIN, 0.0, 0, keys.Range("Shoe-0150000")), limit=24)
    assert ([job.id for job in last.jobs], last.stopped) == (RARE[:2], None)
    back = database.run(find_jobs, large, shown, last.jobs[0].place, limit=24, forward=False)
    assert back.jobs == []
    assert back.stopped is not None
    before = database.run(find_jobs, large, shown, back.stopped, limit=24, forward=False, keys_within=-1.0)
    assert ([job.id for job in before.jobs], before.stopped) == (RARE[:1:-1], None), "all of them, whatever the time"


def test_where_many_keys_fit_jobs_are_found_by_the_way_or_a_range_at_a_time(database: Database, large: int) -> None:
    with counted(database) as statements:
        found = database.run(find_jobs, large, GridFilter(key="SHOE"), limit=24)
    assert [job.id for job in found.jobs] == [f"job-{number}" for number in range(24)]
    assert len(statements) == 2, "the first keys say so"

    # An address that names a large range does not lead around that
    place = Place(0, 0.0, 10, keys.Range("Shoe-0000001", "Shoe-9"))
    found = database.run(find_jobs, large, GridFilter(key="SHOE"), place, limit=24)
    assert [job.place for job in found.jobs] == [Place(0, 0.0, job.place.seq) for job in found.jobs]

    # Beyond the first keys, a range ends with as many jobs as are listed at once
    further: Place | None = Place(grid.BEGIN, 0.0, 0, keys.Range("Shoe-0000001"))
    seen, ranges = list[str](), set[keys.Range]()
    while further is not None:
        found = database.run(find_jobs, large, GridFilter(key="-FAR"), further, limit=400, keys_within=99.0)
        seen += [job.id for job in found.jobs]
        ranges |= {job.place.keys for job in found.jobs}
        further = found.jobs[-1].place if len(found.jobs) == 400 else found.stopped
    assert len(seen) == len(set(seen)) == 1_201
    assert len(ranges) == 2


@pytest.mark.parametrize(
    "said",
    ["0~0~1~x", "0~0~1~[]]", '0~0~1~["a"]x', '0~0~1~["a","b","c"]', "-1~0~0", "0~0~1~7", '0~0~1~["a\\u0000",""]',
     "0~0~1~" + "[" * 100_000],
)  # fmt: skip
def test_keys_that_are_no_range_make_no_place(said: str) -> None:
    assert Place.of(said) is None
