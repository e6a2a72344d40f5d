"""The review desk over HTTP: who gets in, what each role may see and do, and forms that others sent."""

from __future__ import annotations

import html
import re
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from desk import people, walks
from desk.actors import Actor
from models.people import Role
from tests.http import Response
from tests.stack import crowding, write_accounts
from tests.web.client import Client
from tests.web.shop import AUTH, HOSTILE, settings, stock
from tests.words import unsaid
from web import access, guesses, sign_ins
from web.app import build
from workers.config.settings import Settings
from workers.images.storage import Storage

if TYPE_CHECKING:
    from tests.integration.database import Database

pytest_plugins = ["tests.integration.database"]

ROOT = Actor("root", Role.OPERATOR, "command")
PASSWORD = "correct horse battery"
PEOPLE = {"Vera": Role.VIEWER, "Anna": Role.REVIEWER, "Ben": Role.REVIEWER, "Otto": Role.OPERATOR}
JSON = {"Accept": "application/json"}
P95_SECONDS = 0.1


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "WRONG_SECONDS", 0.0)
    monkeypatch.setattr(sign_ins, "WRONG_SECONDS", 0.0)


@pytest.fixture
def chosen(database: Database, tmp_path: Path) -> Settings:
    return settings(database, tmp_path, web_auth=None, public_url="http://127.0.0.1:9")


@pytest.fixture
def batch(database: Database, chosen: Settings) -> int:
    for name, role in PEOPLE.items():
        database.run(people.add, ROOT, name, role, PASSWORD)
    return stock(database, Storage(chosen.storage), succeeded=4)


class Browser(Client):
    """A browser with a person before it."""

    def get(self, path: str, **more: Any) -> Response:
        """A page, as a browser that goes there asks for it."""
        return super().get(path, **{**more, "headers": {"Accept": "text/html"} | dict(more.get("headers") or {})})

    def sign_in(self, name: str, password: str = PASSWORD, **more: str) -> Any:
        return self.post("/sign-in", {"name": name, "password": password, "form": self.form("/sign-in"), **more})

    def form(self, path: str) -> str:
        """The token that the forms of a page carry."""
        found = re.search(r'name="form" value="([0-9a-f]+)"', self.get(path).text)
        assert found, path
        return found[1]


@pytest.fixture
def browser(chosen: Settings, batch: int) -> Iterator[Browser]:
    with Browser(build(chosen)) as made:
        yield made


def verdicts(database: Database) -> list[tuple[str, str]]:
    return [tuple(row) for row in database.sql("SELECT person, verdict FROM verdicts ORDER BY id")]


def shown(page: Any) -> dict[str, str]:
    """The hidden fields of the page's form for verdicts."""
    (form,) = re.findall(r'<form class="judge".*?</form>', page.text, re.DOTALL)
    found = re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', form)
    return {name: html.unescape(value) for name, value in found}


# --- Who gets in ---------------------------------------------------------------------------------------------------


def test_without_a_sign_in_there_is_the_door_and_nothing_else(browser: Browser, batch: int) -> None:
    for path in ("/", "/batches", f"/batches/{batch}", f"/batches/{batch}/review", "/jobs/job-00000"):
        page = browser.get(path)
        assert page.url.path == "/sign-in"
        assert "row-0" not in page.text
    for path in ("/results/1/full", "/inputs/target/job-00000"):
        assert browser.get(path, headers={"Accept": "image/webp"}).status_code == 401
    assert browser.post(f"/batches/{batch}/review", {"do": "judge"}).status_code == 401
    assert browser.get("/static/recast.css").status_code == 200
    assert browser.get("/static/../app.py").status_code == 404


