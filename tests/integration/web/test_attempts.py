"""The rows behind operators' numbers: each number of today, of accounts and of a batch leads to as many attempts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from html import unescape
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from reports import attempts
from reports.attempts import PAGE, AttemptsFilter, Which, sent
from tests.http import Response
from tests.stack import write_accounts
from tests.web.client import Client
from tests.web.shop import AUTH, settings
from tests.words import unsaid
from web.app import build

if TYPE_CHECKING:
    from tests.integration.database import Database

pytest_plugins = ["tests.integration.database"]

ACCOUNT = {
    "provider": "zhiqite", "base_url": "http://127.0.0.1:9", "access_key_id": "id", "access_key_secret": "secret",
    "prices": {"swap": "0.02 USD"}, "budget": {"day": "4 USD"}, "operations": ["swap"],
}  # fmt: skip


@pytest.fixture
def client(database: Database, tmp_path: Path) -> Iterator[Client]:
    write_accounts(tmp_path / "accounts.toml", {"main": ACCOUNT, "other": ACCOUNT})
    with Client(build(settings(database, tmp_path)), AUTH) as made:
        yield made


@pytest.fixture
def batch(database: Database) -> int:
    """Attempts at two accounts: of this hour, of the one before, and of a month ago."""
    for name in ("main", "other"):
        database.account(name)
    shown = database.batch("spring")
    hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    jobs = iter(database.jobs(9, batch=shown, state="running"))
    for account, state, cost, at in (
        ("main", "running", "0.02", hour), ("main", "done", "0.02", hour), ("main", "refused", "0.02", hour),
        ("other", "expired", "0.05", hour), ("main", "not_sent", "0.02", hour - timedelta(hours=1)),
        ("main", "done", "0.03", hour - timedelta(hours=1)), ("main", "unknown", "0.02", hour - timedelta(days=30)),
    ):  # fmt: skip
        database.attempt(
            next(jobs), state, cost=cost, account=f"'{account}'", created_at=f"'{at.isoformat()}'", reason="'outage'"
        )
    for period, form in (("day", "YYYY-MM-DD"), ("month", "YYYY-MM")):
        database.sql(
            "INSERT INTO spend (scope, period, amount) SELECT 'account:main', :period || ':' || to_char(now() AT TIME"
            " ZONE 'UTC', :form), sum(cost) FROM attempts WHERE account = 'main' AND state NOT IN ('refused',"
            " 'not_sent') AND created_at >= date_trunc(:period, now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC'",
            period=period, form=form,
        )  # fmt: skip
    return shown


def rows(page: Response) -> list[list[str]]:
    """The cells of the page's table."""
    body = page.text.partition("<tbody>")[2].partition("</tbody>")[0]
    found = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.DOTALL) for row in re.findall(r"<tr>(.*?)</tr>", body)]
    return [[" ".join(unescape(re.sub("<[^>]*>", " ", cell)).split()) for cell in row] for row in found]


def costs(page: Response) -> Decimal:
    """The sum of the costs that a page shows."""
    return sum((Decimal(row[5].removesuffix(" USD")) for row in rows(page)), Decimal(0))


def behind(page: Response, said: str) -> list[str]:
    """The addresses behind a number: those of the links that say it."""
    links = re.findall(r'<a[^>]*href="([^"]*)"[^>]*>(.*?)</a>', page.text, re.DOTALL)
    return [unescape(href) for href, text in links if " ".join(re.sub("<[^>]*>", "", text).split()) == said]


def test_the_money_of_today_leads_to_what_was_paid(client: Client, batch: int) -> None:
    page = client.get("/today")
    (whole,) = behind(page, "0.12 USD in 24 h")
    assert costs(client.get(whole)) == Decimal("0.12")
    hours = re.findall(r'<a href="([^"]*)" aria-label="[^"]*UTC: ([\d.]+) USD"', page.text)
    assert [cost for _, cost in hours] == ["0.03", "0.09"]
    for href, cost in hours:
        assert costs(client.get(unescape(href))) == Decimal(cost)
    (dearest,) = behind(page, "0.09 USD")
    assert costs(client.get(dearest)) == Decimal("0.09")


