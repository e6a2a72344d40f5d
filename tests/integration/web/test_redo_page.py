"""Redos and bulk operations of a selection or a filter: what they cost is shown first, and who may ask for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from desk import people
from models.people import Role
from tests.integration.desk.pictures import give
from tests.integration.web.test_desk import JSON, PASSWORD, ROOT, Browser
from tests.integration.web.test_operators import ACCOUNT, audited, batch, chosen, hidden, otto, plain, sent
from tests.stack import write_accounts
from tests.words import unsaid
from web import redo_page

if TYPE_CHECKING:
    from tests.integration.database import Database
    from workers.config.settings import Settings

pytest_plugins = ["tests.integration.database"]

__all__ = ["batch", "chosen", "otto", "sent"]

TWO = {"main": ACCOUNT | {"operations": ["swap", "swap_v2"], "prices": {"swap": "0.02 USD", "swap_v2": "0.05 USD"}},
       "other": ACCOUNT | {"prices": {"swap": "0.02 USD"}}}  # fmt: skip


@pytest.fixture(autouse=True)
def _accounts(chosen: Settings) -> None:
    write_accounts(chosen.accounts_file, TWO)


def pictures(database: Database, number: int) -> list[str]:
    """Boxes of the grid, ticked."""
    return [f"{row.id}:0" for row in database.sql("SELECT id FROM results ORDER BY id LIMIT :n", n=number)]


def redone(database: Database) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in database.sql("SELECT job_id, person, via FROM redos ORDER BY job_id")]


def test_ticked_pictures_are_redone_at_the_price_that_was_shown(otto: Browser, database: Database, batch: int) -> None:
    path = f"/batches/{batch}/redo"
    ticked = {"form": otto.form("/batches"), "do": "look", "picture": pictures(database, 2)}
    asked = otto.post(path, ticked)
    assert unsaid(plain(asked), "2 ticked", "0.04 USD", "0.08 USD at most", "Nothing was done") == []
    assert redone(database) == []
    done = otto.post(path, hidden(asked) | {"do": "redo"})
    assert (done.status_code, "done=2" in done.headers["location"]) == (303, True)
    assert [row[1:] for row in redone(database)] == [("Otto", "page")] * 2
    again = otto.post(path, hidden(asked) | {"do": "redo"})
    assert again.status_code == 200, "they are under way: the page says so, and does nothing"
    assert unsaid(plain(again), "2 left out", "under way", "changed since") == []
    assert len(redone(database)) == 2
    assert audited(database) == [("Otto", "page", "redo")]


def test_one_picture_is_asked_for_otherwise(otto: Browser, database: Database, batch: int) -> None:
    path = f"/batches/{batch}/redo"
    page = otto.get(f"{path}?job=job-00000")
    assert unsaid(plain(page), "One job", "0.02 USD", "recast redo job-00000") == []
    change = {"to_operation": "zhiqite.swap_v2", "option.fidelity_weight": "0.4"}
    changed = otto.post(path, hidden(page) | change | {"do": "redo"})
    assert changed.status_code == 200, "another change was agreed to than is asked for"
    assert redone(database) == []
    assert unsaid(plain(changed), "0.05 USD", "fidelity weight", "0 to 1", "--options fidelity_weight=0.4") == []
    assert otto.post(path, hidden(changed) | change | {"do": "redo"}).status_code == 303
    (job,) = database.sql("SELECT lane, options, operation FROM jobs WHERE id = 'job-00000'")
    assert (job.operation, job.options) == ("zhiqite.swap_v2", {"fidelity_weight": 0.4})


def test_the_command_says_options_as_the_page_takes_them(otto: Browser, batch: int) -> None:
    path = f"/batches/{batch}/redo"
    page = otto.get(f"{path}?job=job-00000")
    fields = {"to_operation": "zhiqite.swap_v2", "option.a": "true", "option.b": '"7"', "option.c": '["x"]'}
    said = plain(otto.post(path, hidden(page) | fields))
    assert unsaid(said, "--options a=true", """--options 'b="7"'""", """--options 'c=["x"]'""") == []


def test_what_has_no_price_is_redone_where_no_limit_is_in_force(
    otto: Browser, database: Database, chosen: Settings, batch: int
) -> None:
    free = {name: value for name, value in ACCOUNT.items() if name not in {"prices", "budget"}}
    write_accounts(chosen.accounts_file, {"main": free})
    database.sql("UPDATE batches SET max_cost = NULL WHERE id = :id", id=batch)
    path = f"/batches/{batch}/redo"
    page = otto.get(f"{path}?job=job-00000")
    assert unsaid(plain(page), "price is not known", "Redo 1, price not known") == []
    assert otto.post(path, hidden(page) | {"do": "redo"}).status_code == 303
    review = f"/batches/{batch}/review"
    assert "Redo; the price is not known" in otto.get(f"{review}?job=job-00001").text
    version = database.one("SELECT version FROM jobs WHERE id = 'job-00001'")
    fields = {"form": otto.form("/batches"), "do": "redo", "job": "job-00001", "version": version, "at_most": "0"}
    assert otto.post(review, fields).status_code == 303
    assert [row[0] for row in redone(database)] == ["job-00000", "job-00001"]
    database.sql("UPDATE batches SET max_cost = 1 WHERE id = :id", id=batch)
    refused = otto.post(path, hidden(otto.get(f"{path}?job=job-00002")) | {"do": "redo"})
    assert (refused.status_code, unsaid(refused.text, "no price", "limit is in force")) == (422, [])


def test_a_price_that_rose_since_it_was_shown_is_not_paid(
    otto: Browser, database: Database, chosen: Settings, batch: int
) -> None:
    path, review = f"/batches/{batch}/redo", f"/batches/{batch}/review"
    fields = {"form": otto.form("/batches"), "do": "redo", "job": "job-00001", "version": "1", "at_most": "0.04"}
    asked = otto.get(f"{path}?job=job-00000")
    assert unsaid(plain(otto.get(f"{review}?job=job-00001")), "0.04 USD at most") == []
    for prices, says in (({"swap": "0.03 USD"}, "0.06 USD"), ({"swap_v2": "0.02 USD"}, "no price")):
        write_accounts(chosen.accounts_file, {"main": ACCOUNT | {"budget": {}, "prices": prices}})
        refused = otto.post(review, fields, headers=JSON)
        assert (refused.status_code, unsaid(refused.text, says)) == (422, []), says
        shown = otto.post(path, hidden(asked) | {"do": "redo"})
        assert (shown.status_code, unsaid(plain(shown), "changed since")) == (200, []), says
    assert redone(database) == []


def test_what_cannot_be_redone_is_said_and_left_out(otto: Browser, database: Database, batch: int) -> None:
    path = f"/batches/{batch}/redo"
    page = otto.get(f"{path}?verdict=unreviewed")
    assert unsaid(plain(page), "unreviewed", "4 pictures") == []
    wrong = {"to_operation": "zhiqite.swap_v2", "option.fidelity_weight": "7", "to": "main"}
    refused = otto.post(path, hidden(page) | wrong)
    assert unsaid(plain(refused), "0 pictures", "4 left out", "fidelity_weight", "7") == []
    assert "do=redo" not in refused.text
    for bad, word in ((otto.get(f"{path}?state=held"), "held"),
                      (otto.post(path, {"form": otto.form("/batches")}), "selected"),
                      (otto.post(path, hidden(page) | {"option.seed": "x"}), "&#39;x&#39; is not possible; allowed"),
                      (otto.post(path, hidden(page) | {"option.seed": "1" * 2_001}), "seed: it has 2,001"),
                      (otto.post(path, {"form": otto.form("/batches"), "picture": "x"}), "picture")):  # fmt: skip
        assert (bad.status_code, unsaid(bad.text, word)) == (422, [])
    other = database.batch("other")
    (foreign,) = database.jobs(1, batch=other, state="succeeded")
    assert unsaid(plain(otto.get(f"{path}?job={foreign}")), "0 pictures") == []
    assert otto.get("/batches/999/redo").status_code == 404


def test_too_many_are_refused(
    otto: Browser, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    monkeypatch.setattr(redo_page, "MOST_REDONE", 2)
    monkeypatch.setattr("desk.redo_plan.MOST_REDONE", 2)
    page = otto.get(f"/batches/{batch}/redo")
    assert (page.status_code, unsaid(page.text, "more than 2", "recast redo")) == (422, [])


def test_a_reviewer_redoes_within_the_cap_and_others_do_not(
    chosen: Settings, otto: Browser, database: Database, batch: int
) -> None:
    for name, role in (("Vera", Role.VIEWER), ("Anna", Role.REVIEWER)):
        database.run(people.add, ROOT, name, role, PASSWORD)
    path = f"/batches/{batch}/redo"
    fields = hidden(otto.get(path)) | {"do": "redo"}
    otto.forget_cookies()
    otto.sign_in("Vera")
    assert otto.get(path).status_code == 403
    assert otto.post(path, fields | {"form": otto.form("/batches")}).status_code == 403
    assert "/redo" not in otto.get(f"/batches/{batch}").text
    otto.forget_cookies()
    otto.sign_in("Anna")
    assert otto.post(path, fields).status_code == 403, "a form of another visitor"
    page = otto.get(f"{path}?job=job-00001")
    assert unsaid(plain(page), "5.00 USD more on redos today") == []
    assert otto.post(path, hidden(page) | {"do": "redo"}).status_code == 303
    assert unsaid(plain(otto.get(path)), "4.96 USD more") == []
    cap = database.one("SELECT count(*) FROM redos")
    database.sql("UPDATE redos SET at_most = 4.95")
    dear = otto.get(path)
    assert unsaid(plain(dear), "0.05 USD more", "ask an operator") == []
    assert otto.post(path, hidden(dear) | {"do": "redo"}).status_code == 403
    assert database.one("SELECT count(*) FROM redos") == cap


def test_bulk_operations_change_ticked_jobs_and_filters_only(otto: Browser, database: Database, batch: int) -> None:
    form = otto.form("/batches")
    failed, canceled = (
        database.one("SELECT id FROM jobs WHERE state = :s", s=state) for state in ("failed", "canceled")
    )
    asked = otto.post(f"/batches/{batch}/bulk/retry", {"form": form, "job": [failed, canceled]})
    assert unsaid(plain(asked), "2 ticked jobs", "0.08 USD at most") == []
    done = otto.post(f"/batches/{batch}/bulk/retry", hidden(asked))
    assert (done.status_code, "done=2" in done.headers["location"]) == (303, True)
    shown = otto.get(done.headers["location"].removeprefix("/recast"))
    assert unsaid(plain(shown), "2 jobs changed") == []
    assert 'name="agreed"' not in shown.text
    assert database.one("SELECT count(*) FROM jobs WHERE state = 'rejected'") == 1, "it was not ticked"
    queued = database.one("SELECT count(*) FROM jobs WHERE state = 'queued'")
    paused = otto.get(f"/batches/{batch}/bulk/pause?state=queued")
    assert unsaid(plain(paused), f"{queued} jobs") == []
    assert "recast pause" not in paused.text, "that command has no --state, and without one it pauses the batch"
    assert "recast cancel --batch" in plain(otto.get(f"/batches/{batch}/bulk/cancel?state=queued"))
    assert "--state" not in otto.get(f"/batches/{batch}/bulk/cancel?state=queued").text
    assert "recast pause --batch" in plain(otto.get(f"/batches/{batch}/bulk/pause?account=main"))
    assert otto.post(f"/batches/{batch}/bulk/pause", hidden(paused)).status_code == 303
    assert database.one("SELECT count(*) FROM jobs WHERE starts_with(lane, '!@')") == queued
    assert database.one("SELECT paused_at FROM batches WHERE id = :id", id=batch) is None, "only its jobs"
    resumed = otto.post(f"/batches/{batch}/bulk/resume", {"form": form, "job": [failed]})
    assert otto.post(f"/batches/{batch}/bulk/resume", hidden(resumed)).status_code == 303
    assert database.one("SELECT count(*) FROM jobs WHERE starts_with(lane, '!@')") == queued - 1
    assert [action for _, _, action in audited(database)] == ["retry", "pause", "resume"]


@pytest.fixture
def singles(database: Database) -> list[str]:
    """Two single jobs with pictures, one that failed, and two that wait."""
    found = [*database.jobs(2, state="succeeded"), *database.jobs(1, state="failed"), *database.jobs(2)]
    for job in found[:2]:
        give(database, job, cost="0.02")
    return found


def test_single_jobs_are_redone_by_ticks_and_by_filter(otto: Browser, database: Database, singles: list[str]) -> None:
    results = [database.one("SELECT id FROM results WHERE job_id = :job", job=job) for job in singles[:2]]
    asked = otto.post("/batches/0/redo", {"form": otto.form("/batches"), "picture": [f"{results[0]}:0"]})
    assert unsaid(plain(asked), "Redo a picture of single jobs", "1 picture", "0.02 USD", singles[0]) == []
    done = otto.post("/batches/0/redo", hidden(asked) | {"do": "redo"})
    assert done.status_code == 303, plain(done)
    assert [row[0] for row in redone(database)] == [singles[0]]
    assert otto.get(done.headers["location"].removeprefix("/recast")).status_code == 200
    rest = otto.get("/batches/0/redo?verdict=unreviewed")
    assert unsaid(plain(rest), "of the filter “verdict unreviewed”", "1 picture", "0.02 USD") == []
    assert otto.post("/batches/0/redo", hidden(rest) | {"do": "redo"}).status_code == 303
    assert [row[0] for row in redone(database)] == sorted(singles[:2])
    assert {row.batch_id for row in database.sql("SELECT batch_id FROM jobs j JOIN redos r ON r.job_id = j.id")} == {0}
    assert subjects(database) == [f"job {job}" for job in singles[:2]]
    assert f'href="/recast/batches/0/redo?job={singles[2]}"' in otto.get(f"/jobs/{singles[2]}").text


def test_the_audit_says_of_which_batch_pictures_are_redone(
    otto: Browser, database: Database, singles: list[str], batch: int
) -> None:
    for where in ("0", str(batch)):
        asked = otto.get(f"/batches/{where}/redo?verdict=unreviewed")
        assert otto.post(f"/batches/{where}/redo", hidden(asked) | {"do": "redo"}).status_code == 303
    name = database.one("SELECT name FROM batches WHERE id = :id", id=batch)
    assert subjects(database) == ["single jobs", f"batch {name}"]


def subjects(database: Database) -> list[str]:
    return [row.subject for row in database.sql("SELECT subject FROM audit WHERE action = 'redo' ORDER BY id")]


def test_bulk_operations_change_single_jobs_alone(otto: Browser, database: Database, singles: list[str]) -> None:
    parked = "SELECT id FROM jobs WHERE starts_with(lane, '!@') ORDER BY id"
    ticked = otto.post("/batches/0/bulk/retry", {"form": otto.form("/batches"), "job": [singles[2]]})
    assert unsaid(plain(ticked), "1 ticked job", "0.04 USD at most") == []
    assert otto.post("/batches/0/bulk/retry", hidden(ticked)).status_code == 303
    assert database.one("SELECT state FROM jobs WHERE id = :job", job=singles[2]) == "queued"
    every = otto.get("/batches/0/bulk/pause")
    assert unsaid(plain(every), "Pause all single jobs", "3 jobs", "recast pause --singles") == []
    assert otto.post("/batches/0/bulk/pause", hidden(every)).status_code == 303
    assert [row.id for row in database.sql(parked)] == sorted(singles[2:])
    assert database.one("SELECT count(*) FROM batches WHERE paused_at IS NOT NULL") == 0
    resumed = otto.post("/batches/0/bulk/resume", {"form": otto.form("/batches"), "job": [singles[3]]})
    assert otto.post("/batches/0/bulk/resume", hidden(resumed)).status_code == 303
    assert [row.id for row in database.sql(parked)] == sorted((singles[2], singles[4]))
    ended = otto.get("/batches/0/bulk/cancel?state=queued")
    assert otto.post("/batches/0/bulk/cancel", hidden(ended)).status_code == 303
    assert database.one("SELECT count(*) FROM jobs WHERE batch_id = 0 AND state = 'canceled'") == 3
    assert database.one("SELECT count(*) FROM jobs WHERE batch_id > 0 AND state = 'queued'") > 0
    assert {row.subject for row in database.sql("SELECT subject FROM audit WHERE via = 'page' AND person = 'Otto'"
                                                " AND action IN ('retry', 'pause', 'resume', 'cancel')")} == {
        "single jobs"
    }  # fmt: skip


def test_the_list_of_single_jobs_offers_the_same_as_the_grid(otto: Browser, singles: list[str]) -> None:
    page = otto.get("/singles").text
    verbs = [f'formaction="/recast/batches/0/bulk/{verb}"' for verb in ("retry", "cancel", "pause", "resume")]
    assert unsaid(page, *verbs, *(f'formaction="/recast/batches/0/{each}"' for each in ("redo", "download"))) == []
    assert unsaid(page, *(f'name="job" value="{job}"' for job in singles[2:])) == []


def test_the_grid_offers_what_each_role_may_do_with_ticked_jobs(otto: Browser, database: Database, batch: int) -> None:
    for name, role in (("Vera", Role.VIEWER), ("Anna", Role.REVIEWER)):
        database.run(people.add, ROOT, name, role, PASSWORD)
    verbs = [f'formaction="/recast/batches/{batch}/bulk/{verb}"' for verb in ("retry", "cancel", "pause", "resume")]
    pays = f'formaction="/recast/batches/{batch}/redo"'
    boxes = 'name="job" value='
    page = otto.get(f"/batches/{batch}").text
    assert unsaid(page, *verbs, pays, boxes) == []
    otto.forget_cookies()
    otto.sign_in("Anna")
    page = otto.get(f"/batches/{batch}").text
    assert pays in page
    assert len(unsaid(page, *verbs, boxes)) == 5
    otto.forget_cookies()
    otto.sign_in("Vera")
    assert "formaction" not in otto.get(f"/batches/{batch}").text
