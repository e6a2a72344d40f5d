"""Operators' pages of guest links, tokens and releases: what they show once, change, record and refuse."""

from __future__ import annotations

import re
from html import unescape
from typing import TYPE_CHECKING

import pytest

from desk import guests, tokens
from models.people import Role
from reports import released
from reports.released import PAGE, PORTION, ReleasedPlace
from tests.http import Response
from tests.integration.web.test_desk import Browser
from tests.integration.web.test_operators import audited, batch, chosen, otto, plain, sent
from tests.web.shop import HOSTILE
from tests.words import unsaid

if TYPE_CHECKING:
    from tests.integration.database import Database

pytest_plugins = ["tests.integration.database"]
__all__ = ["batch", "chosen", "otto", "sent"]

NOTHING = ("", "x", "\0", "9" * 17)


def shown_once(page: Response) -> str:
    """The secret that an answer shows."""
    assert page.status_code == 200
    (found,) = re.findall(r"panel once.*?<code>([^<]+)</code>", page.text, re.DOTALL)
    return unescape(found)


# --- Guest links ---------------------------------------------------------------------------------------------------


def test_a_guest_link_is_added_shown_once_and_revoked(otto: Browser, database: Database, batch: int) -> None:
    assert f'href="/recast/batches/{batch}/guests"' in otto.get(f"/batches/{batch}").text
    path = f"/batches/{batch}/guests"
    fields = {"form": otto.form(path), "do": "add", "role": "reviewer", "days": "3"}
    made = otto.post(path, fields)
    link = shown_once(made)
    address, _, token = link.rpartition("/")
    assert address == "http://127.0.0.1:9/recast/guest", "as RECAST_PUBLIC_URL says"
    opened = database.run(guests.opened, token)
    assert opened is not None
    assert (opened.batch_id, opened.role, round(opened.seconds / 86_400, 2)) == (batch, "reviewer", 3)
    assert made.headers["cache-control"] == "no-store"

    cookie = database.run(guests.enter, token, "Gina")
    for page in (path, "/guests"):
        again = otto.get(page)
        assert token not in again.text, page
        assert unsaid(plain(again), "Gina (guest)", "reviewer", f"recast guests revoke {opened.id}") == [], page
    assert f'href="/recast/batches/{batch}/guests"' in otto.get("/guests").text
    gone = otto.post("/guests", {"form": fields["form"], "do": "revoke", "name": str(opened.id)})
    assert (gone.status_code, gone.headers["location"]) == (303, "/recast/guests")
    assert database.run(guests.who, cookie) is None
    assert "revoked" in plain(otto.get(path))
    assert audited(database) == [
        ("Otto", "page", "guests add"), ("Gina (guest)", "guest", "guests enter"), ("Otto", "page", "guests revoke")
    ]  # fmt: skip
    assert token not in otto.get("/audit").text


def test_guest_links_that_cannot_be_are_refused(otto: Browser, database: Database, batch: int) -> None:
    path = f"/batches/{batch}/guests"
    fields = {"form": otto.form(path), "do": "add", "role": "viewer", "days": "7"}
    for wrong in (*({"days": days} for days in (*NOTHING, "0", "366", "-1", "1.5")), {"role": "operator"},
                  {"role": ""}, {"do": "burn"}, *({"do": "revoke", "name": name} for name in NOTHING)):  # fmt: skip
        assert otto.post(path, fields | wrong).status_code == 422, wrong
    assert otto.post("/guests", fields).status_code == 422, "of which batch?"
    assert otto.get("/batches/999/guests").status_code == 404
    assert otto.post("/batches/999/guests", fields).status_code == 404
    assert database.one("SELECT count(*) FROM guests") == 0


# --- Tokens --------------------------------------------------------------------------------------------------------


def test_a_token_is_added_shown_once_and_revoked(otto: Browser, database: Database) -> None:
    assert 'href="/recast/tokens"' in otto.get("/people").text
    fields = {"form": otto.form("/tokens"), "name": "shop", "role": "operator", "spend_per_day": "2.50"}
    token = shown_once(otto.post("/tokens", fields | {"do": "add"}))
    known = database.run(tokens.who, token)
    assert known is not None
    assert (known.actor.name, known.actor.role) == ("token shop", Role.OPERATOR)
    assert shown_once(otto.post("/tokens", fields | {"do": "add", "name": "free", "spend_per_day": " "}))
    page = otto.get("/tokens")
    assert token not in page.text
    assert unsaid(plain(page), "shop", "0.00 USD of 2.50 USD", "free", "recast tokens revoke shop") == []
    for wrong in ({"do": "add"}, {"do": "burn"}, {"do": "add", "name": "b", "role": "king"},
                  *({"do": "add", "name": "b", "spend_per_day": limit} for limit in ("much", "-1")),
                  {"do": "add", "name": ""}, {"do": "revoke", "name": "nobody"}):  # fmt: skip
        assert otto.post("/tokens", fields | wrong).status_code == 422, wrong
    assert otto.post("/tokens", fields | {"do": "revoke"}).status_code == 303
    assert database.run(tokens.who, token) is None
    assert [action for _, _, action in audited(database)] == ["tokens add", "tokens add", "tokens revoke"]
    assert token not in otto.get("/audit").text


