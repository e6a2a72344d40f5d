"""Verdicts about many pictures of the grid, by forms alone: counted first, taken back, and never over another's."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest
from sqlalchemy.orm import Session

from desk import people
from desk.selecting import Seen, seen
from desk.verdicts import Decision, judge
from models.verdicts import Verdict
from tests.integration.desk.pictures import give
from tests.integration.desk.test_reviewed import BEN
from tests.integration.web.test_desk import PASSWORD, PEOPLE, ROOT, Browser
from tests.web.shop import settings, stock
from web.app import build
from workers.config.reasons import REVIEW_REASONS
from workers.images.storage import Storage

if TYPE_CHECKING:
    from tests.integration.database import Database

pytest_plugins = ["tests.integration.database"]

MADE = 30  # more than a page


@pytest.fixture
def batch(database: Database, tmp_path: Path) -> int:
    for name, role in PEOPLE.items():
        database.run(people.add, ROOT, name, role, PASSWORD)
    return stock(database, Storage(settings(database, tmp_path).storage), succeeded=MADE)


@pytest.fixture
def browser(database: Database, tmp_path: Path, batch: int) -> Iterator[Browser]:
    with Browser(build(settings(database, tmp_path, web_auth=None))) as made:
        made.sign_in("Anna")
        yield made


def fields(page: Any, form: str = '<form id="selection"') -> dict[str, Any]:
    """The hidden fields of a form of the page."""
    found = page.text[page.text.index(form) :]
    named = re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', found[: found.index("</form>")])
    given: dict[str, Any] = {}
    for name, value in named:
        given.setdefault(name, []).append(html.unescape(value))
    return given


def boxes(page: Any) -> list[str]:
    return re.findall(r'name="picture" value="(\d+:\d+)"', page.text)


def counted(database: Database) -> dict[str, int]:
    return {row.verdict: row.n for row in database.sql("SELECT verdict, count(*) AS n FROM verdicts GROUP BY 1")}


def test_what_is_ticked_is_decided_and_taken_back(browser: Browser, database: Database, batch: int) -> None:
    page = browser.get(f"/batches/{batch}?verdict=unreviewed")
    ticked = boxes(page)[:3]
    form = fields(page) | {"picture": ticked, "do": "needs_work", "reason": ["hair"], "note": "all alike"}
    answer = browser.post(f"/batches/{batch}/verdicts", form)
    assert answer.status_code == 303
    assert counted(database) == {"needs_work": 3}
    # Sent again, as by going back: nothing more is written
    browser.post(f"/batches/{batch}/verdicts", form)
    assert counted(database) == {"needs_work": 3}
    told = browser.get(answer.headers["location"])
    assert len(boxes(told)) == 24
    back = fields(told, '<form class="undo-all"') | {"do": "undo"}
    again = browser.get(browser.post(f"/batches/{batch}/verdicts", back).headers["location"])
    assert "undo-all" not in again.text
    assert counted(database) == {"needs_work": 3, "unreviewed": 3}
    assert database.one("SELECT count(*) FROM reviews WHERE verdict <> 'unreviewed'") == 0


def test_all_of_a_filter_is_counted_first_and_leaves_others_verdicts(
    browser: Browser, database: Database, batch: int
) -> None:
    page = browser.get(f"/batches/{batch}?verdict=unreviewed")
    (first, _), *_ = (each.split(":") for each in boxes(page))
    work = Decision(Verdict.NEEDS_WORK)
    database.run(judge, BEN, int(first), work, based_on=0, known_reasons=REVIEW_REASONS)
    form = fields(page) | {"all": "1", "do": "approve"}
    asked = browser.post(f"/batches/{batch}/verdicts", form)
    assert asked.status_code == 200
    assert re.search(rf"\b{MADE - 1} pictures", asked.text)
    assert "1 left out" in asked.text
    assert counted(database) == {"needs_work": 1}, "nothing is done before it was counted"
    sure = browser.post(
        f"/batches/{batch}/verdicts", fields(asked, '<form method="post" action="/batches') | {"sure": "1"}
    )
    said = parse_qs(urlsplit(sure.headers["location"]).query)
    assert (said["number"], said["left"], said["verdict"]) == ([str(MADE - 1)], ["changed:1"], ["unreviewed"])
    assert counted(database) == {"needs_work": 1, "approved": MADE - 1}
    assert "1 left out" in browser.get(sure.headers["location"]).text


def test_a_page_shows_at_least_what_its_form_says_was_seen(
    browser: Browser, database: Database, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    single = database.jobs(1, state="succeeded")
    give(database, *single)
    for page, of in ((f"/batches/{batch}", batch), ("/singles", 0)):
        result = database.one(
            "SELECT min(r.id) FROM results r JOIN jobs j ON j.id = r.job_id WHERE j.batch_id = :of", of=of
        )

        def meanwhile(session: Session, result: int = result) -> Seen:
            then = seen(session)
            work = Decision(Verdict.NEEDS_WORK)
            database.run(judge, BEN, result, work, based_on=0, known_reasons=REVIEW_REASONS)
            return then

        monkeypatch.setattr("web.selections.seen", meanwhile)
        newest = [tuple(map(int, box.split(":"))) for box in boxes(browser.get(page))]
        assert (result, database.one("SELECT max(id) FROM verdicts")) in newest


def test_what_was_ticked_before_another_verdict_is_left_out(browser: Browser, database: Database, batch: int) -> None:
    page = browser.get(f"/batches/{batch}")
    ticked = boxes(page)[:2]
    work = Decision(Verdict.NEEDS_WORK)
    database.run(judge, BEN, int(ticked[0].split(":")[0]), work, based_on=0, known_reasons=REVIEW_REASONS)
    answer = browser.post(f"/batches/{batch}/verdicts", fields(page) | {"picture": ticked, "do": "approve"})
    assert parse_qs(urlsplit(answer.headers["location"]).query)["left"] == ["changed:1"]
    assert counted(database) == {"needs_work": 1, "approved": 1}


def test_a_form_that_no_page_makes_changes_nothing(browser: Browser, database: Database, batch: int) -> None:
    page = browser.get(f"/batches/{batch}")
    good = fields(page) | {"picture": boxes(page)[:1], "do": "needs_work"}
    changes: list[dict[str, Any]] = [
        {"do": "delete"}, {"picture": ["1"]}, {"picture": ["x:1"]}, {"picture": []}, {"request": ""}, {"reason": ["x"]},
        {"request": "\0"}, {"picture": [f"{10**30}:0"]}, {"grid": "&".join(["a=1"] * 101)},
    ]  # fmt: skip
    for change in changes:
        assert browser.post(f"/batches/{batch}/verdicts", good | change).status_code == 422, change
    assert counted(database) == {}


def test_a_viewer_is_offered_nothing_and_may_nothing(browser: Browser, database: Database, batch: int) -> None:
    page = browser.get(f"/batches/{batch}")
    form = fields(page) | {"picture": boxes(page)[:1], "do": "approve"}
    browser.forget_cookies()
    browser.sign_in("Vera")
    page = browser.get(f"/batches/{batch}")
    assert boxes(page) == []
    assert 'id="selection"' not in page.text
    token = browser.form(f"/batches/{batch}")
    assert browser.post(f"/batches/{batch}/verdicts", form | {"form": token}).status_code == 403
    assert counted(database) == {}
    # What they may not see, they cannot look for
    for query in ("account=main", "operation=zhiqite.swap", "verdict=unreviewed&account=none", "sort=cost"):
        assert browser.get(f"/batches/{batch}?{query}").status_code == 403


def test_all_of_a_combined_filter_is_what_the_grid_shows(browser: Browser, database: Database, batch: int) -> None:
    database.sql("""UPDATE jobs SET extra = '{"color": "red"}' WHERE key IN ('row-0', 'row-1', 'row-2')""")
    page = browser.get(f"/batches/{batch}?metadata=color%3Dred&verdict=unreviewed&sort=newest&account=main")
    form = fields(page) | {"all": "1", "do": "needs_work", "reason": ["hair"]}
    # Another person decides about one of these, and about one that never was
    for key in ("row-1", "row-5"):
        database.sql(
            "WITH said AS (INSERT INTO verdicts (result_id, job_id, batch_id, person, verdict)"
            " SELECT r.id, j.id, j.batch_id, 'Ben', 'approved' FROM results r JOIN jobs j ON j.id = r.job_id"
            " WHERE j.key = :key RETURNING id, job_id, batch_id)"
            " INSERT INTO reviews (job_id, batch_id, seq, verdict, verdict_id) SELECT j.id, j.batch_id, j.seq,"
            " 'approved', said.id FROM said JOIN jobs j ON j.id = said.job_id", key=key,
        )  # fmt: skip
    answer = browser.post(f"/batches/{batch}/verdicts", form)
    assert counted(database) == {"approved": 2, "needs_work": 2}
    where = answer.headers["location"]
    assert [each for each in ("left=changed%3A1", "metadata=color%3Dred", "sort=newest") if each not in where] == []
    assert browser.post(f"/batches/{batch}/verdicts", form | {"grid": "state=nonsense"}).status_code == 400
