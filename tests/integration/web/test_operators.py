"""Operators' pages over HTTP: what they say, what their forms change, and who may neither see nor change it."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pytest

from desk import people
from models.people import Role
from tests.http import Response
from tests.integration.web.test_desk import PASSWORD, ROOT, Browser
from tests.stack import write_accounts
from tests.web.shop import HOSTILE, settings, stock
from tests.words import unsaid
from web.app import build
from workers.config.settings import Settings
from workers.images.storage import Storage
from workers.messaging.app import app

if TYPE_CHECKING:
    from tests.integration.database import Database

pytest_plugins = ["tests.integration.database"]

PAGES = (
    "today", "decide", "accounts", "schedules", "webhooks", "releases", "people", "tokens", "guests", "audit",
    "attempts", "pumps",
)  # fmt: skip
ACCOUNT = {
    "provider": "zhiqite", "base_url": "http://127.0.0.1:9", "access_key_id": "id", "access_key_secret": "secret",
    "prices": {"swap": "0.02 USD"}, "budget": {"day": "4 USD"}, "operations": ["swap"],
}  # fmt: skip


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The tasks that were sent, without a broker."""
    found: list[str] = []
    monkeypatch.setattr(app, "send_task", lambda name, **_: found.append(name))
    return found


@pytest.fixture
def chosen(database: Database, tmp_path: Path) -> Settings:
    write_accounts(tmp_path / "accounts.toml", {"main": ACCOUNT})
    return settings(database, tmp_path, web_auth=None, public_url="http://127.0.0.1:9/recast")


@pytest.fixture
def batch(database: Database, chosen: Settings) -> int:
    return stock(database, Storage(chosen.storage), succeeded=4)


class Below(Browser):
    """A browser that finds everything below a path, as behind a proxy."""

    def get(self, path: str, **more: Any) -> Response:
        return super().get(f"/recast{path}", **more)

    def post(self, path: str, *given: Any, **more: Any) -> Response:
        return super().post(f"/recast{path}", *given, **more)


@pytest.fixture
def otto(database: Database, chosen: Settings, batch: int, sent: list[str]) -> Iterator[Browser]:
    """An operator."""
    database.run(people.add, ROOT, "Otto", Role.OPERATOR, PASSWORD)
    with Below(build(chosen)) as browser:
        browser.sign_in("Otto")
        yield browser


def plain(page: Response) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", page.text)).split())


def hidden(page: Response) -> dict[str, Any]:
    """The hidden fields of the last form of a page, each with all of its values."""
    form = re.findall(r"<form.*?</form>", page.text, re.DOTALL)[-1]
    found: dict[str, Any] = {}
    for name, value in re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', form):
        found.setdefault(name, []).append(html.unescape(value))
    return found


def audited(database: Database) -> list[tuple[str, str, str]]:
    rows = database.sql("SELECT person, via, action FROM audit WHERE action <> 'sign in' ORDER BY id")
    return [tuple(row) for row in rows if row.person != "root"]


def hold(database: Database, batch: int, number: int = 1, **columns: Any) -> list[str]:
    """Held jobs, whose provider did not answer."""
    jobs = database.jobs(number, batch=batch, state="held", reason="unclear_submit")
    for job in jobs:
        database.attempt(job, "unknown", cost="0.03", **columns)
    return jobs


# --- Who may -------------------------------------------------------------------------------------------------------


def test_others_see_and_change_nothing_of_it(chosen: Settings, database: Database, batch: int) -> None:
    with Below(build(chosen)) as browser:
        for name, role in (("Vera", Role.VIEWER), ("Anna", Role.REVIEWER)):
            database.run(people.add, ROOT, name, role, PASSWORD)
            browser.forget_cookies()
            browser.sign_in(name)
            assert browser.get("/").url.path.endswith("/batches")
            form = browser.form("/batches")
            for path in (*PAGES, f"batches/{batch}/bulk/cancel", f"batches/{batch}/guests"):
                page = browser.get(f"/{path}")
                assert page.status_code == 403, path
                assert unsaid(page.text, name, "operator") == []
                if path not in {"today", "audit", "attempts", "pumps"}:
                    fields = {"form": form, "do": "pause", "name": "main", "verdict": "give_up", "which": "all"}
                    assert browser.post(f"/{path}", fields).status_code == 403, path
            assert "rooms" not in browser.get("/batches").text
            shown = browser.get(f"/batches/{batch}").text
            assert "/bulk/" not in shown
            assert "/guests" not in shown
    assert audited(database) == []
    assert database.one("SELECT closed_reason FROM accounts WHERE name = 'main'") is None


