"""The page of one's own access over HTTP: who has it, what it changes, and what wrong guesses meet."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from desk import people
from models.people import Role
from tests.http import Response
from tests.integration.web.test_desk import PASSWORD, ROOT, Browser
from tests.integration.web.test_guests import come, link
from tests.integration.web.test_here import Local
from tests.integration.web.test_single_sign_on import HEADER, PROXY, Behind
from tests.web.shop import AUTH, settings, stock
from tests.words import unsaid
from web import guesses, sign_ins
from web.app import build
from workers.config.settings import Settings
from workers.images.storage import Storage

if TYPE_CHECKING:
    from tests.integration.database import Database

pytest_plugins = ["tests.integration.database"]

NEW = "another long password"


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sign_ins, "WRONG_SECONDS", 0.0)


@pytest.fixture
def chosen(database: Database, tmp_path: Path) -> Settings:
    for name, role in (("Vera", Role.VIEWER), ("Otto", Role.OPERATOR)):
        database.run(people.add, ROOT, name, role, PASSWORD)
    return settings(database, tmp_path, web_auth=None, public_url="http://127.0.0.1:9")


@pytest.fixture
def vera(chosen: Settings) -> Iterator[Browser]:
    """A viewer at one browser."""
    with Browser(build(chosen)) as browser:
        browser.sign_in("Vera")
        yield browser


@pytest.fixture
def elsewhere(chosen: Settings) -> Iterator[Browser]:
    """The same viewer at another one."""
    with Browser(build(chosen)) as browser:
        browser.sign_in("Vera")
        yield browser


def change(browser: Browser, current: str, new: str, again: str | None = None, **more: str) -> Response:
    fields = {"form": browser.form("/you"), "do": "password", "current": current, "new": new, "again": again or new}
    return browser.post("/you", fields | more)


def is_in(browser: Browser) -> bool:
    return browser.get("/batches").url.path == "/batches"


def others(page: Response) -> list[str]:
    """The sign-ins that a page offers to end."""
    return re.findall(r'name="name" value="([0-9a-f]{64})"', page.text)


def test_a_person_changes_their_password_and_stays_signed_in_here_alone(
    vera: Browser, elsewhere: Browser, database: Database
) -> None:
    assert 'href="/you"' in vera.get("/batches").text
    for current, new, again in (
        ("wrong horse battery", NEW, NEW),
        (PASSWORD, NEW, NEW + "x"),
        (PASSWORD, "short", "short"),
    ):
        answer = change(vera, current, new, again)
        assert answer.status_code == 422
        assert 'role="alert"' in answer.text
        assert new not in html.unescape(answer.text)
        assert is_in(elsewhere)
    answer = change(vera, PASSWORD, NEW)
    assert answer.status_code == 200
    assert others(answer) == []
    assert (is_in(vera), is_in(elsewhere)) == (True, False)
    assert elsewhere.sign_in("Vera").status_code == 422
    assert elsewhere.sign_in("Vera", NEW).status_code == 303
    assert database.one("SELECT person FROM audit WHERE action = 'people password' AND person <> 'root'") == "Vera"


def test_a_person_ends_one_of_their_sign_ins_or_all_others(vera: Browser, elsewhere: Browser, chosen: Settings) -> None:
    with Browser(build(chosen)) as otto, Browser(build(chosen)) as third:
        otto.sign_in("Otto")
        third.sign_in("Vera")
        newest, older = others(vera.get("/you"))
        form = vera.form("/you")
        for name in (newest, "0" * 64, "\0", "' OR true --"):
            assert vera.post("/you", {"form": form, "do": "end", "name": name}).status_code == 303
        assert (is_in(vera), is_in(elsewhere), is_in(third), is_in(otto)) == (True, True, False, True)
        assert others(vera.get("/you")) == [older]
        third.sign_in("Vera")
        assert vera.post("/you", {"form": form, "do": "end_all"}).status_code == 303
        assert (is_in(vera), is_in(elsewhere), is_in(third), is_in(otto)) == (True, False, False, True)


def test_a_form_of_another_site_or_person_changes_nothing(vera: Browser, elsewhere: Browser) -> None:
    theirs = elsewhere.form("/you")
    for form in ("", "0" * 64, theirs):
        assert change(vera, PASSWORD, NEW, form=form).status_code == 403
        assert vera.post("/you", {"form": form, "do": "end_all"}).status_code == 403
    assert vera.post("/you", {"form": vera.form("/you"), "do": "burn"}).status_code == 422
    assert is_in(elsewhere)


def test_guesses_at_the_current_password_go_to_the_slow_lane(vera: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[bool] = []
    monkeypatch.setattr(guesses, "FREE", 2)
    turn = guesses.GuessLimiter.turn

    async def counted(self: guesses.GuessLimiter, request: object) -> None:
        waited.append(self.is_free)
        await turn(self, request)  # type: ignore[arg-type]

    monkeypatch.setattr(guesses.GuessLimiter, "turn", counted)
    for _ in range(4):
        assert change(vera, "wrong horse battery", NEW).status_code == 422
    assert (waited[0], waited[-1]) == (True, False)


def test_who_has_no_password_here_is_told_so(database: Database, chosen: Settings, tmp_path: Path) -> None:
    stock(database, Storage(chosen.storage), succeeded=1)
    with Local(settings(database, tmp_path, web_auth=None)) as local:
        local.show(local.key())
        assert is_in(local)
        page = local.get("/you")
        assert unsaid(page.text, "ops", "recast web") == []
        assert 'name="current"' not in page.text
    with Browser(build(settings(database, tmp_path)), AUTH) as operator:
        page = operator.get("/batches")
        assert "/you" not in page.text
        assert 'name="current"' not in operator.get("/you").text
        fields = {"form": operator.form("/people"), "do": "password", "current": PASSWORD, "new": NEW, "again": NEW}
        assert operator.post("/you", fields).status_code == 422
    trusting = settings(database, tmp_path, web_auth=None, web_proxy_user=HEADER, trusted_proxies=PROXY)
    with Behind(trusting) as behind:
        behind.come_from(PROXY)
        page = behind.get("/you", headers={HEADER: "Vera"})
        assert unsaid(page.text, "Vera", "proxy") == []
        assert 'name="current"' not in page.text
    assert database.one("SELECT count(*) FROM audit WHERE action = 'people password' AND person <> 'root'") == 0


def test_a_guest_has_no_such_page(database: Database, chosen: Settings) -> None:
    batch = stock(database, Storage(chosen.storage), succeeded=1)
    with Browser(build(chosen)) as guest:
        come(guest, link(database, batch))
        page = guest.get(f"/batches/{batch}")
        assert page.status_code == 200
        assert "/you" not in page.text
        assert guest.get("/you").status_code == 404
        assert guest.post("/you", {"form": guest.form(f"/batches/{batch}"), "do": "end_all"}).status_code == 404