# --- Releases ------------------------------------------------------------------------------------------------------


def released_jobs(page: Response) -> list[str]:
    return re.findall(r'<th scope="row"><a href="/recast/jobs/([^"]+)">', page.text)


def test_a_release_is_written_down_and_ended_beside_what_was_made_under_it(
    otto: Browser, database: Database, batch: int
) -> None:
    reference = "R/1 & 2"
    made = [row.id for row in database.sql("SELECT id FROM jobs WHERE state = 'succeeded' ORDER BY id LIMIT 2")]
    database.sql(
        "UPDATE jobs SET extra = jsonb_build_object('consent', cast(:reference AS text)),"
        " finished_at = now() - ascii(right(id, 1)) * interval '1 minute' WHERE id = ANY(:ids)",
        reference=reference, ids=made,
    )  # fmt: skip
    (where,) = re.findall(r'<dt>consent</dt><dd><a href="/recast([^"]+)"', otto.get(f"/jobs/{made[0]}").text)
    page = otto.get(unescape(where))
    assert released_jobs(page) == made, "the latest first"
    assert unsaid(plain(page), reference, "without an end", f"spring {HOSTILE}") == []

    fields = {"form": otto.form("/releases"), "name": reference, "do": "set"}
    scope = {"until": "2099-06-30", "kind": "swap", "labels": "summer\r\n\r\n spring \r\n"}
    answer = otto.post("/releases", fields | scope)
    assert answer.status_code == 303
    again = otto.get(answer.headers["location"].removeprefix("/recast"))
    said = plain(again)
    assert unsaid(said, "holds for swap in batches labeled spring or summer until 2099-06-30", "in force") == []
    assert unsaid(again.text, 'value="2099-06-30"', "<option selected>swap") == []
    assert ">spring\nsummer</textarea>" in again.text
    assert unsaid(plain(otto.get("/releases")), reference, "2099-06-30", "in force") == []
    for wrong in ({"until": "soon"}, {"kind": "film"}, {"labels": "\0"}, {"do": "burn"}, {"name": ""},
                  {"name": "x" * 501}, {"name": "a\nb"}):  # fmt: skip
        assert otto.post("/releases", fields | scope | wrong).status_code == 422, wrong
    assert otto.post("/releases", fields | {"do": "end"}).status_code == 303
    ended = otto.get(unescape(where))
    assert unsaid(plain(ended), "held for swap", "ended") == []
    assert 'value="end"' not in ended.text
    assert [action for _, _, action in audited(database)] == ["releases set", "releases end"]
    unknown = otto.get("/releases", params={"reference": "R-9"})
    assert (unknown.status_code, released_jobs(unknown)) == (200, [])


def stamped(database: Database, number: int, *, consent: str | None = None) -> None:
    """Jobs that ended, each a second before the one that was made before it."""
    database.sql(
        "INSERT INTO jobs (id, lane, kind, state, extra, finished_at)"
        " SELECT coalesce(cast(:consent AS text), 'many') || '-' || n, 'x', 'swap', 'canceled',"
        " CASE WHEN cast(:consent AS text) IS NULL THEN '{}' ELSE jsonb_build_object('consent', cast(:consent AS text))"
        " END, (SELECT coalesce(min(finished_at), now()) FROM jobs) - (n / 3) * interval '1 second'"
        " FROM generate_series(1, :number) AS n", consent=consent, number=number,
    )  # fmt: skip


def test_jobs_of_a_release_come_in_pages_each_once(otto: Browser, database: Database) -> None:
    stamped(database, 2 * PAGE + 3, consent="R-1")
    found, path = list[list[str]](), "/releases?reference=R-1"
    while path:
        page = otto.get(path)
        found.append(released_jobs(page))
        after = re.search(r'rel="next" href="/recast([^"]+)"', page.text)
        path = unescape(after[1]) if after else ""
    assert [len(each) for each in found] == [PAGE, PAGE, 3]
    assert len({job for each in found for job in each}) == 2 * PAGE + 3


def test_a_rare_release_is_found_further_on(otto: Browser, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(released, "PATIENCE", -1.0)
    stamped(database, PORTION)
    stamped(database, 1, consent="R-1")
    first = otto.get("/releases?reference=R-1")
    assert released_jobs(first) == []
    (after,) = re.findall(r'rel="next" href="/recast([^"]+)"', first.text)
    second = otto.get(unescape(after))
    assert released_jobs(second) == ["R-1-1"]
    assert 'rel="next"' not in second.text
    monkeypatch.undo()
    assert released_jobs(otto.get("/releases?reference=R-1")) == ["R-1-1"], "within its patience, at once"


@pytest.mark.parametrize("said", ["x", "nan~x", "inf~x", "1e300~x", "-1e12~x", "1~%00", "~"])
def test_a_place_that_is_none_is_refused(otto: Browser, said: str) -> None:
    page = otto.get(f"/releases?reference=R-1&before={said}")
    assert (page.status_code, unsaid(page.text, "before", "links of the page")) == (400, [])


def test_a_place_is_read_as_it_is_written() -> None:
    place = ReleasedPlace(1_795_000_000.123456, "a~b")
    assert ReleasedPlace.of(str(place)) == place