def test_a_person_signs_in_where_they_wanted_to_go_and_out(browser: Browser, database: Database, batch: int) -> None:
    wanted = f"/batches/{batch}?state=failed"
    door = browser.get(wanted)
    assert html.escape(f"/batches/{batch}?state=failed") in door.text
    answer = browser.sign_in("anna", next=wanted)
    assert (answer.status_code, answer.headers["location"]) == (303, wanted)
    (cookie,) = [each for each in answer.headers.get_list("set-cookie") if each.startswith("recast_session=")]
    assert not unsaid(cookie.lower(), "httponly", "samesite=lax", "path=/", "max-age")
    assert "secure" not in cookie.lower()
    assert "Anna" in browser.get("/batches").text
    kept = browser.cookies()["recast_session"]
    out = browser.post("/sign-out", {"form": browser.form("/batches")})
    assert out.headers["location"] == "/sign-in"
    assert database.one("SELECT count(*) FROM sign_ins") == 0
    answer = browser.get("/batches", headers={"Cookie": f"recast_session={kept}"})
    assert answer.url.path == "/sign-in", "the cookie that was kept opens nothing"


@pytest.mark.parametrize("scheme", ["https", "http"])
def test_behind_a_proxy_the_cookie_keeps_to_its_path_and_to_https(browser: Browser, scheme: str) -> None:
    behind = {"X-Forwarded-Prefix": "/recast", "X-Forwarded-Proto": scheme}
    door = browser.get("/sign-in", headers=behind)
    assert 'action="/recast/sign-in"' in door.text
    cookie = door.headers["set-cookie"].partition(";")[0]
    (form,) = re.findall(r'name="form" value="([0-9a-f]+)"', door.text)
    answer = browser.post(
        "/sign-in", {"name": "Anna", "password": PASSWORD, "form": form, "next": "/batches"},
        headers=behind | {"Cookie": cookie},
    )  # fmt: skip
    assert answer.headers["location"] == "/recast/batches"
    (session,) = [each for each in answer.headers.get_list("set-cookie") if each.startswith("recast_session=")]
    assert "path=/recast" in session.lower()
    assert ("secure" in session.lower()) == (scheme == "https")


@pytest.mark.parametrize(
    "where", ["//evil.example/", "https://evil.example/", "/\\evil.example", "evil", "/a\r\nb", ""]
)
def test_signing_in_leads_to_no_other_site(browser: Browser, where: str) -> None:
    assert browser.sign_in("Anna", next=where).headers["location"] == "/"


@pytest.mark.parametrize(
    ("name", "password"), [("Anna", "wrong horse battery"), ("Nobody", PASSWORD), ("", ""), ("Anna", "x" * 5_000)]
)
def test_who_is_wrong_stays_out(browser: Browser, database: Database, name: str, password: str) -> None:
    answer = browser.sign_in(name, password)
    assert answer.status_code == 422
    assert "recast_session" not in browser.cookies()
    assert database.one("SELECT count(*) FROM sign_ins") == 0


def test_a_form_for_signing_in_from_elsewhere_is_refused(browser: Browser) -> None:
    for form in ("", "0" * 64):
        answer = browser.post("/sign-in", {"name": "Anna", "password": PASSWORD, "form": form})
        assert answer.status_code == 403


def test_of_two_windows_with_the_form_the_older_one_asks_again(browser: Browser) -> None:
    older = browser.form("/sign-in")
    browser.forget_cookies()  # as if both had come before either had the cookie
    browser.form("/sign-in")
    answer = browser.post("/sign-in", {"name": "Anna", "password": PASSWORD, "form": older, "next": "/batches"})
    assert answer.status_code == 403
    again = dict(re.findall(r'name="(form|next|name)" value="([^"]*)"', answer.text))
    assert (again["name"], again["next"]) == ("Anna", "/batches")
    assert browser.post("/sign-in", {**again, "password": PASSWORD}).headers["location"] == "/batches"