def test_a_form_of_another_site_changes_nothing(otto: Browser, database: Database, batch: int) -> None:
    for path in (
        "decide", "accounts", "schedules", "webhooks", "people", "releases", "tokens", "guests",
        f"batches/{batch}/guests", f"batches/{batch}/bulk/cancel",
    ):  # fmt: skip
        assert otto.post(f"/{path}", {"form": "0" * 64, "do": "pause", "name": "main"}).status_code == 403
    assert audited(database) == []


def test_every_page_escapes_what_it_shows_and_keeps_to_the_path(otto: Browser, database: Database, batch: int) -> None:
    hold(database, batch, error="'" + HOSTILE.replace("'", "''") + "'")
    database.sql("INSERT INTO schedules (name, catalog, cron) VALUES (:name, :name, '0 3 * * *')", name=HOSTILE)
    database.sql("INSERT INTO webhooks (url, events, secrets) VALUES (:name, '{job.failed}', '')", name=HOSTILE)
    database.sql("INSERT INTO tokens (name, role, digest) VALUES (:name, 'viewer', '')", name=HOSTILE)
    database.sql("INSERT INTO releases (reference, labels) VALUES (:name, :labels)", name=HOSTILE,
                 labels=json.dumps([HOSTILE]))  # fmt: skip
    database.sql("INSERT INTO guests (batch_id, role, digest, expires_at) VALUES (:id, 'viewer', '', now())", id=batch)
    database.sql("INSERT INTO visits (digest, guest_id, name) SELECT '', id, :name FROM guests", name=HOSTILE)
    more = f"batches/{batch}/guests", f"releases?{urlencode({'reference': HOSTILE})}"
    for path in (*PAGES, *more, f"batches/{batch}/bulk/cancel", f"batches/{batch}/bulk/retry?state=rejected"):
        page = otto.get(f"/{path}")
        assert page.status_code == 200, path
        assert HOSTILE not in page.text
        links = re.findall(r'(?:href|src|action)="([^"]*)"', page.text)
        assert all(link.startswith(("/recast/", "#")) for link in links), links
        assert 'aria-current="page"' in page.text, path


# --- Today ---------------------------------------------------------------------------------------------------------


def test_today_says_what_needs_an_operator_with_one_command_each(
    otto: Browser, database: Database, batch: int, tmp_path: Path
) -> None:
    hold(database, batch)
    database.sql("UPDATE accounts SET closed_until = 'infinity', closed_reason = 'auth', closed_note = 'bad key'")
    capped = database.batch("capped", max_cost="0.05")
    database.jobs(2, batch=capped, state="queued")
    database.sql("UPDATE batches SET paused_at = now(), paused_reason = 'budget' WHERE id = :id", id=capped)
    database.sql("INSERT INTO leases (name, wake_at) VALUES ('submit:main', now() - interval '5 minutes')")
    database.sql("INSERT INTO schedules (name, catalog, cron, next_at) VALUES ('nightly', 'c', '0 3 * * *', now())")
    database.sql(
        "INSERT INTO schedule_runs (schedule, planned_at, overlap, state, note)"
        " VALUES ('nightly', now(), 'skip', 'failed', 'no file')"
    )
    database.sql(
        "INSERT INTO webhooks (url, events, secrets, disabled_at, disabled_note)"
        " VALUES ('https://shop.example', '{job.failed}', '', now(), 'gone')"
    )
    (tmp_path / "health").mkdir()
    parts = {"broker": {"ok": False, "since": "then", "error": "refused"}}
    beat = {"at": datetime.now(UTC).isoformat(), "every": 5, "parts": parts}
    (tmp_path / "health" / "worker@here.json").write_text(json.dumps(beat))

    page = otto.get("/")
    assert page.url.path.endswith("/today")
    said = plain(page)
    assert unsaid(
        said, "recast accounts resume main", "bad key", "2 jobs", "0.08 USD", "recast resolve", "capped", "--max-cost",
        "submit:main", "5 min", "recast worker", "nightly", "no file", "recast schedule run nightly", "gone",
        "recast webhooks on", "worker@here", "broker", "RECAST_PUBLIC_URL",
    ) == []  # fmt: skip
    for path in ("accounts", "decide", "schedules", "webhooks", f"batches/{capped}/bulk/resume"):
        assert f'class="button" href="/recast/{path}"' in page.text, path


