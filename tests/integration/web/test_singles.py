"""Single jobs on the desk: listed by day, filtered, reviewed, and for whom."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from html import escape, unescape
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from sqlalchemy import event, text

from desk import guests, people
from desk.actors import Actor
from models.batches import SINGLES
from models.people import Role
from models.verdicts import Verdict
from reports import grid, singles
from reports.cards import PAGE as CARDS
from reports.grid import PORTION
from reports.grid_filter import GridFilter
from reports.singles import PAGE, place_before
from tests.http import Response
from tests.integration.desk.pictures import give, made
from tests.integration.web.test_desk import JSON, PASSWORD, Browser
from tests.integration.web.test_desk import asked as redo_form
from tests.integration.web.test_desk import shown as form_of
from tests.integration.web.test_guests import come
from tests.integration.web.test_selections import boxes, fields
from tests.stack import write_accounts
from tests.web.client import Client
from tests.web.shop import AUTH, HOSTILE, settings
from tests.words import unsaid
from web.app import build
from workers.config.settings import Settings

if TYPE_CHECKING:
    from tests.integration.database import Database

pytest_plugins = ["tests.integration.database"]


@pytest.fixture
def chosen(database: Database, tmp_path: Path) -> Settings:
    return settings(database, tmp_path)


@pytest.fixture
def client(chosen: Settings) -> Iterator[Client]:
    with Client(build(chosen), AUTH) as made:
        yield made


@pytest.fixture
def jobs(database: Database) -> list[str]:
    """Eight single jobs of three days, beside a batch; the first four have pictures."""
    database.account()
    made(database, 2)
    found = [*database.jobs(4, state="succeeded"), *database.jobs(2, state="failed"), *database.jobs(2)]
    for job in found[:4]:
        give(database, job, cost="0.02")
    for job in found[4:6]:
        database.attempt(job, "refused", account="'other'", operation="'qolaba.avatar'")
    for age, job in enumerate(reversed(found)):
        database.sql(
            "UPDATE jobs SET created_at = cast(:day AS timestamptz) - :age * interval '10 hours' WHERE id = :id",
            day=datetime(2026, 3, 14, 23, 30, tzinfo=UTC), age=age, id=job,
        )  # fmt: skip
    return found


def flag(database: Database, job: str, name: str, rank: float = 0.1) -> None:
    database.sql(
        "INSERT INTO checks (result_id, job_id, batch_id, seq, name, score, threshold, flagged, rank)"
        " SELECT r.id, j.id, j.batch_id, j.seq, :name, 0.7, 0.5, true, :rank"
        " FROM jobs j JOIN results r ON r.job_id = j.id WHERE j.id = :job", job=job, name=name, rank=rank,
    )  # fmt: skip


def listed(page: Response) -> list[str]:
    """The jobs that a page lists."""
    return re.findall(r'data-part="job-([^"]*)"', page.text)


# --- Which, and in which order -------------------------------------------------------------------------------------


def test_single_jobs_are_listed_by_day_newest_first(client: Client, jobs: list[str]) -> None:
    page = client.get("/singles")
    assert listed(page) == jobs[::-1]
    assert re.findall(r'data-part="day-([^"]*)"', page.text) == ["2026-03-14", "2026-03-13", "2026-03-12"]
    said = unescape(page.text)
    assert unsaid(said, "Saturday", "zhiqite.swap", "other", "unreviewed", "failed", "0.02 USD", "13:30") == []
    assert 'href="/singles"' in client.get("/batches").text


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("state=failed", [5, 4]),
        ("verdict=approved", [1]),
        ("verdict=needs_work", [0]),
        ("verdict=unreviewed", [3, 2]),
        ("account=main", [3, 2, 1, 0]),
        ("account=other", [5, 4]),
        ("operation=qolaba.avatar&state=failed", [5, 4]),
        ("operation=qolaba.avatar&state=succeeded", []),
        ("verdict=unreviewed&account=main", [3, 2]),
        ("day=2026-03-13", [4, 3, 2, 1, 0]),
        ("day=2026-03-13&state=failed", [4]),
        ("day=2026-03-10", []),
        ("day=2031-01-01&state=failed", [5, 4]),
        ("part=waiting", [7, 6]),
        ("reason=hair", [0]),
        ("check=any", [2]),
        ("check=blurred&verdict=unreviewed", [2]),
        ("check=no_face", []),
        ("metadata=sku%3DA-1", [3]),
        ("key=job", []),
    ],
)
def test_single_jobs_are_filtered(
    client: Client, database: Database, jobs: list[str], query: str, found: list[int]
) -> None:
    database.sql(
        "INSERT INTO reviews (job_id, batch_id, seq, verdict) SELECT id, batch_id, seq,"
        " CASE WHEN id = :wrong THEN 'needs_work' ELSE 'approved' END FROM jobs WHERE id IN (:right, :wrong)",
        wrong=jobs[0], right=jobs[1],
    )  # fmt: skip
    database.sql(
        "WITH said AS (INSERT INTO verdicts (result_id, job_id, batch_id, person, verdict, reasons)"
        " SELECT id, job_id, 0, 'Anna', 'needs_work', '[\"hair\"]' FROM results WHERE job_id = :job RETURNING id)"
        " UPDATE reviews SET verdict_id = said.id FROM said WHERE job_id = :job", job=jobs[0],
    )  # fmt: skip
    flag(database, jobs[2], "blurred")
    database.sql("""UPDATE jobs SET extra = '{"sku": "A-1"}' WHERE id = :id""", id=jobs[3])
    assert listed(client.get(f"/singles?{query}")) == [jobs[number] for number in found]


def test_pages_by_key_have_every_job_once(client: Client, database: Database) -> None:
    every = database.jobs(2 * PAGE + 3, state="canceled")
    found, page = [], client.get("/singles")
    while True:
        found.append(listed(page))
        after = re.search(r'rel="next" href="([^"]*)"', page.text)
        if after is None:
            break
        page = client.get(unescape(after[1]))
    assert [len(each) for each in found] == [PAGE, PAGE, 3]
    assert [job for each in found for job in each] == every[::-1]


def test_a_rare_account_is_found_further_on(
    client: Client, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grid, "PATIENCE", -1.0)
    database.account()
    (rare,) = database.jobs(1, state="failed")
    database.attempt(rare, "refused", account="'rare'")
    database.sql(
        "INSERT INTO jobs (id, lane, kind, batch_id, state) SELECT 'many-' || n, 'x', 'swap', :batch, 'queued'"
        " FROM generate_series(1, :number) AS n", batch=SINGLES, number=PORTION,
    )  # fmt: skip
    first = client.get("/singles?account=rare")
    assert listed(first) == []
    (after,) = re.findall(r'rel="next" href="([^"]*)"', first.text)
    second = client.get(unescape(after))
    assert listed(second) == [rare]
    assert 'rel="next"' not in second.text


def test_the_place_of_a_moment_is_found_by_halves(database: Database, jobs: list[str]) -> None:
    places = {row.id: (row.seq, row.created_at) for row in database.sql("SELECT id, seq, created_at FROM jobs")}
    for job in jobs:
        seq, at = places[job]
        before = database.run(place_before, at)
        assert (
            database.run(singles.page, GridFilter(), before).jobs[:1]
            == [each for each in database.run(singles.page, GridFilter()).jobs if each.created_at < at][:1]
        )
        assert before <= seq < database.run(place_before, at + timedelta(microseconds=1))


# --- Reviewed, as pictures of batches are ---------------------------------------------------------------------------


def test_single_jobs_are_reviewed_one_after_the_other(
    database: Database, chosen: Settings, jobs: list[str], tmp_path: Path
) -> None:
    database.run(people.add, Actor("root", Role.OPERATOR, "command"), "Anna", Role.REVIEWER, PASSWORD)
    with Browser(build(settings(database, tmp_path, web_auth=None))) as browser:
        browser.sign_in("Anna")
        (first, *_) = re.findall(r'href="(/batches/0/review[^"]*)"', browser.get("/singles?verdict=unreviewed").text)
        page = browser.get(unescape(first))
        assert f'data-job="{jobs[3]}"' in page.text
        assert "unreviewed" in page.text
        assert 'data-count="unreviewed"' not in page.text
        answer: Any = browser.post("/batches/0/review", form_of(page) | {"verdict": "approved"}, headers=JSON)
        assert answer.status_code == 200
        assert answer.json()["counts"] == {"approved": 1, "needs_work": 0}
        after = browser.post("/batches/0/review", form_of(browser.get(f"/batches/0/review?job={jobs[0]}")) | {
            "verdict": "needs_work", "reason": "hair"
        })  # fmt: skip
        nearest = browser.get(after.headers["location"])
        assert f'data-job="{jobs[1]}"' in nearest.text
        undone = browser.post("/batches/0/review", form_of(nearest) | {"do": "undo"}, headers=JSON)
        assert undone.json()["counts"] == {"approved": 1, "needs_work": 0}
        assert listed(browser.get("/singles?verdict=approved")) == [jobs[3]]
    rows = database.sql("SELECT DISTINCT batch_id, person FROM verdicts")
    assert [tuple(row) for row in rows] == [(SINGLES, "Anna")]


def test_a_single_job_is_redone_once(database: Database, chosen: Settings, jobs: list[str], tmp_path: Path) -> None:
    account = {
        "provider": "zhiqite", "base_url": "http://127.0.0.1:9", "access_key_id": "id", "access_key_secret": "secret",
        "prices": {"swap": "0.02 USD"},
    }  # fmt: skip
    write_accounts(chosen.accounts_file, {"main": account})
    database.run(people.add, Actor("root", Role.OPERATOR, "command"), "Anna", Role.REVIEWER, PASSWORD)
    with Browser(build(settings(database, tmp_path, web_auth=None))) as browser:
        browser.sign_in("Anna")
        fields = redo_form(browser.get(f"/batches/0/review?job={jobs[2]}"))
        assert fields is not None
        assert browser.post("/batches/0/review", fields, headers=JSON).status_code == 200
        assert browser.post("/batches/0/review", fields, headers=JSON).status_code == 422, "the same form again"
        page = browser.get("/singles")
        assert listed(page) == jobs[::-1], "it stays where it was"
        assert listed(browser.get("/singles?state=queued")) == [jobs[7], jobs[6], jobs[2]]
    assert [tuple(row) for row in database.sql("SELECT job_id, person FROM redos")] == [(jobs[2], "Anna")]


def test_the_worst_single_job_is_reviewed_first(client: Client, database: Database, jobs: list[str]) -> None:
    flag(database, jobs[2], "blurred", 0.1)
    flag(database, jobs[1], "blurred", 0.5)
    page = client.get("/batches/0/review").text
    assert unsaid(page, f'data-job="{jobs[2]}"', "worst first", f"job={jobs[1]}") == []
    assert 'name="jump"' not in page, "single jobs have no keys to find them by"


def test_the_loupe_says_when_nothing_is_left(client: Client, database: Database, jobs: list[str]) -> None:
    database.sql(
        "INSERT INTO reviews (job_id, batch_id, seq, verdict) SELECT id, batch_id, seq, 'approved' FROM jobs"
        " WHERE state = 'succeeded' AND batch_id = 0"
    )
    page = client.get("/batches/0/review").text
    assert unsaid(unescape(page), "Nothing is left", "4 approved") == []
    assert client.get("/batches/0").url.path == "/singles"
    assert listed(client.get("/batches/0?verdict=approved")) == [jobs[number] for number in (3, 2, 1, 0)]


def test_hostile_text_stays_text_below_a_path(database: Database, tmp_path: Path, jobs: list[str]) -> None:
    database.sql(
        "UPDATE jobs SET target = NULL, prompt = :hostile, account = :hostile, operation = :hostile, error = :hostile"
        " WHERE id IN (:queued, :failed)",
        hostile=HOSTILE, queued=jobs[7], failed=jobs[5],
    )  # fmt: skip
    below = settings(database, tmp_path, public_url="http://127.0.0.1:9/recast")
    with Client(build(below), AUTH) as client:
        for query in ("", "?account=" + quote(HOSTILE), "?operation=" + quote(HOSTILE) + "&state=failed"):
            page = client.get(f"/recast/singles{query}")
            assert escape(HOSTILE, quote=False)[:20] in page.text
            assert HOSTILE not in page.text
            found = re.findall(r'(?:href|src|action)="([^"#][^"]*)"', page.text)
            assert found
            assert [address for address in found if not address.startswith("/recast/")] == []
        assert listed(client.get("/recast/singles?account=" + quote(HOSTILE))) == [jobs[7]]
        assert client.get("/recast/batches/0?state=failed").url.path == "/recast/singles"


# --- For whom ------------------------------------------------------------------------------------------------------


def test_a_viewer_sees_single_jobs_without_money_and_accounts(
    database: Database, tmp_path: Path, jobs: list[str]
) -> None:
    database.run(people.add, Actor("root", Role.OPERATOR, "command"), "Vera", Role.VIEWER, PASSWORD)
    with Browser(build(settings(database, tmp_path, web_auth=None))) as browser:
        browser.sign_in("Vera")
        assert browser.get("/singles?account=other").status_code == 403
        page = browser.get("/singles")
        assert listed(page) == jobs[::-1]
        for secret in ("USD", "zhiqite.swap", "other</a>", "qolaba"):
            assert secret not in page.text, secret


@pytest.mark.parametrize("verdict", [None, *Verdict])
def test_no_page_reads_the_whole_table(database: Database, jobs: list[str], verdict: Verdict | None) -> None:
    run: list[tuple[str, Any]] = []
    with database.sessions() as session:
        event.listen(session, "do_orm_execute", lambda state: run.append((state.statement.text, state.parameters)))
        before = place_before(session, datetime.now(UTC))
        singles.page(session, GridFilter(verdict=verdict, account="main"), before)
        session.connection().exec_driver_sql("SET LOCAL enable_seqscan = off")  # where an index serves, it is used
        plans = ["\n".join(session.execute(text(f"EXPLAIN {said}"), given).scalars()) for said, given in tuple(run)]
    assert len(plans) >= len(("the newest", "the next", "a portion", "the jobs"))
    assert [plan for plan in plans if "Seq Scan" in plan] == []


# --- Many at once --------------------------------------------------------------------------------------------------


@pytest.fixture
def reviewer(database: Database, tmp_path: Path, jobs: list[str]) -> Iterator[Browser]:
    root = Actor("root", Role.OPERATOR, "command")
    database.run(people.add, root, "Anna", Role.REVIEWER, PASSWORD)
    database.run(people.add, root, "Vera", Role.VIEWER, PASSWORD)
    with Browser(build(settings(database, tmp_path, web_auth=None))) as browser:
        browser.sign_in("Anna")
        yield browser


def said(database: Database) -> list[tuple[str, str]]:
    """What counts of people's verdicts about single jobs."""
    rows = database.sql("SELECT job_id, verdict FROM reviews WHERE batch_id = 0 AND verdict <> 'unreviewed' ORDER BY 1")
    return [tuple(row) for row in rows]