def test_wrong_passwords_go_to_the_slow_lane(browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[str] = []
    monkeypatch.setattr(guesses, "FREE", 2)
    turn = guesses.GuessLimiter.turn

    async def counted(self: Any, request: Any) -> None:
        waited.append("free" if self.is_free else "slow")
        await turn(self, request)

    monkeypatch.setattr(guesses.GuessLimiter, "turn", counted)
    for _ in range(4):
        browser.sign_in("Anna", "wrong horse battery")
    assert (waited[0], waited[-1]) == ("free", "slow")


def test_a_person_who_is_disabled_or_expired_is_out_at_once(browser: Browser, database: Database, batch: int) -> None:
    for statement in (
        "UPDATE people SET disabled_at = now()", "UPDATE sign_ins SET expires_at = now()", "DELETE FROM sign_ins"
    ):  # fmt: skip
        database.sql("UPDATE people SET disabled_at = NULL")
        browser.sign_in("Otto")
        page = browser.get(f"/batches/{batch}/review")
        form = shown(page) | {"verdict": "approved"}
        database.sql(statement)
        assert browser.get("/batches").url.path == "/sign-in"
        assert browser.get("/results/1/full", headers={"Accept": "image/*"}).status_code == 401
        assert browser.post(f"/batches/{batch}/review", form, headers=JSON).status_code == 401
        browser.forget_cookies()
    assert verdicts(database) == []


def test_the_deployments_password_is_an_operator_beside_people(
    chosen: Settings, database: Database, batch: int
) -> None:
    both = settings(database, Path(chosen.home))
    with Browser(build(both), AUTH) as operator:
        page = operator.get(f"/batches/{batch}/review")
        assert operator.post(f"/batches/{batch}/review", shown(page) | {"verdict": "approved"}).status_code == 303
        forged = operator.post(f"/batches/{batch}/review", shown(page) | {"verdict": "approved", "form": "0" * 64})
        assert forged.status_code == 403
    with Browser(build(both)) as person:
        assert person.get("/batches").url.path == "/sign-in"
    assert verdicts(database) == [("recast", "approved")]


# --- What each may see and do --------------------------------------------------------------------------------------


def test_a_viewer_sees_pictures_and_no_money(browser: Browser, database: Database, batch: int) -> None:
    hidden = ("USD", "main", "zhiqite", "correct", "0.02", "portraits/")
    seen = {}
    for name in ("Vera", "Otto"):
        browser.sign_in(name)
        pages = ("/batches", f"/batches/{batch}", f"/batches/{batch}/review?job=job-00000")
        seen[name] = [browser.get(path) for path in (*pages, "/jobs/job-00000", "/jobs/job-00004")]
        seen[name].append(browser.get("/results/1/original"))
        browser.forget_cookies()
    for page, other in zip(seen["Vera"][:-1], seen["Otto"][:-1], strict=True):
        assert page.status_code == other.status_code == 200
        text = re.sub(r"<[^>]*>", " ", page.text)
        assert [word for word in hidden if word in text] == [], page.url
        assert [word for word in ("zhiqite.swap", "USD") if word in page.text] == [], page.url
        assert "USD" in other.text
    assert (seen["Vera"][-1].status_code, seen["Otto"][-1].status_code) == (403, 200)
    assert HOSTILE not in seen["Vera"][4].text


def test_a_viewer_changes_nothing(browser: Browser, database: Database, batch: int) -> None:
    browser.sign_in("Anna")
    fields = shown(browser.get(f"/batches/{batch}/review?job=job-00000"))
    browser.forget_cookies()
    database.sql("DELETE FROM picture_claims")
    browser.sign_in("Vera")
    page = browser.get(f"/batches/{batch}/review")
    assert page.status_code == 200
    assert 'class="judge"' not in page.text
    form = browser.form("/batches")
    for do in ("judge", "undo", "choose", "take"):
        answer = browser.post(f"/batches/{batch}/review", fields | {"form": form, "do": do, "verdict": "approved"})
        assert answer.status_code == 403
    assert verdicts(database) == []
    assert database.one("SELECT count(*) FROM picture_claims") == 0


def test_a_form_that_another_site_or_person_sent_is_refused(browser: Browser, database: Database, batch: int) -> None:
    browser.sign_in("Ben")
    theirs = browser.form(f"/batches/{batch}/review")
    browser.forget_cookies()
    browser.sign_in("Anna")
    fields = shown(browser.get(f"/batches/{batch}/review")) | {"verdict": "approved"}
    where = f"/batches/{batch}/review"
    for form in ("", "0" * 64, theirs):
        assert browser.post(where, fields | {"form": form}).status_code == 403
    assert browser.post(where, {name: value for name, value in fields.items() if name != "form"}).status_code == 403
    assert browser.post(where, fields, headers={"Content-Type": "text/plain"}).status_code == 403
    assert browser.post(where, fields | {"note": "x" * 70_000}).status_code == 413
    assert browser.post("/sign-out", {"form": theirs}).status_code == 403
    assert verdicts(database) == []
    assert browser.post(where, fields).status_code == 303


def test_by_forms_alone_a_person_reviews_undoes_and_chooses(browser: Browser, database: Database, batch: int) -> None:
    browser.sign_in("Anna")
    where = f"/batches/{batch}/review"
    page = browser.get(where)
    keys = []
    for verdict in ("approved", "needs_work", "approved"):
        keys.append(shown(page)["job"])
        said = {"verdict": verdict, "reason": ["hair", "other"], "note": HOSTILE, "area": "0.1,0.2,0.3,0.4"}
        answer = browser.post(where, shown(page) | said)
        assert answer.status_code == 303
        page = browser.get(answer.headers["location"])
    assert keys == ["job-00000", "job-00001", "job-00002"]
    assert database.sql("SELECT reasons, note, area FROM verdicts WHERE verdict = 'needs_work'") == [
        (["hair", "other"], HOSTILE, {"x": 0.1, "y": 0.2, "width": 0.3, "height": 0.4})
    ]  # fmt: skip
    judged = browser.get(f"{where}?job=job-00001")
    assert html.escape(HOSTILE, quote=False) in judged.text.replace("&#39;", "'").replace("&#34;", '"')
    assert "<script>window" not in judged.text
    answer = browser.post(where, shown(page) | {"do": "undo"})
    assert answer.headers["location"].endswith("job=job-00002")
    page = browser.get(answer.headers["location"])
    for left in (page, browser.get(f"{where}?job=job-00003")):
        answer = browser.post(where, shown(left) | {"verdict": "approved"})
    assert not unsaid(
        browser.get(answer.headers["location"]).text, "Everything is reviewed", "3 approved", "1 need work"
    )


def test_the_grid_filters_by_verdict(browser: Browser, database: Database, batch: int) -> None:
    browser.sign_in("Anna")
    where = f"/batches/{batch}/review"
    for job, verdict in (("job-00000", "approved"), ("job-00002", "needs_work")):
        fields = shown(browser.get(f"{where}?job={job}"))
        browser.post(where, fields | {"verdict": verdict, "reason": "hair"})

    def jobs(query: str) -> list[str]:
        page = browser.get(f"/batches/{batch}{query}")
        return re.findall(r'data-part="job-(job-\d+)"', page.text)

    assert jobs("?verdict=approved") == ["job-00000"]
    assert jobs("?verdict=needs_work") == ["job-00002"]
    assert jobs("?verdict=unreviewed") == ["job-00001", "job-00003"]
    assert jobs("?verdict=unreviewed&after=2") == ["job-00003"]
    assert jobs("?verdict=needs_work&reason=hair") == ["job-00002"]
    assert jobs("?verdict=approved&reason=hair") == []
    page = browser.get(f"/batches/{batch}").text
    assert dict(re.findall(r"(approved|needs work|unreviewed) <b>(\d+)</b>", page)) == {
        "approved": "1", "needs work": "1", "unreviewed": "2"
    }  # fmt: skip
    assert page.count("judged-unreviewed") == 2


def test_flagged_pictures_are_reviewed_first_unless_the_address_says_otherwise(
    browser: Browser, database: Database, batch: int
) -> None:
    browser.sign_in("Anna")
    page = f"/batches/{batch}/review"
    assert "worst first" not in browser.get(page).text
    database.sql(
        "INSERT INTO checks (result_id, name, job_id, batch_id, seq, score, threshold, flagged, rank)"
        " SELECT r.id, 'blurred', j.id, j.batch_id, j.seq, 0.9, 0.5, true, 1.0 / j.seq"
        " FROM results r JOIN jobs j ON j.id = r.job_id WHERE j.id IN ('job-00001', 'job-00002')"
    )
    for where, first in (
        (page, "job-00002"),
        (f"{page}?sort=worst", "job-00002"),
        (f"{page}?sort=catalog", "job-00000"),
    ):
        assert shown(found := browser.get(where))["job"] == first
        assert "worst first" in found.text
    # Forms keep the order: without a script, a verdict leads to the next one in it
    fields = shown(found := browser.get(page))
    (action,) = re.findall(r'<form class="judge" method="post" action="([^"]+)"', found.text)
    answer = browser.post(html.unescape(action), fields | {"verdict": "approved"})
    assert answer.status_code == 303
    following = browser.get(answer.headers["location"])
    assert shown(following)["job"] == "job-00001"
    (after,) = re.findall(r'rel="next" href="([^"]+)"', following.text)
    assert "job=job-00000" in after
    assert "sort=worst" in after


def test_next_and_previous_stay_inside_the_filter_of_the_grid(browser: Browser, database: Database, batch: int) -> None:
    browser.sign_in("Anna")
    database.sql("UPDATE attempts SET account = 'other' WHERE job_id IN ('job-00001', 'job-00003')")
    page = f"/batches/{batch}/review"
    found = browser.get(f"{page}?account=other")
    assert shown(found)["job"] == "job-00001"
    steps = dict(re.findall(r'step" rel="(\w+)" href="([^"]+)"', found.text))
    assert steps.keys() == {"next"}
    assert not unsaid(steps["next"], "job=job-00003", "account=other", "sort=catalog")
    # A verdict leads to the next one in it, and then to nothing, which says what it was of
    (action,) = re.findall(r'<form class="judge" method="post" action="([^"]+)"', found.text)
    for job in ("job-00001", "job-00003"):
        assert shown(found)["job"] == job
        answer = browser.post(html.unescape(action), shown(found) | {"verdict": "approved"})
        found = browser.get(answer.headers["location"])
    assert not unsaid(found.text, "account other", "2 unreviewed")
    # Of decided pictures the next one is the next of them
    found = browser.get(f"{page}?verdict=approved&job=job-00001")
    assert "job=job-00003" in dict(re.findall(r'rel="(\w+)" href="([^"]+)"', found.text))["next"]
    answer = browser.post(f"{page}?verdict=approved", shown(found) | {"verdict": "needs_work", "reason": "hair"})
    assert shown(browser.get(answer.headers["location"]))["job"] == "job-00003"


def test_a_search_that_takes_long_says_so_and_goes_on(
    browser: Browser, database: Database, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(walks, "PATIENCE", -1.0)
    monkeypatch.setattr(walks, "SEARCHED", 2)
    database.sql(
        "INSERT INTO picture_claims (job_id, person, until)"
        " SELECT id, 'Ben', now() + interval '1 hour' FROM jobs WHERE id < 'job-00003'"
    )
    browser.sign_in("Anna")
    found = browser.get(f"/batches/{batch}/review?account=main&sort=worst")
    assert 'class="judge"' not in found.text
    (further,) = re.findall(r'href="([^"]+)">Look further', found.text)
    assert shown(browser.get(html.unescape(further)))["job"] == "job-00003"


def test_a_filter_that_is_none_is_named_and_accounts_are_for_those_who_see_money(browser: Browser, batch: int) -> None:
    browser.sign_in("Vera")
    answer = browser.get(f"/batches/{batch}/review?sort=nonsense")
    assert answer.status_code == 400
    assert not unsaid(answer.text, "sort", "nonsense", "worst", "catalog")
    assert browser.get(f"/batches/{batch}/review?account=main").status_code == 403


def test_the_second_of_two_people_is_asked(chosen: Settings, database: Database, batch: int) -> None:
    where = f"/batches/{batch}/review"
    with Browser(build(chosen)) as anna, Browser(build(chosen)) as ben:
        anna.sign_in("Anna")
        ben.sign_in("Ben")
        first, second = anna.get(where), ben.get(where)
        assert (shown(first)["job"], shown(second)["job"]) == ("job-00000", "job-00001"), "others are handed other ones"
        looked = ben.get(f"{where}?job=job-00000")
        assert "Anna has it open" in looked.text
        assert anna.post(where, shown(first) | {"verdict": "approved"}).status_code == 303
        # By the script, and by the form alone
        said = ben.post(where, shown(looked) | {"verdict": "needs_work"}, headers=JSON)
        assert said.status_code == 409
        assert (said.json()["person"], said.json()["verdict"]) == ("Anna", "approved")
        asked = ben.post(where, shown(looked) | {"verdict": "needs_work", "reason": "hair"})
        assert asked.status_code == 409
        assert verdicts(database) == [("Anna", "approved")]
        again = [(name, html.unescape(value)) for name, value in re.findall(
            r'type="hidden" name="(\w+)" value="([^"]*)"', asked.text.partition("<main")[2]
        )]  # fmt: skip
        assert ben.post(where, dict(again)).status_code == 303
    assert verdicts(database) == [("Anna", "approved"), ("Ben", "needs_work")]


@pytest.mark.parametrize(
    "change",
    [
        {"verdict": "great"}, {"do": "destroy"}, {"result": "99999"}, {"result": "x"}, {"reason": "ugly"},
        {"area": "1,2"}, {"area": "0,0,2,2"}, {"area": "nan,0,0,0"}, {"area": "0,0,1e400,1"},
    ],
)  # fmt: skip
def test_a_form_with_nonsense_is_answered_and_changes_nothing(
    browser: Browser, database: Database, batch: int, change: dict[str, str]
) -> None:
    browser.sign_in("Anna")
    fields = shown(browser.get(f"/batches/{batch}/review")) | {"verdict": "needs_work", "reason": "hair"}
    answer = browser.post(f"/batches/{batch}/review", fields | change, headers=JSON)
    assert answer.status_code == 422
    assert answer.json()["error"]
    assert verdicts(database) == []


@pytest.mark.parametrize("path", ["/batches/99/review", "/batches/{}/review?job=none"])
def test_what_is_not_there_is_said(browser: Browser, batch: int, path: str) -> None:
    browser.sign_in("Anna")
    assert browser.get(path.format(batch)).status_code == 404


@pytest.mark.alone
def test_two_reviewers_over_http_lose_nothing(chosen: Settings, database: Database, batch: int) -> None:
    """Two browsers at once over a whole batch, each with the next that it is handed."""
    number = 60
    more = stock(database, Storage(chosen.storage), succeeded=number, name="large")
    where, times, lock = f"/batches/{more}/review", [], threading.Lock()

    def review(name: str) -> int:
        done = 0
        with Browser(build(chosen)) as person:
            person.sign_in(name)
            page = person.get(where)
            while 'class="judge"' in page.text:
                fields = shown(page) | {"verdict": "approved", "request": f"{name}-{done}"}
                began = time.perf_counter()
                answer = person.post(where, fields, headers=JSON)
                with lock:
                    times.append(time.perf_counter() - began)
                assert answer.status_code == 200, answer.text
                done += 1
                page = person.get(f"{where}?after={fields['place']}")
        return done

    with ThreadPoolExecutor(2) as pool:
        shares = list(pool.map(review, ("Anna", "Ben")))
    assert sum(shares) == number
    assert database.one("SELECT count(DISTINCT result_id) FROM verdicts") == number == len(verdicts(database))
    p95 = sorted(times)[int(len(times) * 0.95)]
    print(f"p95 per verdict over HTTP: {p95 * 1000:.1f} ms; shares {shares}")  # noqa: T201 - the figure is asked for
    assert p95 <= P95_SECONDS * crowding()


# --- Redos ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def priced(chosen: Settings) -> None:
    """Accounts whose prices the pages can say."""
    account = {"provider": "zhiqite", "base_url": "http://127.0.0.1:9", "access_key_id": "id",
               "access_key_secret": "secret", "prices": {"swap": "0.02 USD"}}  # fmt: skip
    write_accounts(chosen.accounts_file, {"main": account})


def asked(page: Any) -> dict[str, str] | None:
    """The hidden fields of the page's form for a redo, if it has one."""
    found = re.findall(r'<form class="redo.*?</form>', page.text, re.DOTALL)
    fields = re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', found[0]) if found else ()
    return {name: html.unescape(value) for name, value in fields} if found else None


@pytest.mark.usefixtures("priced")
def test_a_redo_says_its_price_and_is_made_once(browser: Browser, database: Database, batch: int) -> None:
    review = f"/batches/{batch}/review"
    browser.sign_in("Anna")
    page = browser.get(f"{review}?job=job-00000")
    fields = asked(page)
    assert fields is not None
    assert unsaid(page.text, "0.02 USD", "0.04 USD") == []
    dearer = browser.post(review, {**fields, "at_most": "0.01"}, headers=JSON)
    assert (dearer.status_code, unsaid(dearer.json()["error"], "0.04 USD", "0.01 USD")) == (422, [])
    done = browser.post(review, fields, headers=JSON)
    assert (done.status_code, done.json()["job"]) == (200, "job-00000")
    assert browser.post(review, fields, headers=JSON).status_code == 422, "the same form again"
    rows = database.sql("SELECT person, via, version FROM redos")
    assert [tuple(row) for row in rows] == [("Anna", "page", 2)]
    (job,) = database.sql("SELECT state, kept_attempt FROM jobs WHERE id = 'job-00000'")
    assert tuple(job) == ("queued", 1)
    under_way = browser.get(f"{review}?job=job-00000")
    assert asked(under_way) is None
    assert 'class="after"' in under_way.text, "the former picture is shown"
    assert 'class="judge"' not in under_way.text


@pytest.mark.usefixtures("priced")
def test_who_may_not_redo_is_not_offered_it_and_cannot(browser: Browser, database: Database, batch: int) -> None:
    review = f"/batches/{batch}/review"
    browser.sign_in("Anna")
    fields = asked(browser.get(f"{review}?job=job-00000")) or {}
    browser.forget_cookies()
    browser.sign_in("Vera")
    page = browser.get(f"{review}?job=job-00000")
    assert asked(page) is None
    assert "0.02 USD" not in page.text
    form = browser.form(f"{review}?job=job-00000")
    assert browser.post(review, {**fields, "form": form}, headers=JSON).status_code == 422
    for wrong in ({"job": "nobody"}, {"version": "x"}, {"at_most": "NaN"}, {"job": "a\0"}):
        browser.forget_cookies()
        browser.sign_in("Otto")
        form = browser.form(f"{review}?job=job-00000")
        assert browser.post(review, {**fields, "form": form, **wrong}, headers=JSON).status_code == 422, wrong
    assert database.sql("SELECT 1 FROM redos") == []
