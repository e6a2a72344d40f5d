"""Single sign-on: whom a trusted proxy names is in; nobody else's word counts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from desk import people
from models.people import Role
from tests.http import ASGITransport, AsyncClient
from tests.integration.web.test_desk import JSON, PASSWORD, ROOT, Browser
from tests.web.shop import settings, stock
from web.app import build
from web.front import Front
from web.peers import behind
from workers.images.storage import Storage

if TYPE_CHECKING:
    from tests.integration.database import Database

pytest_plugins = ["tests.integration.database"]

PROXY, STRANGER = "10.1.2.3", "192.0.2.7"
HEADER = "X-Forwarded-User"


@pytest.fixture
def batch(database: Database, tmp_path: Path) -> int:
    for name, role in (("Anna", Role.REVIEWER), ("Dora", Role.REVIEWER)):
        database.run(people.add, ROOT, name, role, PASSWORD)
    database.run(people.disable, ROOT, "Dora")
    return stock(database, Storage(settings(database, tmp_path).storage), succeeded=1)


class Behind(Browser):
    """A browser whose requests come from an address, with headers of their own."""

    def __init__(self, chosen: Any) -> None:
        app = build(chosen)
        super().__init__(app)
        self._served = behind(Front(app), chosen.trusted_proxies)

    def come_from(self, peer: str) -> None:
        transport = ASGITransport(self._served, raise_app_exceptions=False, client=(peer, 5000))
        self._client = AsyncClient(transport=transport, base_url="http://recast")


@pytest.fixture
def browser(database: Database, tmp_path: Path, batch: int) -> Iterator[Behind]:
    chosen = settings(
        database, tmp_path, web_auth=None, web_proxy_user=HEADER, web_proxy_role="viewer", trusted_proxies=PROXY
    )
    with Behind(chosen) as made:
        made.come_from(PROXY)
        yield made


def test_whom_the_proxy_names_is_in_with_the_role_of_their_row(browser: Behind, database: Database, batch: int) -> None:
    anna, vera = ({HEADER: name, "X-Forwarded-For": STRANGER} for name in ("anna", "Vera"))
    page = browser.get(f"/batches/{batch}/review", headers=anna)
    assert page.status_code == 200
    (form,) = set(re.findall(r'data-form="([0-9a-f]{64})"', page.text))
    (result,) = database.sql("SELECT id FROM results")
    given = {"form": form, "do": "judge", "verdict": "approved", "result": result.id, "based_on": 0}
    path = f"/batches/{batch}/review"
    assert browser.post(path, given, headers=vera | JSON).status_code == 403, "another one's form"
    assert browser.post(path, given, headers=anna | JSON).status_code == 200
    assert database.one("SELECT person FROM verdicts") == "Anna"
    # Who has no row has the role for such, and may only look
    page = browser.get(f"/batches/{batch}", headers=vera)
    assert page.status_code == 200
    assert "USD" not in page.text
    assert "Sign out" not in page.text


def test_a_name_that_may_not_enter_is_refused(browser: Behind, batch: int) -> None:
    wrong: list[list[Any]] = [
        ["Dora"],
        ["Anna", "Otto"],
        ["Gina (guest)"],
        ["Token shop"],
        ["checks"],
        ["\u202eanna".encode()],
        ["x" * 81],
        [b"\xff"],
    ]
    for names in wrong:
        asked = browser._client.get(f"/batches/{batch}", headers=[(HEADER, name) for name in names])
        assert browser._runner.run(asked).status_code == 403, names


def test_upper_and_lower_case_are_one_person(database: Database) -> None:
    found = {database.run(people.known, name, Role.REVIEWER).name for name in ("Eva@Shop.example", "eva@shop.example")}
    assert found == {"eva@shop.example"}


def test_nobody_elses_word_counts(browser: Behind, database: Database, batch: int, tmp_path: Path) -> None:
    said = {HEADER: "Anna", "X-Forwarded-For": PROXY}
    browser.come_from(STRANGER)
    assert browser.get(f"/batches/{batch}", headers=said | JSON).status_code == 401
    browser.come_from(PROXY)
    assert browser.get(f"/batches/{batch}", headers=JSON).status_code == 401
    # Where no proxy is trusted, or the header is not set up, it is not even read
    for more in ({"web_proxy_user": HEADER}, {"trusted_proxies": PROXY}):
        with Behind(settings(database, tmp_path, web_auth=None, **more)) as other:
            other.come_from(PROXY)
            assert other.get(f"/batches/{batch}", headers=said | JSON).status_code == 401
