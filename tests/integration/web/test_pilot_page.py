"""The pilot of a batch on the desk and for programs: what it says of the rest, and who decides about that."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy.orm import Session

from desk import people, pilot_quotes, quotes
from desk.limits import higher_limit
from models.people import Role
from reports import pilot
from tests.integration.desk.pictures import give
from tests.integration.web.asking import ROWS, Program, problem, token
from tests.integration.web.asking import chosen as for_programs
from tests.integration.web.test_desk import PASSWORD, ROOT, Browser
from tests.integration.web.test_operators import audited, chosen, hidden, otto, plain, sent
from tests.words import unsaid
from web.app import build
from workers.jobs.lanes import WAITING

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.database import Database
    from workers.config.settings import Settings

pytest_plugins = ["tests.integration.database"]

__all__ = ["chosen", "otto", "sent"]

SAMPLE, REST = 4, 10


@pytest.fixture
def batch(database: Database) -> int:
    """A sample of four, of which two are approved and one needs work, and ten that wait."""
    made = database.batch("spring")
    sample = database.jobs(SAMPLE, batch=made, state="succeeded")
    rest = database.jobs(REST, batch=made)
    database.sql("UPDATE jobs SET lane = :waiting || lane WHERE id = ANY(:ids)", waiting=WAITING, ids=rest)
    database.sql("INSERT INTO pilots (batch_id, size) VALUES (:id, '4')", id=made)
    for number, job in enumerate(sample):
        database.sql("INSERT INTO pilot_jobs (batch_id, job_id) VALUES (:id, :job)", id=made, job=job)
        give(database, job, cost="0.02")
        verdict = ("approved", "approved", "needs_work", "unreviewed")[number]
        database.sql(
            "INSERT INTO reviews (job_id, batch_id, seq, verdict) SELECT id, batch_id, seq, :v FROM jobs WHERE id=:job",
            v=verdict, job=job,
        )  # fmt: skip
    return made


def waiting(database: Database) -> int:
    return int(database.one("SELECT count(*) FROM jobs WHERE starts_with(lane, :w) AND state = 'queued'", w=WAITING))


def wait(database: Database, batch: int) -> None:
    """One job more waits."""
    (more,) = database.jobs(batch=batch)
    database.sql("UPDATE jobs SET lane = :waiting || lane WHERE id = :id", waiting=WAITING, id=more)


def exchange(database: Database, batch: int) -> None:
    """Another job waits in place of one that a person canceled: for the same money, and as many as before."""
    database.sql("UPDATE jobs SET state = 'canceled' WHERE id = (SELECT max(id) FROM jobs WHERE state = 'queued')")
    wait(database, batch)


def test_an_operator_sees_what_the_sample_says_and_sends_the_rest(
    otto: Browser, database: Database, batch: int
) -> None:
    assert f"/batches/{batch}/pilot" in otto.get(f"/batches/{batch}").text
    page = otto.get(f"/batches/{batch}/pilot")
    assert unsaid(plain(page), "4 jobs", "10 jobs", "0.20 USD", "0.40 USD at most", "95 %", "of 3 decided",
                  "recast pilot spring --go-on") == []  # fmt: skip
    form = hidden(page)
    database.sql("UPDATE jobs SET state = 'canceled' WHERE id = (SELECT max(id) FROM jobs WHERE state = 'queued')")
    moved = otto.post(f"/batches/{batch}/pilot", form | {"do": "go_on"})
    assert (moved.status_code, unsaid(plain(moved), "changed since")) == (200, [])
    assert waiting(database) == REST - 1
    for limit in ("many", "-1", "0"):
        wrong = otto.post(f"/batches/{batch}/pilot", hidden(moved) | {"do": "go_on", "max_cost": limit})
        assert wrong.status_code == 422, limit
    done = otto.post(f"/batches/{batch}/pilot", hidden(moved) | {"do": "go_on", "max_cost": "7.50"})
    assert done.status_code == 303
    assert waiting(database) == 0
    assert str(database.one("SELECT max_cost FROM batches WHERE id = :id", id=batch)) == "7.5000"
    after = otto.get(f"/batches/{batch}/pilot")
    assert unsaid(plain(after), "Decided by Otto", "went on") == []
    assert 'name="agreed"' not in after.text
    assert [action for _, _, action in audited(database)] == ["pilot go on"]
    assert otto.get("/batches/999/pilot").status_code == 404


def test_what_waits_is_read_when_its_number_changes(
    otto: Browser, database: Database, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []

    def counted(session: Session, batch_id: int) -> Any:
        read.append(batch_id)
        return real(session, batch_id)

    real = pilot._waiting
    monkeypatch.setattr(pilot, "_waiting", counted)
    shown = [otto.get(f"/batches/{batch}/pilot") for _ in range(3)]
    assert {len(re.findall("10 jobs wait", plain(each))) for each in shown} == {1}
    assert len(read) == 1
    wait(database, batch)
    page = otto.get(f"/batches/{batch}/pilot")
    assert unsaid(plain(page), "11 jobs wait", "0.44 USD at most") == []
    assert len(read) == 2
    # What is agreed to is read anew, and after the decision none waits, though all are queued still.
    assert otto.post(f"/batches/{batch}/pilot", hidden(page) | {"do": "go_on"}).status_code == 303
    assert unsaid(plain(otto.get(f"/batches/{batch}/pilot")), "0 jobs wait") == []
    assert database.one("SELECT queued FROM batches WHERE id = :id", id=batch) == REST + 1


def test_what_begins_to_wait_at_the_last_moment_is_not_sent(
    otto: Browser, database: Database, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def late(*given: Any) -> Any:
        wait(database, batch)
        return higher_limit(*given)

    monkeypatch.setattr("web.pilot.higher_limit", late)
    form = hidden(otto.get(f"/batches/{batch}/pilot")) | {"do": "go_on", "max_cost": "7.50"}
    refused = otto.post(f"/batches/{batch}/pilot", form)
    assert (refused.status_code, unsaid(plain(refused), "spring", REST)) == (422, [])
    assert (waiting(database), audited(database)) == (REST + 1, [])
    assert database.one("SELECT decision FROM pilots") is None
    assert database.one("SELECT max_cost FROM batches WHERE id = :id", id=batch) is None


@pytest.mark.parametrize("choice", ["go_on", "stop"])
def test_other_jobs_than_those_shown_are_neither_sent_nor_canceled(
    otto: Browser, database: Database, batch: int, choice: str
) -> None:
    form = hidden(otto.get(f"/batches/{batch}/pilot"))
    exchange(database, batch)
    moved = otto.post(f"/batches/{batch}/pilot", form | {"do": choice})
    assert (moved.status_code, unsaid(plain(moved), "changed since", f"{REST} jobs")) == (200, [])
    assert (waiting(database), audited(database)) == (REST, [])
    assert otto.post(f"/batches/{batch}/pilot", hidden(moved) | {"do": choice}).status_code == 303
    assert waiting(database) == 0


@pytest.mark.parametrize("choice", ["go_on", "stop"])
def test_what_is_exchanged_at_the_last_moment_is_not_decided_about(
    otto: Browser, database: Database, batch: int, monkeypatch: pytest.MonkeyPatch, choice: str
) -> None:
    real = pilot_quotes.as_shown

    def late(*given: Any) -> Any:
        exchange(database, batch)
        return real(*given)

    monkeypatch.setattr(pilot_quotes, "as_shown", late)
    form = hidden(otto.get(f"/batches/{batch}/pilot")) | {"do": choice}
    refused = otto.post(f"/batches/{batch}/pilot", form)
    assert (refused.status_code, unsaid(plain(refused), "spring", REST)) == (422, [])
    assert (waiting(database), audited(database)) == (REST, [])


def test_a_reviewer_looks_and_others_do_not(otto: Browser, database: Database, batch: int) -> None:
    for name, role in (("Vera", Role.VIEWER), ("Anna", Role.REVIEWER)):
        database.run(people.add, ROOT, name, role, PASSWORD)
    form = hidden(otto.get(f"/batches/{batch}/pilot")) | {"do": "stop"}
    otto.forget_cookies()
    otto.sign_in("Anna")
    page = otto.get(f"/batches/{batch}/pilot")
    assert (page.status_code, 'name="agreed"' in page.text) == (200, False)
    own = {"form": otto.form(f"/batches/{batch}")}
    assert otto.post(f"/batches/{batch}/pilot", form | own).status_code == 403
    otto.forget_cookies()
    otto.sign_in("Vera")
    assert otto.get(f"/batches/{batch}/pilot").status_code == 403
    assert "/pilot" not in otto.get(f"/batches/{batch}").text
    assert waiting(database) == REST


def test_an_operator_stops_it_unpaid(otto: Browser, database: Database, batch: int) -> None:
    page = otto.get(f"/batches/{batch}/pilot")
    assert otto.post(f"/batches/{batch}/pilot", hidden(page) | {"do": "stop"}).status_code == 303
    assert database.one("SELECT count(*) FROM jobs WHERE state = 'canceled'") == REST
    assert [action for _, _, action in audited(database)] == ["pilot stop"]


@pytest.fixture
def free(database: Database, tmp_path: Path) -> Settings:
    return for_programs(database, tmp_path)


def test_a_program_makes_a_pilot_and_pays_for_its_sample(database: Database, free: Settings) -> None:
    names = {"name": "summer", "rows": ROWS, "options": {"pilot": "1"}}
    with Program(build(free), token(database, "shop", Role.OPERATOR, Decimal(1))) as shop:
        whole = shop.ask("POST", "/plans", names | {"options": {}}).json()
        found = shop.ask("POST", "/plans", names).json()
        assert (found["queued"], found["pilot"]["rows"]) == (3, 1)
        assert found["quote"]["ceiling"] == found["pilot"]["at_most"]
        assert 3 * Decimal(found["quote"]["ceiling"]["amount"]) == Decimal(whole["quote"]["ceiling"]["amount"])
        done = shop.ask("POST", "/runs", {"quote": found["quote"]["quote"]}).json()
        assert (done["queued"], done["pilot"]) == (3, {"sample": 1, "waiting": 2})
        assert database.one("SELECT sum(spent) FROM tokens") == Decimal(found["quote"]["ceiling"]["amount"])
        assert waiting(database) == 2
        # The rest is paid by its own quote, and the batch's limit leaves room for it.
        path = "/batches/summer/pilot"
        rest = shop.ask("POST", path, {"decision": "go_on", "dry_run": True}).json()["quote"]
        assert shop.ask("POST", path, {"quote": rest["quote"]}).json()["done"] == 2
        limit = Decimal(shop.get("/batches/summer")["max_cost"]["amount"])
        assert limit == Decimal(found["quote"]["ceiling"]["amount"]) + Decimal(rest["ceiling"]["amount"])
        problem(shop.ask("POST", "/plans", names | {"options": {"pilot": "some"}}), 422, "pilot", "some", "1%")


def test_programs_send_the_rest_by_quote_and_stop_without(
    database: Database, batch: int, free: Settings, sent: list[str]
) -> None:
    database.account()
    path = "/batches/spring/pilot"
    with Program(build(free), token(database, "shop", Role.OPERATOR, Decimal(1))) as shop:
        found = shop.get(path)
        assert (found["sample"], found["waiting"], found["accepted"]["decided"]) == (SAMPLE, REST, 3)
        assert found["accepted"]["low"] <= found["accepted"]["likely"] <= found["accepted"]["high"]
        problem(shop.ask("POST", path, {"decision": "go_on"}), 422, "quote", "dry_run")
        problem(shop.ask("POST", path, {}), 422, "decision", "go_on", "stop")
        quoted: Any = shop.ask("POST", path, {"decision": "go_on", "dry_run": True}).json()
        assert quoted["quote"]["ceiling"]["amount"] == found["rest"]["at_most"]["amount"]
        quote = {"quote": quoted["quote"]["quote"]}
        problem(shop.ask("POST", path, quote | {"decision": "stop"}), 422, "quote")
        other = database.batch("autumn")
        database.sql("INSERT INTO pilots (batch_id, size) VALUES (:id, '1')", id=other)
        problem(shop.ask("POST", "/batches/autumn/pilot", quote), 422, "spring")
        assert waiting(database) == REST
        done = shop.ask("POST", path, quote).json()
        assert (done["done"], done["waiting"], done["decision"]) == (REST, 0, "went_on")
        problem(shop.ask("POST", path, quote), 409, "taken")
        stopped = shop.ask("POST", "/batches/autumn/pilot", {"decision": "stop"}).json()
        assert (stopped["done"], stopped["decision"]) == (0, "stopped")
        problem(shop.ask("GET", "/batches/winter/pilot"), 404, "winter")
    with Program(build(free), token(database, "eye", Role.REVIEWER)) as eye:
        assert eye.get(path)["decided_by"] == "token shop"
        problem(eye.ask("POST", path, {"decision": "stop"}), 403, "operator")


def test_what_begins_to_wait_while_a_quote_is_taken_is_not_sent(
    database: Database, batch: int, free: Settings, sent: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given a quote that is found good, when a job begins to wait at that moment, then it waits on, unpaid."""
    database.account()
    take = quotes.take

    def later(*arguments: Any) -> None:
        wait(database, batch)
        take(*arguments)

    path = "/batches/spring/pilot"
    with Program(build(free), token(database, "shop", Role.OPERATOR, Decimal(1))) as shop:
        quoted: Any = shop.ask("POST", path, {"decision": "go_on", "dry_run": True}).json()
        monkeypatch.setattr(quotes, "take", later)
        assert shop.ask("POST", path, {"quote": quoted["quote"]["quote"]}).json()["done"] == REST
    assert waiting(database) == 1
    assert sent


def test_a_quote_sends_none_but_its_own_jobs(database: Database, batch: int, free: Settings, sent: list[str]) -> None:
    database.account()
    path, ask = "/batches/spring/pilot", {"decision": "go_on", "dry_run": True}
    with Program(build(free), token(database, "shop", Role.OPERATOR, Decimal(1))) as shop:
        quoted: Any = shop.ask("POST", path, ask).json()
        exchange(database, batch)
        problem(shop.ask("POST", path, {"quote": quoted["quote"]["quote"]}), 409, "changed", "new one")
        assert (waiting(database), database.one("SELECT sum(spent) FROM tokens")) == (REST, 0)
        again: Any = shop.ask("POST", path, ask).json()
        assert again["quote"]["ceiling"] == quoted["quote"]["ceiling"], "they cost the same"
        done = shop.ask("POST", path, {"quote": again["quote"]["quote"]}).json()["done"]
        assert done == REST, "the canceled one is not sent"
    assert sent