def test_today_counts_what_the_rows_say(otto: Browser, database: Database, batch: int) -> None:
    database.sql("UPDATE attempts SET created_at = now() - interval '30 minutes'")
    database.sql("INSERT INTO spend (scope, period, amount) VALUES ('account:main', 'day:' || to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD'), 1.25)")  # fmt: skip  # noqa: E501
    database.sql(
        "INSERT INTO reviews (job_id, batch_id, seq, verdict) SELECT id, batch_id, seq, 'approved' FROM jobs"
        " WHERE id IN ('job-00000', 'job-00001')"
    )
    page = otto.get("/today")
    # 4 pictures for 0.02, and 4 attempts without one for 0.05
    assert unsaid(plain(page), "0.28 USD in 24 h", "1.25 USD of 4.00 USD", "4 of 8") == []
    four = re.search(r'<dl class="four">(.*?)</dl>', page.text, re.DOTALL)
    assert four is not None
    assert re.findall(r"<dd><a[^>]*>(\d+)</a></dd>", four[1]) == ["4", "2", "2", "3"]
    # 2 approved for 0.04, and what came to nothing for good: failed, rejected and canceled
    assert unsaid(plain(page), "0.095 USD") == []
    assert f"/recast/batches/{batch}?part=needs_you" in page.text


# --- Decide --------------------------------------------------------------------------------------------------------


def test_held_jobs_are_decided_when_their_number_and_money_were_seen(
    otto: Browser, database: Database, batch: int, sent: list[str]
) -> None:
    jobs = hold(database, batch, 3)
    page = otto.get("/decide", params={"batch": f"spring {HOSTILE}"})
    assert unsaid(plain(page), *jobs, "0.14 USD", "none came") == []
    fields = {"form": otto.form("/decide"), "job": jobs[:2], "which": "selected", "verdict": "not_accepted"}
    asked = otto.post("/decide", fields)
    assert asked.status_code == 200
    assert unsaid(plain(asked), "2 jobs", "0.06 USD", "main") == []
    assert database.one("SELECT count(*) FROM jobs WHERE state = 'held'") == 4

    # Another submission of a job, for as much money, is not what was agreed to
    agreed = hidden(asked)
    database.sql("UPDATE attempts SET state = 'not_sent' WHERE job_id = :job", job=jobs[1])
    database.attempt(jobs[1], "unknown", cost="0.03", number=2)
    asked = otto.post("/decide", agreed)
    assert (asked.status_code, unsaid(plain(asked), "2 jobs", "0.06 USD")) == (200, [])
    assert database.one("SELECT count(*) FROM jobs WHERE state = 'held'") == 4

    # One of them is decided elsewhere meanwhile: what was agreed to is no longer true
    agreed = hidden(asked)
    database.sql("UPDATE attempts SET state = 'done' WHERE job_id = :job", job=jobs[1])
    again = otto.post("/decide", agreed)
    assert unsaid(plain(again), "1 job", "0.03 USD") == []
    done = otto.post("/decide", hidden(again))
    assert (done.status_code, done.headers["location"]) == (303, "/recast/decide")
    assert database.one("SELECT state FROM jobs WHERE id = :job", job=jobs[0]) == "queued"
    assert database.one("SELECT state FROM attempts WHERE job_id = :job", job=jobs[0]) == "not_sent"
    assert audited(database) == [("Otto", "page", "resolve")]
    assert "submit" in sent, "its account is told"


def test_one_job_is_accepted_under_the_providers_id(otto: Browser, database: Database, batch: int) -> None:
    (job,) = hold(database, batch)
    form = otto.form("/decide")
    page = otto.get("/decide", params={"job": job})
    assert unsaid(plain(page), job, "0.03 USD") == []
    fields = {"form": form, "job": job, "verdict": "accepted"}
    assert otto.post("/decide", fields).status_code == 422
    asked = otto.post("/decide", fields | {"handle": "their-7"})
    assert unsaid(plain(asked), "their-7", f"recast resolve {job} --accepted their-7") == []
    otto.post("/decide", hidden(asked))
    row = database.sql("SELECT state, handle FROM attempts WHERE job_id = :job", job=job)
    assert [tuple(each) for each in row] == [("running", "their-7")]


