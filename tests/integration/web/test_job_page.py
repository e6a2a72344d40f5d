"""The page of a job over HTTP: what it shows to whom, and forms that lead back to it."""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING

import pytest

from desk import guests
from models.people import Role
from tests.integration.web.test_desk import ROOT, Browser, batch, browser, chosen, priced, shown
from tests.words import unsaid

if TYPE_CHECKING:
    from tests.integration.database import Database

pytest_plugins = ["tests.integration.database"]
__all__ = ["batch", "browser", "chosen", "priced"]


def test_a_job_is_reviewed_on_its_own_page_and_the_forms_lead_back_to_it(
    browser: Browser, database: Database, batch: int
) -> None:
    browser.sign_in("Anna")
    where = "/jobs/job-00001"
    said = {"verdict": "needs_work", "reason": ["hair"], "note": "too dark", "area": "0.1,0.2,0.3,0.4"}
    answer = browser.post(f"/batches/{batch}/review", shown(browser.get(where)) | said)
    assert (answer.status_code, answer.headers["location"]) == (303, where)
    page = browser.get(where)
    assert not unsaid(page.text, "needs work", "Anna", "hair", "too dark", "30 % × 40 %")
    # From here to the loupe and the grid, and from there to here
    for path in (f"/batches/{batch}/review?job=job-00001", f"/batches/{batch}?after="):
        assert f'href="{path}' in page.text
    assert f'href="{where}"' in browser.get(f"/batches/{batch}/review?job=job-00001").text


def test_of_several_pictures_each_has_its_verdict_and_one_is_chosen(
    browser: Browser, database: Database, batch: int
) -> None:
    browser.sign_in("Anna")
    second = database.one(
        "INSERT INTO results (job_id, attempt_id, index, key, sha256, size, media_type, width, height)"
        " SELECT job_id, attempt_id, 1, key, sha256, size, media_type, width, height FROM results"
        " WHERE job_id = 'job-00001' RETURNING id"
    )
    page = browser.get(f"/jobs/job-00001?picture={second}")
    assert shown(page)["result"] == str(second)
    fields = {"do": "choose", "job": "job-00001", "result": second, "back": "job", "form": shown(page)["form"]}
    assert "Use this one" in page.text
    answer = browser.post(f"/batches/{batch}/review", fields)
    assert answer.headers["location"] == "/jobs/job-00001"
    assert database.one("SELECT chosen FROM reviews WHERE job_id = 'job-00001'") == second
    assert shown(browser.get("/jobs/job-00001"))["result"] == str(second), "what is used is shown first"


def test_a_redo_is_asked_for_on_the_page(browser: Browser, database: Database, batch: int, priced: None) -> None:
    browser.sign_in("Anna")
    page = browser.get("/jobs/job-00002")
    (form,) = re.findall(r'<form class="redo panel".*?</form>', page.text, re.DOTALL)
    fields = dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', form))
    answer = browser.post(f"/batches/{batch}/review", fields)
    assert answer.headers["location"] == "/jobs/job-00002"
    assert "a new version is waiting" in browser.get("/jobs/job-00002").text


def test_a_viewer_sees_verdicts_and_no_forms_or_money(browser: Browser, database: Database, batch: int) -> None:
    browser.sign_in("Anna")
    browser.post(f"/batches/{batch}/review", shown(browser.get("/jobs/job-00001")) | {"verdict": "approved"})
    browser.post("/sign-out", {"form": browser.form("/batches")})
    browser.sign_in("Vera")
    page = browser.get("/jobs/job-00001").text
    assert not unsaid(page, "approved", "Anna")
    assert all(each not in page for each in ('class="judge"', 'class="redo', 'class="choose"', "USD", "Attempts"))


def test_a_picture_of_the_grid_leads_to_its_review_in_the_same_filter(browser: Browser, batch: int) -> None:
    browser.sign_in("Anna")
    tiles = re.findall(r'class="pair[^"]*" href="([^"]+)"', browser.get(f"/batches/{batch}?verdict=unreviewed").text)
    (tile,) = [tile for tile in tiles if "job=job-00001" in tile]
    page = browser.get(html.unescape(tile))
    assert shown(page)["job"] == "job-00001"
    assert not unsaid(page.text, "verdict=unreviewed", "sort=catalog")


