"""Budgets are exact however many workers submit, and what was not taken is given back to where it was booked."""

from __future__ import annotations

from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from models.states import Reason
from providers.outcomes import Refused
from tests.words import unsaid
from workers.accounts.budget import seconds_left
from workers.config.settings import Tries
from workers.engine import begin, claims
from workers.engine.effects import Effects
from workers.engine.outcomes import Sent, after_submit
from workers.engine.record import record
from workers.jobs.transitions import move_jobs

if TYPE_CHECKING:
    from tests.integration.database import Database

pytest_plugins = ["tests.integration.database"]

PRICED: dict[str, Any] = {
    "max_in_flight": 1_000,
    "prices": {"swap": "1 USD", "swap_v2": "1 USD", "swap_faces": "1 USD"},
}


def refused(database: Database) -> list[Effects]:
    """What it means that the provider refused every open attempt."""
    operation = database.account().operations["zhiqite.swap"]
    return [
        after_submit(
            Sent(row.id, row.job_id, 1, operation, row.sent_at), Refused(Reason.NO_FACE, "no"), 1.0, Tries(3, 2)
        )
        for row in database.sql("SELECT id, job_id, sent_at FROM attempts WHERE state = 'sending'")
    ]


def test_twenty_threads_and_a_budget_for_ten(database: Database) -> None:
    account = database.account(**PRICED, budget={"day": "10 USD"})
    batch = database.batch()
    database.jobs(60, batch=batch)
    groups = [database.ready(database.run(claims.claim, account, 3), "1") for _ in range(20)]
    database.together([partial(begin.begin, account=account, ready=group) for group in groups])

    assert database.one("SELECT count(*) FROM attempts") == 10
    assert database.spend() == {"account:main": Decimal(10), f"batch:{batch}": Decimal(10)}
    assert database.counts(batch) == {"running": 10, "queued": 50}


@pytest.mark.parametrize(
    ("budget", "spent", "until"),
    [
        ({"day": "2 USD", "month": "50 USD"}, ("2.00 USD", "day"), "day"),
        ({"day": "50 USD", "month": "2 USD"}, ("2.00 USD", "month"), "month"),
        # When a new day begins the month's is as spent as before.
        ({"day": "2 USD", "month": "2 USD"}, ("2.00 USD", "day", "month"), "month"),
    ],
)
def test_a_spent_budget_closes_its_account_until_the_last_of_the_spent_ones_ends(
    database: Database, budget: dict[str, str], spent: tuple[str, ...], until: str
) -> None:
    account = database.account(**PRICED, budget=budget)
    database.jobs(5)
    assert len(database.start(account, 5, "1").started) == 2
    database.start(account, 5, "1")

    (row,) = database.sql("SELECT *, extract(epoch FROM closed_until - clock_timestamp()) AS left FROM accounts")
    assert (row.closed_reason, unsaid(row.closed_note, *spent)) == ("budget", [])
    assert float(row.left) == pytest.approx(seconds_left(until, database.one("SELECT now()")), abs=5)
    assert database.start(account, 5, "1").blocked_by == "budget"


@pytest.mark.parametrize("single", [True, False])
def test_a_spent_budget_of_an_account_pauses_no_batch(database: Database, single: bool) -> None:
    account, other = database.account(**PRICED, budget={"day": "2 USD"}), database.account("other")
    batch = 0 if single else database.batch(max_cost="100")
    database.jobs(5, batch=batch)
    database.start(account, 5, "1")

    assert database.one("SELECT paused_at FROM batches WHERE id = :id", id=batch) is None
    assert len(database.run(claims.claim, other, 5)) == 3, "other accounts take what this one cannot pay"


def test_a_batch_stops_at_its_limit_over_all_accounts(database: Database) -> None:
    accounts = [database.account(name, **PRICED) for name in ("one", "two")]
    limited, free = database.batch("limited", max_cost="7"), database.batch("free")
    database.jobs(40, batch=limited)
    database.jobs(3, batch=free)
    groups = [(account, database.ready(database.run(claims.claim, account, 5), "1")) for account in accounts * 4]
    database.together([partial(begin.begin, account=account, ready=group) for account, group in groups])

    assert database.spend()[f"batch:{limited}"] == 7
    assert database.counts(limited) == {"running": 7, "queued": 33}
    assert database.counts(free) == {"running": 3}
    paused = {row.name: row.paused_reason for row in database.sql("SELECT * FROM batches WHERE paused_at IS NOT NULL")}
    assert paused == {"limited": "budget"}
    assert not database.sql("SELECT 1 FROM accounts WHERE closed_until IS NOT NULL")


def test_what_was_refused_is_given_back(database: Database) -> None:
    account = database.account(**PRICED, budget={"day": "3 USD"})
    batch = database.batch(max_cost="3")
    database.jobs(6, batch=batch)
    database.start(account, 3, "1")
    database.run(record, "main", refused(database))

    assert database.spend() == {"account:main": 0, f"batch:{batch}": 0}
    assert len(database.start(account, 3, "1").started) == 3


def test_nothing_is_given_back_twice(database: Database) -> None:
    account = database.account(**PRICED)
    database.jobs(4)
    database.start(account, 4, "1")
    effects = refused(database)
    database.together([partial(record, account="main", effects=effects) for _ in range(4)])

    assert database.spend() == {"account:main": 0}


def test_money_is_given_back_to_the_day_it_was_booked_on(database: Database) -> None:
    account = database.account(**PRICED)
    database.jobs(1)
    database.start(account, 1, "1")
    database.sql("UPDATE attempts SET sent_at = '2026-01-31 23:59:59+00'")
    database.sql(
        "UPDATE spend SET period = CASE WHEN period LIKE 'day:%' THEN 'day:2026-01-31' ELSE 'month:2026-01' END"
    )
    database.run(record, "main", refused(database))

    assert database.spend() == {"account:main": 0}


def test_free_submissions_book_nothing(database: Database) -> None:
    database.jobs(2, batch=database.batch())
    database.start(database.account(), 2)

    assert database.spend() == {}


def test_the_smallest_price_is_counted_exactly(database: Database) -> None:
    account = database.account(**PRICED, budget={"day": "0.0003 USD"})
    database.jobs(5)
    database.start(account, 5, "0.0001")

    assert database.spend() == {"account:main": Decimal("0.0003")}
    assert database.one("SELECT sum(cost) FROM attempts") == Decimal("0.0003")


def test_submitting_and_giving_back_never_wait_for_each_other_in_a_ring(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = database.account(**PRICED, budget={"day": "100 USD"})
    database.jobs(4, batch=database.batch(max_cost="100"))
    database.start(account, 2, "1")
    effects, ready = refused(database), database.ready(database.run(claims.claim, account, 2), "1")
    giving_back = []

    def while_money_is_given_back(*arguments: Any) -> Any:
        # Given that a refusal is recorded just when `begin` has looked at the budgets
        giving_back.append(database.aside(database.run, record, "main", effects))
        database.wait_for_a_waiter()
        return move_jobs(*arguments)

    monkeypatch.setattr(begin, "move_jobs", while_money_is_given_back)
    # When `begin` goes on, then neither waits for a lock that the other holds
    assert len(database.run(begin.begin, account, ready).started) == 2
    assert len(giving_back[0].result(30).ended) == 2
