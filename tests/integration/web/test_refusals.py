"""What pages refuse, and what they advise: the field, the value and what is allowed, and no command for others."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from desk import guests, people
from models.people import GUEST_ROLES, Role
from models.verdicts import Verdict
from tests.integration.web.test_desk import JSON, PASSWORD, ROOT, Browser
from tests.integration.web.test_operators import batch, chosen, hold, otto, plain, sent
from tests.words import unsaid
from web.guest_links import MOST_DAYS
from workers.operations.resolve import Verdict as HeldVerdict

if TYPE_CHECKING:
    from tests.integration.database import Database

pytest_plugins = ["tests.integration.database"]

__all__ = ["batch", "chosen", "otto", "sent"]

LONG, NUL = "x" * 201, "a\0b"
LINK = {"role": "viewer", "days": "7"}
WRONG = {"do": "judge", "result": "1", "verdict": "needs_work"}
#: Where a form goes, what it says, and what the refusal names; `{batch}` is a batch's number.
REFUSED: list[tuple[str, dict[str, Any], tuple[object, ...]]] = [
    ("/people", {"do": "add", "name": "Zoe", "role": "king"}, ("role", "king", *Role)),
    ("/people", {"do": "role", "name": "Zoe"}, ("role", "missing", *Role)),
    ("/people", {"do": "crown", "name": "Zoe"}, ("do", "crown", "add", "disable")),
    ("/people", {"do": "disable", "name": NUL}, ("name", r"a\x00b")),
    ("/tokens", {"do": "add", "name": "shop", "role": "king"}, ("role", "king", *Role)),
    ("/tokens", {"do": "add", "name": "shop", "role": "viewer", "spend_per_day": "-1"}, ("spend_per_day", "-1")),
    ("/accounts", {"do": "pause", "name": "main", "reason": LONG}, ("reason", "x" * 40, 200, 201)),
    ("/decide", {"verdict": "lost"}, ("verdict", "lost", *HeldVerdict)),
    ("/decide", {"verdict": "accepted", "handle": NUL, "which": "all"}, ("handle", r"a\x00b", "printable")),
    ("/guests", {"do": "revoke", "name": "nine"}, ("do", "revoke nine", "a link")),
    ("/batches/{batch}/guests", {"do": "add", **LINK, "role": "operator"}, ("role", "operator", *GUEST_ROLES)),
    ("/batches/{batch}/guests", {"do": "add", **LINK, "days": "0"}, ("days", "'0'", f"1 to {MOST_DAYS}")),
    ("/releases", {"do": "set", "name": "R-1", "labels": NUL}, ("labels", r"a\x00b")),
    ("/batches/{batch}/review", {"do": "judge", "result": "1", "verdict": "fine"}, ("verdict", "fine", *Verdict)),
    ("/batches/{batch}/review", WRONG | {"area": "1,2"}, ("area", "1,2", "four")),
    ("/batches/{batch}/review", WRONG | {"area": "1,2,3,4"}, ("area", "1, 2, 3, 4", "from 0 to 1")),
    ("/batches/{batch}/review", {"do": "redo", "job": "job-00000", "at_most": "much"}, ("at_most", "much", "amount")),
    ("/batches/{batch}/review", {"do": "redo", "job": "job-99", "at_most": "1"}, ("job", "job-99", "of this batch")),
    ("/batches/{batch}/review", {"do": "take", "job": "job-99"}, ("job", "job-99", "of this batch")),
    ("/batches/{batch}/verdicts", {"do": "approve", "request": "x" * 65}, ("request", "x" * 40, 64)),
    ("/batches/{batch}/verdicts", {"do": "approve", "request": "r", "picture": "one"}, ("picture", "one", "VERDICT")),
    ("/batches/{batch}/download", {"picture": "one"}, ("picture", "one", "VERDICT")),
    ("/batches/{batch}/download", {"all": "1", "grid": "key=nothing-has-it"}, ("filter", "key nothing-has-it")),
]  # fmt: skip


@pytest.mark.parametrize(("path", "form", "facts"), REFUSED, ids=[f"{path} {form}" for path, form, _ in REFUSED])
def test_a_refusal_names_the_field_the_value_and_what_is_allowed(
    otto: Browser, database: Database, batch: int, path: str, form: dict[str, Any], facts: tuple[object, ...]
) -> None:
    hold(database, batch)
    refused = otto.post(path.format(batch=batch), {"form": otto.form("/batches"), **form})
    assert (refused.status_code, unsaid(plain(refused), "allowed", *facts)) == (422, [])


def test_viewers_and_guests_are_shown_no_command_for_what_operators_do(
    otto: Browser, database: Database, batch: int
) -> None:
    (held,) = hold(database, batch)
    pages = ("/batches", f"/batches/{batch}", f"/jobs/{held}", f"/batches/{batch}/download?key=none")
    assert [bool(re.search("recast (resolve|run)", plain(otto.get(page)))) for page in pages] == [
        False, True, True, False
    ]  # fmt: skip
    waiting = database.one("SELECT held FROM batches WHERE id = :id", id=batch)
    name = database.one("SELECT name FROM batches WHERE id = :id", id=batch)
    link = database.run(guests.add, ROOT, name, Role.REVIEWER, 3600.0).token
    database.run(people.add, ROOT, "Vera", Role.VIEWER, PASSWORD)
    otto.forget_cookies()
    otto.sign_in("Vera")
    for page in pages:
        assert "recast " not in plain(otto.get(page)), page
    assert waiting > 1
    assert unsaid(plain(otto.get("/batches")), f"{waiting} jobs are waiting", "an operator decides") == []
    assert unsaid(plain(otto.get(f"/jobs/{held}")), "a decision by an operator") == []
    refused = otto.get("/today", headers=JSON)
    assert (refused.status_code, "recast " in refused.text) == (403, False)
    otto.forget_cookies()
    otto.post(f"/guest/{link}", {"name": "Gina", "form": otto.form(f"/guest/{link}")})
    for page in pages[1:]:
        assert "recast " not in plain(otto.get(page)), page


def test_one_of_a_thing_is_not_said_as_many(otto: Browser, database: Database, batch: int) -> None:
    failed = database.one("SELECT id FROM jobs WHERE state = 'failed'")
    form = {"form": otto.form("/batches"), "job": [failed]}
    page = plain(otto.post(f"/batches/{batch}/bulk/retry", form))
    assert unsaid(page, "Retry 1 ticked job", "1 job, 0.04 USD at most") == []
    assert "1 jobs" not in page
    assert "1 ticked jobs" not in page


def test_what_was_paid_for_can_be_downloaded_by_a_command_for_these_very_jobs(
    otto: Browser, database: Database, batch: int
) -> None:
    others = database.jobs(6, batch=batch, state="failed")
    for job in others:
        database.attempt(job, "expired", handle="'h'", cost="0.02")
    path = f"/batches/{batch}/bulk/retry"
    form = {"form": otto.form("/batches")}
    one = plain(otto.post(path, form | {"job": others[:1]}))
    assert unsaid(one, "1 of them was paid for", f"recast redownload {others[0]}") == []
    assert "redownload --batch" not in one
    many = plain(otto.post(path, form | {"job": others}))
    assert unsaid(many, "6 of them were paid for", "at no cost") == []
    assert "recast redownload" not in many
    assert "recast redownload --batch" in plain(otto.get(f"{path}?state=failed"))