def test_a_single_job_is_judged_on_its_page(browser: Browser, database: Database, batch: int) -> None:
    browser.sign_in("Otto")
    database.sql("UPDATE jobs SET batch_id = 0, key = NULL WHERE id = 'job-00001'")
    page = browser.get("/jobs/job-00001")
    assert not unsaid(page.text, 'class="judge"', "/batches/0/review?job=job-00001", "/singles?before=")
    judged = browser.post("/batches/0/review", shown(page) | {"back": "job", "verdict": "approved"})
    assert judged.headers["location"] == "/jobs/job-00001"
    (in_list,) = re.findall(r'href="(/singles\?before=[^"]*)"', page.text)
    assert 'data-part="job-job-00001"' in browser.get(in_list).text
    rows = database.sql("SELECT batch_id, verdict FROM reviews WHERE job_id = 'job-00001'")
    assert [tuple(row) for row in rows] == [(0, "approved")]


@pytest.mark.parametrize(("typed", "found"), [("row-3", "job-00003"), ("row", "job-00000"), ("rox", None), ("z", None)])
def test_a_picture_is_found_by_its_key(browser: Browser, batch: int, typed: str, found: str | None) -> None:
    browser.sign_in("Anna")
    page = browser.get(f"/batches/{batch}/review", params={"jump": typed})
    if found is None:
        assert page.status_code == 404
        assert typed in page.text
    else:
        assert shown(page)["job"] == found


def test_a_near_duplicate_names_the_job_whose_picture_it_looks_like(
    browser: Browser, database: Database, batch: int
) -> None:
    other = database.batch("autumn")
    database.sql("UPDATE jobs SET batch_id = :other WHERE id = 'job-00000'", other=other)
    database.sql(
        "INSERT INTO hash_bands (result_id, band, batch_id, value, hash) SELECT r.id, 0, j.batch_id, 7, 7"
        " FROM results r JOIN jobs j ON j.id = r.job_id WHERE j.id < 'job-00003'"
    )
    database.sql(
        "INSERT INTO checks (result_id, name, job_id, batch_id, seq, score, threshold, flagged, rank)"
        " SELECT r.id, 'near_duplicate', j.id, j.batch_id, j.seq, 1, 0.9, j.id = 'job-00002', 0"
        " FROM results r JOIN jobs j ON j.id = r.job_id"
    )
    database.sql("UPDATE batches SET created_at = '2026-11-01'")
    browser.sign_in("Anna")
    page = browser.get("/jobs/job-00002").text
    assert 'near duplicate of <a href="/jobs/job-00001">' in page
    assert "near duplicate of" not in browser.get("/jobs/job-00001").text, "it is not flagged"

    # By now it is another batch's, which began before
    database.sql("DELETE FROM hash_bands h USING results r WHERE r.id = h.result_id AND r.job_id = 'job-00001'")
    database.sql("UPDATE jobs SET batch_id = :new WHERE id = 'job-00002'", new=(new := database.batch("winter")))
    database.sql("UPDATE jobs SET fingerprint = id")
    database.sql("UPDATE hash_bands SET batch_id = :new WHERE batch_id = :old", new=new, old=batch)
    database.sql("UPDATE batches SET created_at = '2026-11-02' WHERE id = :id", id=new)
    assert 'near duplicate of <a href="/jobs/job-00000">autumn/' in browser.get("/jobs/job-00002").text
    added = database.run(guests.add, ROOT, "winter", Role.VIEWER, 3600.0)
    browser.forget_cookies()
    browser.post(f"/guest/{added.token}", {"name": "Gina", "form": browser.form(f"/guest/{added.token}")})
    page = browser.get("/jobs/job-00002").text
    assert "near duplicate" in page
    assert "autumn" not in page, "guests know of no other batch"