def test_what_was_called_back_about_does_not_pay_again(otto: Browser, database: Database, batch: int) -> None:
    (job,) = hold(database, batch, callback_at="clock_timestamp()")
    assert unsaid(plain(otto.get("/decide")), "so the provider accepted it") == []
    fields = {"form": otto.form("/decide"), "job": job, "verdict": "not_accepted"}
    refused = otto.post("/decide", fields)
    assert refused.status_code == 422
    assert database.one("SELECT state FROM jobs WHERE id = :job", job=job) == "held"
    # All of the filter, with what is at stake: the shop's own held job beside it
    asked = otto.post("/decide", {"form": fields["form"], "which": "all", "verdict": "give_up"})
    assert unsaid(plain(asked), "2 jobs", "0.08 USD") == []
    otto.post("/decide", hidden(asked))
    assert database.one("SELECT count(*) FROM jobs WHERE state = 'held'") == 0


def test_held_jobs_come_in_pages(otto: Browser, database: Database, batch: int) -> None:
    jobs = hold(database, batch, 60)
    seen, path = [], "/decide"
    while path:
        page = otto.get(path)
        seen += re.findall(r'name="job" value="([^"]+)"', page.text)
        found = re.search(r'rel="next" href="/recast([^"]+)"', page.text)
        path = html.unescape(found[1]) if found else ""
    assert len(seen) == len(set(seen)) == 61
    assert set(jobs) <= set(seen)


# --- Bulk operations -----------------------------------------------------------------------------------------------


def test_a_bulk_operation_shows_number_and_money_before_it_is_agreed_to(
    otto: Browser, database: Database, batch: int
) -> None:
    assert f"/recast/batches/{batch}/bulk/retry?state=failed" in otto.get(f"/batches/{batch}?state=failed").text
    for filtered in ("state=succeeded", "verdict=unreviewed", "part=needs_you", "state=failed&key=x"):
        page = otto.get(f"/batches/{batch}?{filtered}").text
        assert f'href="/recast/batches/{batch}/bulk/' not in page, filtered
    asked = otto.get(f"/batches/{batch}/bulk/retry?state=rejected")
    # One job, and two attempts of it that may be paid
    assert unsaid(plain(asked), "1 job", "0.04 USD at most", "recast retry", "--state rejected") == []
    assert database.one("SELECT count(*) FROM jobs WHERE state = 'rejected'") == 1
    agreed = hidden(asked)
    database.jobs(1, batch=batch, state="rejected")
    again = otto.post(f"/batches/{batch}/bulk/retry", agreed)
    assert again.status_code == 200, "there are two by now"
    assert database.one("SELECT count(*) FROM jobs WHERE state = 'rejected'") == 2
    database.sql("UPDATE jobs SET state = 'canceled' WHERE id = (SELECT min(id) FROM jobs WHERE state = 'rejected')")
    database.jobs(1, batch=batch, state="rejected")
    other = otto.post(f"/batches/{batch}/bulk/retry", hidden(again))
    assert other.status_code == 200, "as many, and as dear, but not the same"
    database.sql("UPDATE jobs SET finished_at = now() WHERE id = (SELECT max(id) FROM jobs WHERE state = 'rejected')")
    other = otto.post(f"/batches/{batch}/bulk/retry", hidden(other))
    assert other.status_code == 200, "the same, but one of them was tried again since"
    done = otto.post(f"/batches/{batch}/bulk/retry", hidden(other))
    assert done.status_code == 303
    assert "done=2" in done.headers["location"]
    assert database.one("SELECT count(*) FROM jobs WHERE state = 'rejected'") == 0
    assert audited(database) == [("Otto", "page", "retry")]
    assert otto.get(f"/batches/{batch}/bulk/cancel?state=failed").status_code == 404


@pytest.mark.parametrize("page", ["bulk/retry?state=rejected", "redo?state=succeeded"])
def test_what_has_no_price_any_more_is_asked_again_though_it_cost_nothing(
    otto: Browser, database: Database, batch: int, page: str
) -> None:
    def price(said: str) -> None:
        overrides = f'{{"prices": {{"swap": {said}}}}}'
        database.sql("UPDATE accounts SET overrides = cast(:said AS jsonb)", said=overrides)

    price('"0 USD"')
    asked = otto.get(f"/batches/{batch}/{page}")
    assert unsaid(plain(asked), "0.00 USD at most") == []
    price("null")
    path, agreed = f"/batches/{batch}/{page.partition('?')[0]}", {"do": "redo"} | hidden(asked)
    again = otto.post(path, agreed)
    assert (again.status_code, unsaid(plain(again), "no price")) == (200, [])
    assert audited(database) == []


