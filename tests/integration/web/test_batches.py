"""The page of all batches: what it says of each, and which it lists, in which order, for whom."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from html import unescape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import event, text

from desk import people
from desk.actors import Actor
from models.people import Role
from models.states import JobState
from reports import batches
from reports.batch import BatchReport, find
from reports.batches import FLAGS_COUNTED, PACE_JOBS, BatchesFilter, BatchesSort, Only, described, listed
from reports.reviews import PARTS, Part, progress
from tests.http import Response
from tests.integration.desk.pictures import made
from tests.integration.web.test_desk import PASSWORD, Browser
from tests.web.client import Client
from tests.web.shop import AUTH, settings, stock
from tests.words import unsaid
from web.app import build
from web.batches import LISTED
from workers.config.settings import Settings
from workers.images.storage import Storage

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


def batch(database: Database, name: str, spent: str = "0", **columns: Any) -> int:
    """A batch with these columns, which has spent so much."""
    number = database.batch(name)
    for column, value in columns.items():
        database.sql(f"UPDATE batches SET {column} = :value WHERE id = :id", value=value, id=number)  # noqa: S608
    database.sql(
        "INSERT INTO spend (scope, period, amount) VALUES (:scope, 'all', :amount)",
        scope=f"batch:{number}", amount=Decimal(spent),
    )  # fmt: skip
    return number


@pytest.fixture
def four(database: Database) -> None:
    batch(database, "Beta", "2", label="acme", failed=1, succeeded=4)
    batch(database, "alpha", "10.5", label="acme", held=2, failed=3, succeeded=1)
    batch(database, "delta 7%", "0", queued=9, paused_reason="person")
    batch(database, "gamma", "3.25", label="Other", rejected=1, canceled=1)
    database.sql("UPDATE batches SET paused_at = now() WHERE paused_reason IS NOT NULL")


def names(page: Response) -> list[str]:
    """The batches that a page lists."""
    return [unescape(name) for name in re.findall(r'<h2><a href="[^"]*">([^<]*)</a>', page.text)]


def follow(client: Client, page: Response, rel: str) -> Response | None:
    """The page behind a link that has this meaning."""
    found = re.search(rf'rel="{rel}" href="([^"]*)"', page.text)
    return None if found is None else client.get(unescape(found[1]))


# --- Which, and in which order -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", ["gamma", "delta 7%", "alpha", "Beta"]),
        ("sort=name", ["alpha", "Beta", "delta 7%", "gamma"]),
        ("sort=spend", ["alpha", "gamma", "Beta", "delta 7%"]),
        ("sort=needs_you", ["alpha", "Beta", "gamma", "delta 7%"]),
        ("sort=unreviewed", ["Beta", "alpha", "gamma", "delta 7%"]),
        ("q=BET", ["Beta"]),
        ("q=7%25", ["delta 7%"]),
        ("q=ACM", ["alpha", "Beta"]),
        ("q=_", []),
        ("q=%20%20", ["gamma", "delta 7%", "alpha", "Beta"]),
        ("label=acme&sort=name", ["alpha", "Beta"]),
        ("label=other", []),
        ("only=open", ["delta 7%", "alpha"]),
        ("only=needs_you", ["alpha", "Beta"]),
        ("only=waiting", ["delta 7%"]),
        ("only=rejected", ["gamma"]),
        ("only=unreviewed", ["alpha", "Beta"]),
        ("only=paused", ["delta 7%"]),
        ("only=needs_you&label=acme&q=be", ["Beta"]),
    ],
)
@pytest.mark.usefixtures("four")
def test_batches_are_searched_filtered_and_sorted(client: Client, query: str, found: list[str]) -> None:
    assert names(client.get(f"/batches?{query}")) == found


@pytest.mark.parametrize("sort", BatchesSort)
def test_pages_by_key_have_every_batch_once(client: Client, database: Database, sort: BatchesSort) -> None:
    number = 2 * LISTED + 7
    for each in range(number):  # many of them alike, so that the order needs more than what it sorts by
        batch(database, f"run {each % 3} {each:03}", f"{each % 4}", failed=each % 2, succeeded=each % 5)
    first = client.get(f"/batches?sort={sort}&q=run")
    assert "Search" in first.text
    pages, page = [], first
    while True:
        pages.append(names(page))
        after = follow(client, page, "next")
        if after is None:
            break
        page = after
    assert [len(each) for each in pages] == [LISTED, LISTED, 7]
    assert len({name for each in pages for name in each}) == number
    back = follow(client, page, "first")
    assert back is not None
    assert names(back) == pages[0]


@pytest.mark.usefixtures("four")
def test_a_place_that_is_not_said_in_full_is_the_first_page(client: Client) -> None:
    assert len(names(client.get("/batches?sort=name&after=3"))) == 4


@pytest.mark.usefixtures("four")
def test_a_page_that_finds_nothing_leads_back(client: Client) -> None:
    page = client.get("/batches?q=nothing")
    assert names(page) == []
    assert 'href="/batches">See all' in page.text


# --- What is said of each ------------------------------------------------------------------------------------------


def test_every_state_is_in_one_of_the_four_numbers() -> None:
    assert sorted(state for states in PARTS.values() for state in states) == sorted(JobState)
    assert list(PARTS) == list(Part)
    numbers = progress({state: 10**place for place, state in enumerate(JobState)})
    assert numbers.made + numbers.needs_you + numbers.rejected + numbers.waiting == 11_111_111


def test_each_number_leads_to_as_many_jobs(client: Client, database: Database, chosen: Settings) -> None:
    shown = stock(database, Storage(chosen.storage), succeeded=5)
    (job,) = database.jobs(batch=shown, state="failed")
    for place in ("/batches", f"/batches/{shown}", "/today"):
        page = client.get(place)
        found = re.findall(r'<a href="([^"]*part=(\w+))"[^>]*><i[^>]*></i><span><b>(\d+)</b>', page.text)
        assert {part: int(number) for _, part, number in found} == {
            "made": 5, "needs_you": 3, "rejected": 2, "waiting": 3
        }, place  # fmt: skip
        for address, part, number in found:
            rows = client.get(unescape(address)).text
            assert rows.count('class="panel card') == int(number), (place, part)
            assert (job in rows) is (part == "needs_you")


def test_a_batch_says_its_label_spend_verdicts_flags_and_its_end(client: Client, database: Database) -> None:
    database.account()
    shown = made(database, PACE_JOBS + 1)
    database.jobs(20, batch=shown, state="queued")
    database.sql("UPDATE batches SET label = 'acme & co', max_cost = 9 WHERE id = :id", id=shown)
    database.sql("UPDATE jobs SET finished_at = now() - interval '1 minute' WHERE state = 'succeeded'")
    database.sql("INSERT INTO spend (scope, period, amount) VALUES (:scope, 'all', 1.25)", scope=f"batch:{shown}")
    database.sql(
        "INSERT INTO reviews (job_id, batch_id, seq, verdict)"
        " SELECT id, batch_id, seq, CASE WHEN id = 'job-00000' THEN 'needs_work' ELSE 'approved' END FROM jobs"
        " WHERE id IN ('job-00000', 'job-00001', 'job-00002')"
    )
    for name in ("blurred", "no_face"):  # of one picture: it is counted once
        database.sql(
            "INSERT INTO checks (result_id, job_id, batch_id, seq, name, score, threshold, flagged, rank)"
            " SELECT r.id, j.id, j.batch_id, j.seq, :name, 0.7, 0.5, true, 0.5"
            " FROM jobs j JOIN results r ON r.job_id = j.id WHERE j.id = 'job-00003'",
            name=name,
        )
    page = client.get("/batches")
    said = " ".join(unescape(re.sub("<[^>]*>", " ", page.text)).split())
    assert unsaid(
        said, "6 made", "20 waiting", "acme & co", "1.25 USD of 9.00 USD", "1 flagged", "2 approved", "1 needs work",
        "3 unreviewed", "began", "end expected",
    ) == []  # fmt: skip
    assert "done" not in said
    page_of_it = client.get(f"/batches/{shown}")
    own = " ".join(unescape(re.sub("<[^>]*>", " ", page_of_it.text)).split())
    assert unsaid(own, "6 made", "20 waiting", "acme & co", "1.25 USD of 9.00 USD", "end expected") == []
    for each in (page, page_of_it):
        (end,) = re.findall(r'end expected <time datetime="([^"]*)"', each.text)
        assert timedelta(minutes=3) < datetime.fromisoformat(end) - datetime.now(UTC) < timedelta(minutes=4)
    assert names(client.get(re.findall(r'class="label" href="([^"]*)"', page.text)[0])) == ["spring"]


@pytest.mark.parametrize(
    ("told", "after"),
    [
        (True, "UPDATE batches SET label = 'as it is' WHERE id = :id"),
        (False, "UPDATE jobs SET finished_at = now() - interval '1 hour' WHERE batch_id = :id"),
        (False, "UPDATE jobs SET finished_at = NULL WHERE id = 'job-00000' AND batch_id = :id"),
        (False, "UPDATE batches SET queued = 0, failed = 1 WHERE id = :id"),
        (False, "UPDATE batches SET paused_at = now(), paused_reason = 'person' WHERE id = :id"),
    ],
)
def test_an_end_is_told_only_where_it_can_be(database: Database, after: str, *, told: bool) -> None:
    shown = database.batch()
    database.jobs(PACE_JOBS, batch=shown, state="succeeded")
    database.jobs(1, batch=shown, state="queued")
    database.sql("UPDATE jobs SET finished_at = now() - interval '1 minute' WHERE state = 'succeeded'")
    database.sql(after, id=shown)
    (found,) = database.run(lambda session: described(session, listed(session, BatchesFilter(), 9)))
    assert (found.ends_at is not None) is told


def test_more_flags_than_a_page_counts_are_said_to_be_more(database: Database) -> None:
    database.account()
    shown = made(database, FLAGS_COUNTED + 3)
    database.sql(
        "INSERT INTO checks (result_id, job_id, batch_id, seq, name, score, threshold, flagged, rank)"
        " SELECT r.id, j.id, j.batch_id, j.seq, 'blurred', 0.7, 0.5, true, 0.5"
        " FROM jobs j JOIN results r ON r.job_id = j.id"
    )
    (found,) = database.run(lambda session: described(session, [find(session, "spring")]))
    assert (found.report.id, found.flagged, found.more) == (shown, FLAGS_COUNTED, True)


# --- For whom, and at what cost ------------------------------------------------------------------------------------


@pytest.mark.usefixtures("four")
def test_a_viewer_sees_no_money_and_cannot_sort_by_it(database: Database, tmp_path: Path) -> None:
    database.run(people.add, Actor("root", Role.OPERATOR, "command"), "Vera", Role.VIEWER, PASSWORD)
    with Browser(build(settings(database, tmp_path, web_auth=None))) as browser:
        browser.sign_in("Vera")
        assert browser.get("/batches?sort=spend").status_code == 403
        page = browser.get("/batches")
        assert names(page) == ["gamma", "delta 7%", "alpha", "Beta"]
        assert "USD" not in page.text
        assert "sort=spend" not in page.text


def test_a_page_takes_as_many_statements_for_many_batches_as_for_one(client: Client, database: Database) -> None:
    def asked() -> list[str]:
        found: list[str] = []
        with database.sessions() as session:
            connection = session.connection()
            event.listen(connection, "before_cursor_execute", lambda *given: found.append(given[2]))
            described(
                session,
                listed(session, BatchesFilter(search="a", only=Only.NEEDS_YOU, sort=BatchesSort.UNREVIEWED), LISTED),
            )
        return found

    batch(database, "a1", failed=1)
    one = len(asked())
    for number in range(2 * LISTED):
        batch(database, f"a{number + 2}", failed=1)
    assert one == len(asked()) == 3


@pytest.mark.parametrize("statement", ["_MARKS", "_PACES"])
def test_no_page_reads_whole_tables_of_jobs_or_flags(database: Database, statement: str) -> None:
    shown = made(database, 3)
    given = {"ids": [shown], "seconds": 600.0}
    sql = getattr(batches, statement).text
    with database.sessions() as session:
        for way in ("seqscan", "bitmapscan"):  # where an index serves, it is used, also for the order
            session.execute(text(f"SET LOCAL enable_{way} = off"))
        names_only = {name: value for name, value in given.items() if f":{name}" in sql}
        plan = "\n".join(session.execute(text(f"EXPLAIN {sql}"), names_only).scalars())
    assert "Seq Scan" not in plan
    assert re.search("ix_checks_(name_)?seq" if statement == "_MARKS" else "ix_jobs_finished_at", plan), plan


def test_a_report_is_of_one_batch(database: Database) -> None:
    batch(database, "spring", "1.5", label="acme", archived_at=None)
    (found,) = database.run(listed, BatchesFilter(search="PRI"), 5)
    assert isinstance(found, BatchReport)
    assert (found.name, found.label, found.spent) == ("spring", "acme", Decimal("1.5"))