def test_what_is_ticked_is_decided_and_taken_back(reviewer: Browser, database: Database, jobs: list[str]) -> None:
    database.sql(
        "INSERT INTO webhooks (url, events, batches, secrets) VALUES ('https://x', :events, :none, '')",
        events=["result.reviewed", "batch.reviewed"], none=[],
    )  # fmt: skip
    page = reviewer.get("/singles?verdict=unreviewed&day=2026-03-14")
    ticked = boxes(page)
    assert len(ticked) == 4
    form = fields(page) | {"picture": ticked[:2], "do": "needs_work", "reason": ["hair"]}
    answer = reviewer.post("/batches/0/verdicts", form)
    assert answer.status_code == 303
    where = answer.headers["location"]
    assert where.startswith("/singles?")
    assert unsaid(where, "verdict=unreviewed", "day=2026-03-14", "number=2") == []
    assert said(database) == [(jobs[2], "needs_work"), (jobs[3], "needs_work")]
    told = reviewer.get(where)
    assert listed(told) == [jobs[1], jobs[0]], "the filter is kept"
    events = database.sql("SELECT event, data ->> 'job' AS job, data ->> 'batch' AS batch FROM deliveries ORDER BY 2")
    assert [tuple(row) for row in events] == [("result.reviewed", job, None) for job in jobs[2:4]]
    entry = database.one("SELECT subject FROM audit WHERE action = 'judge'")
    assert entry == "single jobs"
    back = fields(told, '<form class="undo-all"') | {"do": "undo"}
    reviewer.post("/batches/0/verdicts", back)
    assert said(database) == []