def test_a_batch_is_paused_resumed_and_canceled(otto: Browser, database: Database, batch: int) -> None:
    for verb, paused, queued in (("pause", 1, 1), ("resume", 0, 1), ("cancel", 0, 0)):
        path = f"/batches/{batch}/bulk/{verb}"
        assert otto.post(path, hidden(otto.get(path))).status_code == 303
        assert database.one("SELECT count(*) FROM batches WHERE paused_at IS NOT NULL") == paused, verb
        assert database.one("SELECT count(*) FROM jobs WHERE state = 'queued'") == queued, verb
    assert [action for _, _, action in audited(database)] == ["pause", "resume", "cancel"]


def test_a_batch_at_work_is_paused_and_canceled(otto: Browser, database: Database, batch: int) -> None:
    pausing = hidden(otto.get(f"/batches/{batch}/bulk/pause"))
    database.sql("UPDATE jobs SET state = 'canceled' WHERE state = 'running'")  # it ends while Otto looks
    assert otto.post(f"/batches/{batch}/bulk/pause", pausing).status_code == 303
    assert database.one("SELECT count(*) FROM batches WHERE paused_at IS NOT NULL") == 1
    canceling = hidden(otto.get(f"/batches/{batch}/bulk/cancel"))
    shown = database.one("SELECT id FROM jobs WHERE state = 'queued'")
    late = database.jobs(2, batch=batch)
    done = otto.post(f"/batches/{batch}/bulk/cancel", canceling)
    assert (done.status_code, "done=1&left=2" in done.headers["location"]) == (303, True)
    assert (
        unsaid(plain(otto.get(done.headers["location"].removeprefix("/recast"))), "1 job changed", "2 jobs came") == []
    )
    assert database.one("SELECT state FROM jobs WHERE id = :job", job=shown) == "canceled"
    assert database.one("SELECT count(*) FROM jobs WHERE state = 'queued'") == len(late)


@pytest.mark.parametrize("tried_again", [False, True])
def test_none_are_canceled_but_those_that_were_shown(
    otto: Browser, database: Database, batch: int, *, tried_again: bool
) -> None:
    path = f"/batches/{batch}/bulk/cancel"
    database.jobs(2, batch=batch)
    old = database.jobs(3, batch=batch, state="failed")
    form = hidden(otto.get(path))
    database.sql("UPDATE jobs SET state = 'canceled' WHERE state = 'queued'")
    if tried_again:
        database.sql("UPDATE jobs SET state = 'queued' WHERE id = ANY(:ids)", ids=old)
    else:
        database.jobs(3, batch=batch)
    asked = otto.post(path, form)
    assert (asked.status_code, unsaid(plain(asked), "3 jobs")) == (200, [])
    assert otto.post(path, form | {"shown": "x"}).status_code == 200
    assert (database.one("SELECT count(*) FROM jobs WHERE state = 'queued'"), audited(database)) == (3, [])
    database.sql("UPDATE jobs SET priority = 1 WHERE state = 'queued'")
    done = otto.post(path, hidden(asked))
    assert (done.status_code, "done=3" in done.headers["location"]) == (303, True), "they are those that were shown"


def test_a_batch_at_its_limit_needs_a_higher_one(otto: Browser, database: Database, batch: int) -> None:
    database.sql("UPDATE batches SET paused_at = now(), paused_reason = 'budget' WHERE id = :id", id=batch)
    database.sql("INSERT INTO spend (scope, period, amount) VALUES (:scope, 'all', 5)", scope=f"batch:{batch}")
    path = f"/batches/{batch}/bulk/resume"
    asked = otto.get(path)
    assert unsaid(plain(asked), "5.00 USD", "5.02 USD", "--max-cost 5.02") == []
    for wrong in ("", "5", "many", "-1"):
        assert otto.post(path, hidden(asked) | {"max_cost": wrong}).status_code == 422, wrong
    assert database.one("SELECT paused_reason FROM batches WHERE id = :id", id=batch) == "budget"
    assert otto.post(path, hidden(asked) | {"max_cost": "6.50"}).status_code == 303
    (row,) = database.sql("SELECT max_cost, paused_at FROM batches WHERE id = :id", id=batch)
    assert (str(row.max_cost), row.paused_at) == ("6.5000", None)


