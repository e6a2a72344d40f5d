"""The page of accounts over HTTP: credentials are checked by workers, limits are set as by the command."""

from __future__ import annotations

import html
import json
from typing import TYPE_CHECKING

import pytest
from sqlalchemy.orm import Session

from desk import people
from models.people import Role
from tests.integration.web import test_operators
from tests.integration.web.test_desk import PASSWORD, ROOT, Browser
from tests.integration.web.test_operators import Below, audited, plain
from tests.web.shop import HOSTILE
from tests.words import unsaid
from web import operators
from web.app import build
from workers.config.settings import Settings
from workers.operations import credential_checks

if TYPE_CHECKING:
    from tests.integration.database import Database, RuntimeFactory

pytest_plugins = ["tests.integration.database"]

batch, chosen, otto, sent = test_operators.batch, test_operators.chosen, test_operators.otto, test_operators.sent


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operators, "WAIT_SECONDS", 0.0)


def press(browser: Browser, do: str, name: str = "main", **more: str) -> int:
    return browser.post("/accounts", {"form": browser.form("/accounts"), "name": name, "do": do, **more}).status_code


def test_credentials_are_checked_by_a_worker_once(
    otto: Browser, database: Database, sent: list[str], make_runtime: RuntimeFactory
) -> None:
    assert [press(otto, "check"), press(otto, "check")] == [303, 303]
    assert sent == ["check_credentials"], "two presses are one question"
    assert unsaid(plain(otto.get("/accounts")), "on its way") == []
    worker = make_runtime(main={"prices": {"swap": "0.02 USD"}, "operations": ["swap"]})
    credential_checks.perform(worker, "main")
    assert unsaid(plain(otto.get("/accounts")), "silent", "no answer") == [], "nothing listens there"
    database.sql("UPDATE credential_checks SET verdict = 'refused', message = :said", said=HOSTILE)
    page = otto.get("/accounts")
    assert HOSTILE not in page.text
    assert html.escape(HOSTILE, quote=False).replace("'", "&#39;").replace('"', "&#34;") in page.text
    assert press(otto, "check") == 303
    database.sql("UPDATE credential_checks SET asked_at = now() - interval '2 minutes'")
    assert unsaid(plain(otto.get("/accounts")), "No worker", "recast worker") == []
    assert [action for _, _, action in audited(database)] == ["accounts check", "accounts check"]


def test_an_answer_that_comes_at_once_is_waited_for(
    otto: Browser, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = []

    def is_answered(session: Session, account: str) -> bool:
        looks.append(account)
        if len(looks) == 2:
            database.sql("UPDATE credential_checks SET answered_at = now(), verdict = 'good', message = 'fine'")
        return found(session, account)

    found = credential_checks.is_answered
    monkeypatch.setattr(credential_checks, "is_answered", is_answered)
    monkeypatch.setattr(operators, "WAIT_SECONDS", 60.0)
    assert press(otto, "check") == 303
    assert looks == ["main", "main"]
    assert unsaid(plain(otto.get("/accounts")), "good", "fine") == []


def test_limits_are_set_as_by_the_command(otto: Browser, database: Database, sent: list[str]) -> None:
    page = plain(otto.get("/accounts"))
    assert (
        unsaid(
            page,
            "now 32",
            "now none",
            "now 4.00 USD",
            "now 0.02 USD",
            "now 10min",
            "now 3s",
            "recast accounts set main",
        )
        == []
    )
    assert press(otto, "set", **{"max_in_flight": "5", "rate": " 30/min", "budget.day": "6", "deadline": ""}) == 303
    kept = json.loads(json.dumps(database.one("SELECT overrides FROM accounts WHERE name = 'main'")))
    assert kept == {"max_in_flight": "5", "rate": "30/min", "budget": {"day": "6 USD"}}
    assert database.one("SELECT overridden_by FROM accounts WHERE name = 'main'") == "Otto"
    assert {"submit", "poll"} <= set(sent)
    assert unsaid(plain(otto.get("/accounts")), "now 5", "now 30/min", "now 6.00 USD", "max_in_flight=5", "Otto") == []
    assert press(otto, "set", **{"rate": "none", "prices.swap": "0.03 USD/picture"}) == 303
    for refused in (
        {}, {"rate": "fast"}, {"max_in_flight": "0"}, {"max_in_flight": "x" * 41}, {"rate": "1\0"},
        {"budget.day": "5 EUR"}, {"prices.swap": "none"},
    ):  # fmt: skip
        assert press(otto, "set", **refused) == 422, refused
    assert press(otto, "set", "other", rate="1/s") == 422
    assert database.one("SELECT overrides->>'rate' FROM accounts WHERE name = 'main'") is None
    said = [row.detail for row in database.sql("SELECT detail FROM audit WHERE action = 'accounts set' ORDER BY id")]
    assert said == [
        {"words": ["max_in_flight=5", "rate=30/min", "budget.day=6 USD"]},
        {"words": ["rate=none", "prices.swap=0.03 USD/picture"]},
    ]
    assert press(otto, "reset") == 303
    assert unsaid(plain(otto.get("/accounts")), "now 32", "now 4.00 USD") == []


def test_an_amount_alone_keeps_what_the_present_one_is_for(otto: Browser, database: Database, sent: list[str]) -> None:
    def held() -> object:
        return database.one("SELECT overrides->'prices'->>'swap' FROM accounts WHERE name = 'main'")

    assert press(otto, "set", **{"prices.swap": "0.03"}) == 303
    assert held() == "0.03 USD"
    assert press(otto, "set", **{"prices.swap": "0.03 USD/picture", "budget.day": "none"}) == 303
    assert press(otto, "set", **{"prices.swap": "0.04", "budget.day": "7"}) == 303
    assert held() == "0.04 USD/picture"
    assert unsaid(plain(otto.get("/accounts")), "now 0.04 USD/picture", "now 7.00 USD", "alone") == []
    assert press(otto, "set", **{"prices.swap": "none", "budget.day": "none"}) == 303
    fields = {"form": otto.form("/accounts"), "name": "main", "do": "set", "prices.swap": "0.05"}
    refused = otto.post("/accounts", fields)
    assert refused.status_code == 422
    assert unsaid(plain(refused), "prices.swap", "0.05", "USD/picture") == []
    assert held() is None


def test_others_neither_check_nor_set(chosen: Settings, database: Database, batch: int, sent: list[str]) -> None:
    with Below(build(chosen)) as browser:
        for name, role in (("Vera", Role.VIEWER), ("Anna", Role.REVIEWER)):
            database.run(people.add, ROOT, name, role, PASSWORD)
            browser.forget_cookies()
            browser.sign_in(name)
            form = browser.form("/batches")
            for fields in ({"do": "check"}, {"do": "set", "max_in_flight": "9"}):
                for given in (form, "0" * 64):
                    answer = browser.post("/accounts", {"form": given, "name": "main", **fields})
                    assert answer.status_code == 403
    assert sent == []
    assert database.one("SELECT count(*) FROM credential_checks") == 0
    assert audited(database) == []