def test_the_figures_of_accounts_lead_to_their_attempts(client: Client, database: Database, batch: int) -> None:
    database.sql("UPDATE attempts SET created_at = now() - interval '1 minute' WHERE state IN ('refused', 'expired')")
    spent = {row.period.partition(":")[0]: row.amount for row in database.sql("SELECT period, amount FROM spend")}
    for place, figures in (("/today", 3), ("/accounts", 4)):
        links = re.findall(r'<a href="(/attempts[^"]*account=main[^"]*)">([^<]*)</a>', client.get(place).text)
        found = {unescape(href): said for href, said in links if "which=" in href}
        assert len(found) == figures, place
        for href, said in found.items():
            page = client.get(href)
            if "which=paid" in href:
                period = "day" if "day=" in href else "month"
                assert Decimal(said.removesuffix(" USD")) == costs(page) == spent[period], href
            else:
                assert len(rows(page)) == int(said) == (2 if "in_flight" in href else 1), href


def test_a_batchs_spend_leads_to_what_was_paid_in_its_order(client: Client, database: Database, batch: int) -> None:
    database.sql("INSERT INTO spend (scope, period, amount) VALUES (:s, 'all', 0.14)", s=f"batch:{batch}")
    (elsewhere,) = database.jobs(1, batch=database.batch("summer"), state="running")
    database.attempt(elsewhere, "done", cost="0.7")
    for place in ("/batches", f"/batches/{batch}"):
        (spent,) = behind(client.get(place), "0.14 USD")
        page = client.get(spent)
        assert costs(page) == Decimal("0.14")
        assert [row[1] for row in rows(page)] == [f"spring/job-0000{number}" for number in (0, 1, 3, 5, 6)]
    assert client.get("/attempts?batch=99").status_code == 404
    assert client.get("/attempts?batch=99999999999").status_code == 404


@pytest.mark.parametrize(
    ("query", "number"),
    [
        ("", 7), ("account=other", 1), ("account=nobody", 0),
        ("which=failed", 3), ("which=in_flight", 2), ("which=paid", 5),
        ("hour=2001-01-01T00", 0), ("day=2001-01-01", 0), ("which=in_flight&hour=2001-01-01T00", 2),
    ],
)  # fmt: skip
def test_attempts_are_filtered(client: Client, batch: int, query: str, number: int) -> None:
    assert len(rows(client.get(f"/attempts?{query}"))) == number


@pytest.mark.parametrize("which", ["", "which=paid", "which=in_flight"])
def test_pages_by_key_have_every_attempt_once(client: Client, database: Database, which: str) -> None:
    database.account()
    shown = database.batch("spring")
    number = 2 * PAGE + 3
    for job in database.jobs(number, batch=shown, state="running"):  # many of one moment
        database.attempt(job, created_at="'2026-03-14T12:00:00Z'" if int(job[-2:]) % 3 else "now()")
    for start in (f"/attempts?{which}", f"/attempts?batch={shown}&{which}"):
        found, page = [], client.get(start)
        while True:
            found.append([row[1] for row in rows(page)])
            after = re.search(r'rel="next" href="([^"]*)"', page.text)
            if after is None:
                break
            page = client.get(unescape(after[1]))
        assert [len(each) for each in found] == [PAGE, PAGE, 3]
        assert len({job for each in found for job in each}) == number


def test_rare_failures_are_found_further_on(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "LOOKED_AT", 4)
    database.account()
    jobs = database.jobs(7, state="running")
    for age, job in enumerate(jobs):
        state = "refused" if age == 6 else "running"
        database.attempt(job, state, created_at=f"now() - {age} * interval '1 minute'")
    first = database.run(sent, AttemptsFilter(Which.FAILED))
    assert list(first.attempts) == []
    assert isinstance(first.after, UUID)
    second = database.run(sent, AttemptsFilter(Which.FAILED), first.after)
    assert ([each.job_id for each in second.attempts], second.after) == ([jobs[6]], None)


def test_pumps_say_who_runs_them_and_which_are_late(client: Client, database: Database) -> None:
    database.sql(
        "INSERT INTO leases (name, owner, until, wake_at) VALUES ('submit:main', 'w1', now() + interval '1 min', NULL),"
        " ('poll:main', 'w1', now() - interval '5 min', NULL), ('store', NULL, NULL, now() + interval '1 min'),"
        " ('deliver', NULL, NULL, NULL), ('check', NULL, NULL, now())"
    )
    (there,) = behind(client.get("/today"), "1 pump at work")
    found: dict[str, Any] = {row[0]: row[1:] for row in rows(client.get(there))}
    assert list(found) == ["check", "deliver", "poll:main", "store", "submit:main"]
    assert found["submit:main"] == ["at work", "w1"]
    assert (unsaid(found["poll:main"][0], "late", "5 min"), found["poll:main"][1]) == ([], "")
    assert unsaid(found["store"][0], "due", "UTC") == []
    assert unsaid(found["check"][0], "due", "UTC") == []
    assert found["deliver"][0] == "has nothing to do"