# --- Lists ---------------------------------------------------------------------------------------------------------


def test_accounts_schedules_and_webhooks_do_what_their_commands_do(
    otto: Browser, database: Database, sent: list[str]
) -> None:
    database.sql("INSERT INTO schedules (name, catalog, cron, next_at) VALUES ('nightly', 'c', '0 3 * * *', now())")
    hook = database.one(
        "INSERT INTO webhooks (url, events, secrets) VALUES ('https://a', '{job.failed}', '') RETURNING id"
    )
    form = otto.form("/accounts")

    def press(page: str, name: object, do: str, **more: str) -> int:
        return otto.post(f"/{page}", {"form": form, "name": name, "do": do, **more}).status_code

    assert press("accounts", "main", "pause", reason="new key") == 303
    assert database.one("SELECT closed_note FROM accounts WHERE name = 'main'") == "new key"
    assert (
        unsaid(plain(otto.get("/accounts")), "main", "by an operator", "new key", "recast accounts resume main") == []
    )
    assert press("accounts", "main", "resume") == 303
    database.sql(
        """UPDATE accounts SET overrides = '{"max_in_flight": 3}', overridden_by = 'x', overridden_at = now()"""
    )
    assert press("accounts", "main", "reset") == 303
    assert database.one("SELECT closed_reason IS NULL AND overrides = '{}' FROM accounts WHERE name = 'main'")
    assert press("schedules", "nightly", "pause") == 303
    assert unsaid(plain(otto.get("/schedules")), "nightly", "paused", "recast schedule resume nightly") == []
    assert press("schedules", "nightly", "resume") == 303
    assert press("schedules", "nightly", "run") == 303
    assert "fire" in sent
    assert press("webhooks", hook, "off") == 303
    assert unsaid(plain(otto.get("/webhooks")), "https://a", "off", f"recast webhooks on {hook}") == []
    assert press("webhooks", hook, "on") == 303
    assert [action for _, _, action in audited(database)] == [
        "accounts pause", "accounts resume", "accounts reset", "schedule pause", "schedule resume", "schedule run",
        "webhooks off", "webhooks on",
    ]  # fmt: skip
    for page, name, do in (
        ("accounts", "other", "pause"), ("accounts", "main", "burn"), ("schedules", "other", "run"),
        ("webhooks", 10**17, "on"), ("webhooks", "x", "on"), ("people", "Nobody", "disable"),
        ("people", "\0", "enable"),
    ):  # fmt: skip
        assert press(page, name, do) == 422, (page, name, do)


def test_people_are_added_and_changed(otto: Browser, database: Database) -> None:
    form = otto.form("/people")
    fields = {"form": form, "name": "Nora", "role": "viewer", "password": PASSWORD}
    assert otto.post("/people", fields | {"do": "add"}).status_code == 303
    assert otto.post("/people", fields | {"do": "add"}).status_code == 422, "the name is taken"
    assert otto.post("/people", fields | {"do": "role", "role": "king"}).status_code == 422
    for do, role in (("role", "reviewer"), ("disable", ""), ("enable", ""), ("password", "")):
        assert otto.post("/people", fields | {"do": do, "role": role}).status_code == 303, do
    assert database.one("SELECT role FROM people WHERE name = 'Nora'") == "reviewer"
    page = otto.get("/people")
    assert unsaid(plain(page), "Nora", "reviewer", "recast people disable Nora") == []
    assert unsaid(page.text, "new password of Nora", 'value="password"') == []
    assert PASSWORD not in page.text + otto.get("/audit").text


def test_the_record_comes_in_pages(otto: Browser, database: Database) -> None:
    database.sql("INSERT INTO audit (person, via, action, subject) SELECT 'x', 'page', 'did', 'n ' || n FROM generate_series(1, 250) n")  # fmt: skip  # noqa: E501
    seen, path = [], "/audit"
    while path:
        page = otto.get(path)
        seen += re.findall(r"<td>n (\d+)</td>", page.text)
        found = re.search(r'rel="next" href="/recast([^"]+)"', page.text)
        path = found[1] if found else ""
    assert seen == [str(number) for number in range(250, 0, -1)]