def test_all_of_a_filter_is_counted_first(reviewer: Browser, database: Database, jobs: list[str]) -> None:
    """Given more single pictures than are decided unasked, when all of a filter are approved, then these alone are,
    once their number was agreed to."""
    for job in (more := database.jobs(CARDS, state="succeeded")):
        give(database, job, account="'other'")
    page = reviewer.get("/singles?account=other&verdict=unreviewed")
    form = fields(page) | {"all": "1", "do": "approve"}
    reviewer.post("/batches/0/verdicts", fields(page) | {"picture": boxes(page)[:1], "do": "needs_work"})
    assert said(database) == [(more[-1], "needs_work")]
    later = database.jobs(2, state="succeeded")
    for job in later:
        give(database, job, account="'other'")
    few = reviewer.post("/batches/0/verdicts", form)
    assert few.status_code == 303, "no more than a page is left of what was seen"
    assert {job for job, verdict in said(database) if verdict == "approved"} == set(more[:-1])
    page = reviewer.get("/singles?verdict=approved")
    assert reviewer.post("/batches/0/verdicts", fields(page) | {"all": "1", "do": "undo"}).status_code == 303
    assert said(database) == [(more[-1], "needs_work")]
    page = reviewer.get("/singles")
    counted = reviewer.post("/batches/0/verdicts", fields(page) | {"all": "1", "do": "approve"})
    assert counted.status_code == 200
    assert unsaid(counted.text, f"{CARDS + 6} pictures") == []
    assert 'href="/singles"' in counted.text
    assert len(said(database)) == 1, "nothing is done before it was counted"
    sure = fields(counted, '<form method="post" action="/batches/0/verdicts"') | {"sure": "1"}
    assert reviewer.post("/batches/0/verdicts", sure).status_code == 303
    assert {verdict for _, verdict in said(database)} == {"approved"}
    assert len(said(database)) == CARDS + 6
    batches = database.one("SELECT count(*) FROM reviews WHERE batch_id <> 0")
    assert batches == 0, "pictures of batches are not meant"


def test_who_only_looks_is_offered_no_boxes(reviewer: Browser, database: Database, jobs: list[str]) -> None:
    page = reviewer.get("/singles")
    form = fields(page) | {"picture": boxes(page)[:1], "do": "approve"}
    reviewer.forget_cookies()
    reviewer.sign_in("Vera")
    page = reviewer.get("/singles")
    assert "formaction" not in page.text
    assert boxes(page) == []
    assert 'id="selection"' not in page.text
    assert reviewer.post("/batches/0/verdicts", form | {"form": reviewer.form("/singles")}).status_code == 403
    added = database.run(guests.add, Actor("root", Role.OPERATOR, "command"), "spring", Role.REVIEWER, 3600.0)
    reviewer.forget_cookies()
    come(reviewer, added)
    assert reviewer.post("/batches/0/verdicts", form | {"form": reviewer.form("/batches/1")}).status_code in {403, 404}
    assert said(database) == []
