"""Signing in by a link at the machine that runs the desk: once, in time, from there, at the address of the link."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from pydantic import SecretStr

from cli.browser import signing_in
from desk import local_links, people
from models.people import Role
from tests.http import ASGITransport, AsyncClient
from tests.integration.web.test_desk import PASSWORD, ROOT, Browser
from tests.web.shop import AUTH, settings, stock
from web.app import build
from web.front import Front
from web.peers import behind
from workers.config.settings import Settings
from workers.images.storage import Storage

if TYPE_CHECKING:
    from tests.integration.database import Database

pytest_plugins = ["tests.integration.database"]

PLACE = "127.0.0.1:8765"


class Local(Browser):
    """A browser at the machine itself, or wherever it is said to be."""

    def __init__(self, chosen: Settings) -> None:
        app = build(chosen)
        super().__init__(app)
        self._served = behind(Front(app), ())
        self.secret = chosen.secret_key or SecretStr("")
        self.come_from("127.0.0.1")

    def come_from(self, peer: str, place: str = PLACE) -> None:
        transport = ASGITransport(self._served, raise_app_exceptions=False, client=(peer, 5000))
        self._client = AsyncClient(transport=transport, base_url=f"http://{place}")

    def key(self, place: str = PLACE) -> str:
        return local_links.make(self.secret, place, "ops")

    def show(self, key: str, **more: str) -> Any:
        """What is answered to the form that the page's script sends."""
        return self.post("/sign-in", {"key": key, "form": self.form("/sign-in"), **more})

    def is_in(self) -> bool:
        return bool(self.get("/batches").url.path == "/batches")


@pytest.fixture
def chosen(database: Database, tmp_path: Path) -> Settings:
    return settings(database, tmp_path, web_auth=None)


@pytest.fixture
def browser(chosen: Settings, database: Database) -> Iterator[Local]:
    stock(database, Storage(chosen.storage), succeeded=1)
    with Local(chosen) as made:
        yield made


def test_a_link_signs_in_once_and_leads_to_the_page(browser: Local, database: Database, chosen: Settings) -> None:
    door = browser.get("/batches")
    assert (door.url.path, "recast open" in door.text, 'name="password"' in door.text) == ("/sign-in", True, False)
    link = urlsplit(signing_in(chosen, f"http://{PLACE}", "batches/1") or "")
    assert (link.path, link.query) == ("/sign-in", "next=%2Fbatches%2F1")
    key = link.fragment.removeprefix("key=")
    answer = browser.show(key, next="/batches/1")
    assert (answer.status_code, answer.headers["location"]) == (303, "/batches/1")
    (cookie,) = [each for each in answer.headers.get_list("set-cookie") if each.startswith("recast_session=")]
    assert "httponly" in cookie.lower()
    assert browser.is_in()
    assert browser.get("/audit").status_code == 200, "who runs the deployment is an operator"
    entry = database.sql("SELECT via, action, detail FROM audit ORDER BY id DESC LIMIT 1")[0]
    assert (entry.via, entry.action, entry.detail) == ("page", "sign in", {"by": "link"})

    again = browser.get("/sign-in", params={"next": "/batches/1"})
    assert str(again.history[0].headers["location"]).endswith("/batches/1#"), "the key is not carried along"
    browser.forget_cookies()
    assert browser.show(key).status_code == 422, "it was used"
    assert not browser.is_in()
    assert browser.show(browser.key()).status_code == 303, "another link is another key"


def test_who_leaves_is_out_also_with_the_cookie_that_was_kept(browser: Local) -> None:
    browser.show(browser.key())
    kept = browser.cookies()["recast_session"]
    assert browser.post("/sign-out", {"form": browser.form("/batches")}).status_code == 303
    assert browser.get("/batches", headers={"Cookie": f"recast_session={kept}"}).url.path == "/sign-in"


def test_a_key_is_worth_nothing_later_elsewhere_or_before(browser: Local, monkeypatch: pytest.MonkeyPatch) -> None:
    for place in ("127.0.0.1:9999", "localhost:8765", "desk.example"):
        assert browser.show(browser.key(place)).status_code == 422, place
    forged = local_links.make(SecretStr("another-key-of-tests"), PLACE, "ops")
    assert browser.show(forged).status_code == 422
    now, late = time.time_ns(), browser.key()
    with monkeypatch.context() as patched:
        patched.setattr("time.time_ns", lambda: now - 2_000_000_000)
        early = browser.key()
    # It may have been used at the process that listened here before.
    assert browser.show(early).status_code == 422
    with monkeypatch.context() as patched:
        patched.setattr("time.time_ns", lambda: now + local_links.LINK_SECONDS * 1_000_000_000 + 1_000_000_000)
        assert browser.show(late).status_code == 422
    assert not browser.is_in()
    assert browser.show(late).status_code == 303


@pytest.mark.parametrize(
    ("peer", "place"), [("192.0.2.7", PLACE), ("192.0.2.7", "desk.example"), ("127.0.0.1", "desk.example")]
)
def test_elsewhere_there_is_no_such_door(browser: Local, peer: str, place: str) -> None:
    key = browser.key(place)
    form = browser.form("/sign-in")
    door = browser.cookies()["recast_door"]
    browser.come_from(peer, place)
    assert browser.get("/batches").status_code == 404, "there are no people and no password"
    assert browser.get("/sign-in").status_code == 404
    answer = browser.post("/sign-in", {"key": key, "form": form}, headers={"Cookie": f"recast_door={door}"})
    assert answer.status_code == 404


def test_a_form_of_another_site_signs_nobody_in(browser: Local) -> None:
    key = browser.key()
    assert browser.post("/sign-in", {"key": key}).status_code == 403
    assert browser.post("/sign-in", {"key": key, "form": "0" * 64}).status_code == 403
    assert browser.show(key).status_code == 303, "it was not used up"


def test_beside_people_and_a_password_the_link_works_too(database: Database, tmp_path: Path) -> None:
    database.run(people.add, ROOT, "Anna", Role.VIEWER, PASSWORD)
    with Local(settings(database, tmp_path, web_auth=AUTH)) as browser:
        assert 'name="password"' in browser.get("/sign-in").text
        assert browser.show(browser.key()).status_code == 303
        assert browser.get("/audit").status_code == 200
        browser.forget_cookies()
        browser.sign_in("Anna")
        assert browser.get("/batches").status_code == 200
        assert browser.get("/audit").status_code == 403


def test_with_a_password_alone_browsers_are_still_asked_for_it(database: Database, tmp_path: Path) -> None:
    with Local(settings(database, tmp_path, web_auth=AUTH)) as browser:
        assert browser.get("/batches").status_code == 401
        assert browser.show(browser.key()).status_code == 303
        assert browser.is_in()
