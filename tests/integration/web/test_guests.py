"""Guest links: one batch, no money, no other page, until they end; every route of the web process is tried."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unicodedata import normalize

import pytest
from starlette.applications import Starlette
from starlette.routing import Route

from desk import guests, people
from desk.actors import Actor, ForbiddenError
from desk.guests import Added, GuestError
from desk.verdicts import Decision, UnknownPictureError, judge
from models.people import Role
from models.verdicts import Verdict
from tests.integration.web.test_desk import JSON, PASSWORD, ROOT, Browser, shown
from tests.integration.web.test_selections import boxes, fields
from tests.stack import write_accounts
from tests.web.shop import settings, stock
from tests.words import names, unsaid
from web import access, sign_ins
from web import guests as pages
from web.app import build
from web.guesses import GuessLimiter
from web.visitors import MAX_FORM_BYTES
from workers.config.reasons import REVIEW_REASONS
from workers.config.settings import Settings
from workers.images.storage import Storage
from workers.operations.prune import prune_guests

if TYPE_CHECKING:
    from tests.integration.database import Database

pytest_plugins = ["tests.integration.database"]

DAY = 86_400.0


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (access, sign_ins, pages):
        monkeypatch.setattr(module, "WRONG_SECONDS", 0.0)


@pytest.fixture
def chosen(database: Database, tmp_path: Path) -> Settings:
    found = settings(database, tmp_path, public_url="http://127.0.0.1:9")
    account = {"provider": "zhiqite", "base_url": "http://127.0.0.1:9", "access_key_id": "id",
               "access_key_secret": "secret", "prices": {"swap": "0.02 USD"}}  # fmt: skip
    write_accounts(found.accounts_file, {"main": account})
    return found


@pytest.fixture
def batches(database: Database, chosen: Settings) -> tuple[int, int]:
    database.run(people.add, ROOT, "Anna", Role.REVIEWER, PASSWORD)
    storage = Storage(chosen.storage)
    return stock(database, storage, succeeded=2), stock(database, storage, succeeded=2, name="autumn")


@pytest.fixture
def app(chosen: Settings, batches: tuple[int, int]) -> Starlette:
    return build(chosen)


@pytest.fixture
def browser(app: Starlette) -> Iterator[Browser]:
    with Browser(app) as made:
        yield made


def link(database: Database, batch: int, role: Role = Role.REVIEWER, seconds: float = DAY) -> Added:
    name = database.one("SELECT name FROM batches WHERE id = :id", id=batch)
    return database.run(guests.add, ROOT, name, role, seconds)


def come(browser: Browser, added: Added, name: str = "Gina") -> Any:
    where = f"/guest/{added.token}"
    return browser.post(where, {"name": name, "form": browser.form(where)})


def gina(batch: int) -> Actor:
    return Actor("Gina (guest)", Role.REVIEWER, "guest", batch)


# --- In and out ----------------------------------------------------------------------------------------------------


def test_a_guest_gives_a_name_once_and_reviews_one_batch(
    browser: Browser, database: Database, batches: tuple[int, int]
) -> None:
    added = link(database, batches[0])
    assert database.one("SELECT count(*) FROM guests WHERE digest = :token", token=added.token) == 0
    assert come(browser, added).headers["location"] == f"/batches/{batches[0]}"
    assert browser.get(f"/guest/{added.token}").url.path == f"/batches/{batches[0]}", "asked once"
    page = browser.get(f"/batches/{batches[0]}/review")
    given = shown(page) | {"verdict": "approved"}
    assert browser.post(f"/batches/{batches[0]}/review", given, headers=JSON).status_code == 200
    grid = browser.get(f"/batches/{batches[0]}?verdict=unreviewed")
    form = fields(grid) | {"picture": boxes(grid), "do": "needs_work"}
    assert browser.post(f"/batches/{batches[0]}/verdicts", form).status_code == 303
    rows = database.sql("SELECT person, verdict FROM verdicts ORDER BY id")
    assert [tuple(row) for row in rows] == [("Gina (guest)", "approved"), ("Gina (guest)", "needs_work")]
    audit = {tuple(row) for row in database.sql("SELECT person, via, action FROM audit WHERE via = 'guest'")}
    assert audit == {("Gina (guest)", "guest", what) for what in ("guests enter", "judge")}
    # A picture of another batch is not there for them, and not taken from those who review it
    foreign = database.one("SELECT min(id) FROM jobs WHERE batch_id = :id AND state = 'succeeded'", id=batches[1])
    assert browser.get(f"/batches/{batches[0]}/review?job={foreign}").status_code == 404
    assert database.one("SELECT count(*) FROM picture_claims WHERE job_id = :job", job=foreign) == 0
    # Another one of that name is another guest, and nobody is taken for a person
    browser.forget_cookies()
    come(browser, added, "gina")
    assert "gina (guest 2)" in browser.get(f"/batches/{batches[0]}").text
    token = browser.form(f"/batches/{batches[0]}")
    assert browser.post("/leave", {"form": token}).status_code == 200
    assert browser.get(f"/batches/{batches[0]}", headers=JSON).status_code == 401


def test_guests_of_one_name_who_come_at_once_are_two_also_by_two_links(
    database: Database, batches: tuple[int, int]
) -> None:
    first, second = link(database, batches[0]), link(database, batches[0])
    with database.sessions.begin() as session:
        guests.enter(session, first.token, "Gina")
        other = database.aside(database.run, guests.enter, second.token, "gina")
        database.wait_for_a_waiter()
    cookie = other.result()
    assert database.one("SELECT count(*) FROM visits WHERE name = 'Gina (guest)'") == 1
    assert database.run(guests.who, cookie) == Actor("gina (guest 2)", Role.REVIEWER, "guest", batches[0])


def test_names_that_look_the_same_are_of_two_guests(database: Database, batches: tuple[int, int]) -> None:
    added = link(database, batches[0])
    for form in ("NFC", "NFD"):
        cookie = database.run(guests.enter, added.token, normalize(form, "José"))
    known = database.run(guests.who, cookie)
    assert known is not None
    assert normalize("NFC", known.name) == "José (guest 2)"


def test_a_form_that_is_too_large_is_said_to_be_so(
    browser: Browser, database: Database, batches: tuple[int, int]
) -> None:
    added = link(database, batches[0])

    def told(path: str, form: str) -> str:
        answer = browser.post(path, {"form": form, "name": "x" * MAX_FORM_BYTES})
        assert answer.status_code == 413, path
        return answer.text

    where = f"/guest/{added.token}"
    said = [told(where, browser.form(where)), told("/sign-in", "")]
    come(browser, added)
    said.append(told(f"/batches/{batches[0]}/review", browser.form(f"/batches/{batches[0]}")))
    assert all(unsaid(each, f"{MAX_FORM_BYTES:,}") == [] for each in said)


def test_a_link_ends_by_time_and_by_hand_for_those_who_are_in(
    browser: Browser, database: Database, batches: tuple[int, int]
) -> None:
    for end in ("UPDATE guests SET expires_at = now()", None):
        added = link(database, batches[0])
        come(browser, added)
        assert browser.get(f"/batches/{batches[0]}").url.path.startswith("/batches")
        if end is None:
            database.run(guests.revoke, ROOT, added.number)
            with pytest.raises(GuestError, match=names(str(added.number))):
                database.run(guests.revoke, ROOT, added.number)
        else:
            database.sql(end)
        assert browser.get(f"/batches/{batches[0]}", headers=JSON).status_code == 401
        assert browser.get(f"/guest/{added.token}").status_code == 404
        with pytest.raises(GuestError):
            database.run(guests.enter, added.token, "Gina")
        browser.forget_cookies()
    found = database.run(guests.everything)
    assert [(each.names, each.expired, each.revoked_at is None) for each in found] == [
        (["Gina (guest 2)"], False, False), (["Gina (guest)"], True, True)
    ]  # fmt: skip
    database.sql("UPDATE guests SET expires_at = now() - interval '31 days'")
    database.run(prune_guests)
    assert database.one("SELECT count(*) FROM guests") == database.one("SELECT count(*) FROM visits") == 0


def test_names_and_roles_that_cannot_be_are_refused(
    browser: Browser, database: Database, batches: tuple[int, int]
) -> None:
    added = link(database, batches[0])
    for name in ("", "  ", "x" * 81, "a\0b", "\u202eanna"):
        assert come(browser, added, name).status_code == 422
    assert browser.post(f"/guest/{added.token}", {"name": "Gina", "form": "0" * 64}).status_code == 403
    assert database.one("SELECT count(*) FROM visits") == 0
    for role, seconds in ((Role.OPERATOR, DAY), (Role.VIEWER, 0), (Role.VIEWER, 400 * DAY)):
        with pytest.raises(GuestError):
            link(database, batches[0], role, seconds)
    for who in (Actor("Anna", Role.REVIEWER), gina(batches[0])):
        with pytest.raises(ForbiddenError):
            database.run(guests.add, who, "spring", Role.VIEWER, DAY)


def test_guessed_links_wait_for_their_turn(
    browser: Browser, batches: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    waited = []
    monkeypatch.setattr(GuessLimiter, "was_wrong", lambda _: waited.append(1))
    for token in ("x", "y" * 43, "%00"):
        assert browser.get(f"/guest/{token}").status_code == 404
    assert len(waited) == 3


# --- What they see -------------------------------------------------------------------------------------------------


def test_a_guest_sees_no_money_accounts_operations_or_answers(
    browser: Browser, database: Database, batches: tuple[int, int]
) -> None:
    come(browser, link(database, batches[0]))
    own = database.sql("SELECT id FROM jobs WHERE batch_id = :id", id=batches[0])
    paths = [f"/batches/{batches[0]}", f"/batches/{batches[0]}/review", *(f"/jobs/{row.id}" for row in own)]
    for path in paths:
        page = browser.get(path)
        assert page.status_code == 200
        text = re.sub(r"<script.*?</script>|hacked = \d", "", page.text)
        assert not re.search(r"USD|zhiqite|>main<|Attempts|/tests/|portraits", text), path
        assert 'href="/batches"' not in text
    assert browser.get("/results/1/original").status_code == 403
    database.sql("UPDATE jobs SET target = '/srv/portraits/gone.png' WHERE id = :id", id=own[0].id)
    gone = browser.get(f"/inputs/target/{own[0].id}")
    assert (gone.status_code, "portraits" in gone.text) == (404, False), "its address is not for guests"
    review = browser.get(f"/batches/{batches[0]}/review")
    assert "redoing-asked" not in review.text
    form = {"form": browser.form(f"/batches/{batches[0]}"), "do": "redo", "job": "job-00000", "version": "1"}
    answer = browser.post(f"/batches/{batches[0]}/review", form | {"at_most": "9"}, headers=JSON)
    assert answer.status_code == 422
    assert database.one("SELECT count(*) FROM redos") == 0


# --- Every route ---------------------------------------------------------------------------------------------------

OPEN = {"/sign-in", "/static/{name:str}", "/guest/{token:str}", "/leave"}
#: Routes of machines, which know no cookies: each has its own lock, and tests of its own.
OTHERS = {"/healthz", "/metrics", "/callbacks/{token}", "/api/v1", "/api/v1/{path:anything}"}


def every(app: Starlette, batch: int, job: str, result: int) -> list[tuple[str, str, str]]:
    """Method, pattern and path of every route that pages have, about this batch."""
    found = []
    values = {
        "batch_id": batch, "job_id": job, "result_id": result, "size": "full", "role": "target", "name": "desk.js",
        "token": "x" * 43,
    }  # fmt: skip
    for route in app.routes:
        assert isinstance(route, Route)
        if route.path in OTHERS or route.path.startswith("/media/"):
            continue
        path = re.sub(r"\{(\w+)(:\w+)?\}", lambda name: str(values.get(name[1], "x")), route.path)
        found += [(method, route.path, path) for method in sorted((route.methods or set()) - {"HEAD"})]
    assert len(found) > 12
    return found


def test_every_route_gives_a_stranger_nothing(
    app: Starlette, browser: Browser, database: Database, batches: tuple[int, int]
) -> None:
    spring, autumn = batches
    job, result = database.sql(
        "SELECT j.id, r.id FROM results r JOIN jobs j ON j.id = r.job_id WHERE j.batch_id = :id ORDER BY r.id",
        id=spring,
    )[0]
    foreign, expired, revoked = (link(database, batch) for batch in (autumn, spring, spring))
    viewer = link(database, spring, Role.VIEWER)
    before = database.one("SELECT count(*) FROM verdicts")

    def strangers() -> Iterator[tuple[str, str]]:
        """Who asks, and what their forms carry."""
        come(browser, foreign)
        yield "another batch's guest", browser.form(f"/batches/{autumn}")
        come(browser, expired)
        known = browser.form(f"/batches/{spring}")
        database.sql("UPDATE guests SET expires_at = now() WHERE id = :id", id=expired.number)
        yield "an expired guest", known
        browser.forget_cookies()
        come(browser, revoked)
        known = browser.form(f"/batches/{spring}")
        database.run(guests.revoke, ROOT, revoked.number)
        yield "a revoked guest", known
        browser.forget_cookies()
        browser.sign_in("Anna")
        known = browser.form(f"/batches/{spring}")
        database.sql("UPDATE sign_ins SET expires_at = now()")
        yield "an expired session", known
        browser.forget_cookies()
        yield "nobody", "0" * 64

    for who, form in strangers():
        for method, pattern, path in every(app, spring, job, result):
            if pattern in OPEN:
                continue
            headers = {"Accept": "image/webp, application/json"}
            fields = {"form": form, "do": "judge", "verdict": "approved", "result": result, "job": job, "based_on": 0}
            if method == "GET":
                # A page may lead to the door; what stands behind it is not shown.
                answer = browser.get(path, headers=headers)
            else:
                more = {"picture": f"{result}:0", "request": "r", "seen": "9-9"} if "verdicts" in path else {}
                kind = {"do": "approve"} if more else {}
                answer = browser.post(path, fields | more | kind, headers=headers)
            assert answer.status_code in {401, 403, 404}, (who, method, path, answer.status_code)
            assert "row-0" not in answer.text, (who, path)
    assert database.one("SELECT count(*) FROM verdicts") == before
    _forged_and_viewing(app, browser, database, viewer, spring, (job, result))


def _forged_and_viewing(
    app: Starlette, browser: Browser, database: Database, viewer: Added, spring: int, picture: tuple[str, int]
) -> None:
    """A viewer may send nothing, and a form without its visitor's token does nothing, by whomever."""
    job, result = picture
    fields = {"do": "judge", "verdict": "approved", "result": result, "job": job, "based_on": 0, "request": "r"}
    forms = [
        path for method, pattern, path in every(app, spring, job, result) if method == "POST" and pattern not in OPEN
    ]
    assert len(forms) >= 3
    browser.forget_cookies()
    come(browser, viewer)
    own = browser.form(f"/batches/{spring}")
    for path in forms:
        if path.endswith("/download"):
            continue  # it changes nothing, and gives pictures that a viewer sees
        change = fields | ({"do": "approve", "picture": f"{result}:0"} if "verdicts" in path else {})
        answer = browser.post(path, change | {"form": own})
        assert answer.status_code in {403, 404}, path
    for name in ("guest", "Anna"):
        if name == "Anna":
            browser.forget_cookies()
            browser.sign_in(name)
        for path in forms:
            for forged in ("", "0" * 64, own if name == "Anna" else own[:-1] + "x"):
                assert browser.post(path, fields | {"form": forged}).status_code in {403, 404}, (name, path)
    assert database.one("SELECT count(*) FROM verdicts") == 0
    assert database.one("SELECT count(*) FROM sign_ins") > 0


def test_services_hold_a_guest_to_their_batch(database: Database, batches: tuple[int, int]) -> None:
    results = database.sql(
        "SELECT r.id FROM results r JOIN jobs j ON j.id = r.job_id WHERE batch_id = :id", id=batches[1]
    )
    with pytest.raises(UnknownPictureError):
        database.run(
            judge, gina(batches[0]), results[0].id, Decision(Verdict.APPROVED), based_on=0,
            known_reasons=REVIEW_REASONS,
        )  # fmt: skip
