"""Tools for assistants: what they answer over the protocol, and that no calls spend past a quote or a day's limit."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from desk import audit, tokens
from models.people import Role
from tests.integration.desk.pictures import made, results
from tests.integration.web.asking import ROOT, ROWS, chosen, token
from tests.words import unsaid
from web.api import tools
from web.api.endpoints import Service
from web.api.problems import ProblemError
from web.api.tools import TOOLS
from workers.accounts import overrides
from workers.engine.runtime import Runtime

if TYPE_CHECKING:
    from tests.integration.database import Database

pytest_plugins = ["tests.integration.database"]

LIMIT = Decimal("3.00")
Call = Callable[..., Any]


@pytest.fixture
def service(database: Database, tmp_path: Path) -> Iterator[Service]:
    """A deployment with a cheap account and a dear one."""
    settings = chosen(database, tmp_path, free={"prices": {"swap": "0.05 USD"}})
    with closing(Runtime(settings, secrets=())) as runtime:
        yield Service(runtime, 60.0)


@pytest.fixture
def call(database: Database, service: Service) -> Call:
    return calling(service, token(database, "assistant", Role.OPERATOR, LIMIT))


def calling(service: Service, shown: str) -> Call:
    def call(tool: str, /, **arguments: Any) -> Any:
        return tools.call(service, shown, tool, arguments)

    return call


def refused(call: Call, status: int, tool: str, arguments: dict[str, Any], *facts: object) -> None:
    with pytest.raises(ProblemError) as caught:
        call(tool, **arguments)
    assert caught.value.status == status
    assert unsaid(str(caught.value.document), *facts) == []


def test_what_is_read_and_decided(database: Database, call: Call) -> None:
    batch = made(database, 2)
    assert call("batches", search="SPR")["items"][0]["batch"] == "spring"
    assert call("batch", name="spring")["made"] == 2
    assert len(call("jobs", name="spring", state=["succeeded"], limit=1)["items"]) == 1
    (first, _) = results(database, batch)
    assert call("results", name="spring")["items"][0]["id"] == first
    assert call("verdict", id=str(first), verdict="approved", based_on=0)["job_verdict"] == "approved"
    assert call("job", id="job-00000")["cost"]["amount"] == "0.02"
    assert call("spend", by="operation")["total"]["amount"] == "0.04"
    assert [each["account"] for each in call("accounts")["items"]] == ["main", "free"]
    assert call("schedules") == {"items": []}
    assert call("pause", filter={"batch": "spring"})["batches"] == 1
    (entry, *_) = database.run(audit.latest, 1)
    assert (entry.person, entry.via, entry.action) == ("token assistant", "mcp", "pause")


def test_what_costs_money_is_priced_first_and_confirmed_once(database: Database, call: Call) -> None:
    batch = made(database, 1)
    database.jobs(1, batch=batch, state="failed", reason="timed_out")
    said: list[dict[str, Any]] = [
        {"run": {"name": "autumn", "rows": ROWS}}, {"retry": {"batch": "spring"}},
        {"redo": {"filter": {"batch": "spring"}, "change": {"to": "main"}}},
        {"job": {"kind": "swap", "source": "https://example.com/a.jpg", "target": "https://example.com/b.jpg"}},
    ]  # fmt: skip
    before = database.one("SELECT count(*) FROM jobs WHERE state = 'queued'")
    quotes = [call("plan", **each)["quote"] for each in said]
    assert [quote["ceiling"]["amount"] for quote in quotes] == ["0.3", "0.1", "0.04", "0.1"]
    assert database.one("SELECT count(*) FROM jobs WHERE state = 'queued'") == before == 0
    for quote in quotes:
        call("confirm", quote=quote["quote"])
        refused(call, 409, "confirm", {"quote": quote["quote"]}, "once")
    assert database.one("SELECT count(*) FROM jobs WHERE state = 'queued'") == 6
    assert database.one("SELECT spent FROM tokens") == Decimal("0.54")


def test_the_rest_of_a_pilot_is_priced_and_sent(database: Database, call: Call) -> None:
    planned = call("plan", run={"name": "summer", "rows": ROWS, "options": {"pilot": "1"}})
    call("confirm", quote=planned["quote"]["quote"])
    assert (call("pilot", name="summer")["sample"], call("pilot", name="summer")["waiting"]) == (1, 2)
    rest = call("plan", pilot="summer")
    assert (rest["waiting"], rest["quote"]["ceiling"]["amount"]) == (2, "0.2")
    done = call("confirm", quote=rest["quote"]["quote"])
    assert (done["done"], done["waiting"], done["decision"]) == (2, 0, "went_on")
    assert database.one("SELECT spent FROM tokens") == Decimal("0.3")


def test_no_quote_is_taken_whose_price_was_taken_away(database: Database, service: Service, call: Call) -> None:
    batch = made(database, 1)
    database.jobs(1, batch=batch, state="failed", reason="timed_out")
    (held,) = database.jobs(1, batch=batch, state="held", reason="unclear_submit")
    database.attempt(held, state="unknown", cost="0.02")
    sample = call("plan", run={"name": "summer", "rows": ROWS, "options": {"pilot": "1"}})
    call("confirm", quote=sample["quote"]["quote"])
    said: list[dict[str, Any]] = [
        {"run": {"name": "autumn", "rows": ROWS}}, {"retry": {"batch": "spring"}},
        {"redo": {"filter": {"batch": "spring"}, "change": {}}}, {"pilot": "summer"},
        {"job": {"kind": "swap", "source": "https://example.com/a.jpg", "target": "https://example.com/b.jpg"}},
        {"not_accepted": {"batch": "spring"}},
    ]  # fmt: skip
    quotes = [call("plan", **each)["quote"]["quote"] for each in said]
    before = database.one("SELECT count(*) FROM jobs"), database.one("SELECT spent FROM tokens")
    states = database.counts(batch)
    service.runtime.db(overrides.change, service.runtime.accounts, "main", {"prices": {"swap": None}}, "Olga")
    for quote in quotes:
        refused(call, 422, "confirm", {"quote": quote}, "main", "zhiqite.swap")
    assert (database.one("SELECT count(*) FROM jobs"), database.one("SELECT spent FROM tokens")) == before
    assert database.counts(batch) == states
    service.runtime.db(overrides.drop, "main")
    for quote in quotes:
        call("confirm", quote=quote)
    assert database.counts(batch) == {"queued": 3}


def test_what_is_wrong_is_said(database: Database, service: Service, call: Call) -> None:
    refused(call, 404, "pay", {}, "pay", "confirm")
    refused(call, 422, "batches", {"limit": 0}, "limit", "0")
    refused(call, 422, "batches", {"color": "red"}, "color")
    refused(call, 404, "batch", {"name": "spring"}, "spring")
    refused(call, 422, "plan", {}, "plan", "run", "redo")
    refused(call, 422, "plan", {"retry": {"all": True}, "job": {"kind": "swap"}}, "plan")
    refused(call, 422, "confirm", {"quote": "x"}, "quote", "x")
    refused(call, 400, "batches", {"search": "\0"})
    guest = calling(service, token(database, "guest", Role.VIEWER))
    made(database, 1)
    assert "USD" not in str(guest("batch", name="spring"))
    refused(guest, 403, "plan", {"redo": {"filter": {"batch": "spring"}}}, "viewer", "reviewer")
    database.run(tokens.revoke, ROOT, "assistant")
    refused(call, 401, "batches", {}, "revoked")


def test_an_assistant_speaks_the_protocol(database: Database, service: Service) -> None:
    pytest.importorskip("mcp", reason="the extra mcp brings it")
    from mcp import Client  # noqa: PLC0415 - beside what it calls

    from web.mcp_server import made as server  # noqa: PLC0415

    made(database, 1)
    shown = token(database, "assistant", Role.OPERATOR)

    async def talk() -> None:
        async with Client(server(service, lambda _: shown)) as client:
            listed = (await client.list_tools()).tools
            assert {each.name for each in listed} == set(TOOLS)
            assert [each.name for each in listed if each.annotations and each.annotations.destructive_hint] == [
                "confirm"
            ]
            found = await client.call_tool("batch", {"name": "spring"})
            assert found.structured_content["made"] == 1
            assert not found.is_error
            wrong = await client.call_tool("batch", {"name": "sprin"})
            assert wrong.is_error
            assert wrong.structured_content["status"] == 404

    anyio.run(talk)


# --- Money --------------------------------------------------------------------------------------------------------


class Assistant:
    """Calls tools at random, and remembers what it was quoted."""

    def __init__(self, seed: int) -> None:
        self._dice = random.Random(seed)
        self.quotes: list[str] = ["none"]

    def next(self) -> tuple[str, Mapping[str, Any]]:
        dice = self._dice
        kind = dice.choice(["plan"] * 4 + ["confirm"] * 5 + ["work", "bulk", "verdict", "read", "wrong"])
        if kind == "plan":
            return "plan", self._plan()
        if kind == "confirm":
            return "confirm", {"quote": dice.choice(self.quotes[-8:])}
        if kind == "bulk":
            return dice.choice(["cancel", "pause", "resume"]), {
                "filter": self._filter(),
                "dry_run": dice.random() < 0.2,
            }
        if kind == "verdict":
            return "verdict", {"id": str(dice.randint(1, 30)), "verdict": "needs_work", "reasons": ["hair"],
                               "based_on": 0}  # fmt: skip
        if kind == "read":
            return dice.choice(["batches", "spend", "accounts"]), {}
        if kind == "wrong":
            return dice.choice([*TOOLS, "pay"]), {dice.choice(["quote", "run", "filter", "max_cost"]): dice.choice([
                1, None, {}, [], "x", {"all": True}, {"batch": "a"}])}  # fmt: skip
        return "work", {}

    def _plan(self) -> Mapping[str, Any]:
        dice = self._dice
        what = dice.choice(["run", "retry", "redo", "job"])
        if what == "run":
            options = {} if dice.random() < 0.5 else {"max_cost": f"0.{dice.randint(1, 40):02}"}
            return {"run": {"name": dice.choice("abc"), "rows": ROWS[: dice.randint(1, 3)], "options": options}}
        if what == "job":
            more = {"dedupe_key": dice.choice("xyz")} if dice.random() < 0.5 else {"account": "main"}
            return {"job": {"kind": "swap", "source": ROWS[0]["source"], "target": ROWS[1]["target"], **more}}
        if what == "retry":
            return {"retry": {**self._filter(), "state": ["failed", "canceled"]}}
        change = dice.choice([{}, {"to": "main"}, {"to": "free"}])
        return {"redo": {"filter": {**self._filter(), "state": ["succeeded", "failed"]}, "change": change}}

    def _filter(self) -> dict[str, Any]:
        return self._dice.choice([{"batch": "a"}, {"batch": "b"}, {"account": "free"}, {"all": True}])


@pytest.mark.parametrize(
    ("seed", "calls"), [(1, 120), *(pytest.param(seed, 1_000, marks=pytest.mark.long) for seed in (2, 3))]
)
def test_no_calls_spend_past_a_quote_or_the_limit_of_the_day(
    database: Database, service: Service, call: Call, seed: int, calls: int
) -> None:
    assistant, taken, refusals = Assistant(seed), 0, 0
    dice = random.Random(-seed)
    for _ in range(calls):
        name, arguments = assistant.next()
        if name == "work":
            work(database, dice)
            continue
        answer, status = attempted(call, name, arguments)
        assert status < 500
        refusals += status == 403
        if status != 200:
            continue
        taken += name == "confirm"
        if answer.get("quote"):
            assistant.quotes.append(answer["quote"]["quote"])
        within(database)
    for _ in range(5):
        work(database, dice)
    within(database)
    assert taken > 5
    assert calls < 1_000 or refusals > 5, "the limit was reached, and held"


def attempted(call: Call, name: str, arguments: Mapping[str, Any]) -> tuple[Any, int]:
    try:
        return call(name, **arguments), 200
    except ProblemError as problem:
        return None, problem.status


def work(database: Database, dice: random.Random) -> None:
    """Do what workers may do with what is queued: pay as often as is allowed, as dear as it can be."""
    for job in database.sql("SELECT id, lane, former_attempts FROM jobs WHERE state = 'queued' AND lane NOT LIKE '!%'"):
        most = database.one("SELECT coalesce(max(number), 0) FROM attempts WHERE job_id = :id", id=job.id)
        account = "main" if job.lane.startswith("main@") else "free"
        for number in range(most + 1, most + 3):
            if not _may_spend(database, job.id, Decimal("0.02" if account == "main" else "0.05")):
                break
            database.attempt(job.id, "done", number=number, account=f"'{account}'",
                             cost="0.02" if account == "main" else "0.05")  # fmt: skip
        state = dice.choice(["succeeded", "failed"])
        database.sql("UPDATE jobs SET state = :state, finished_at = clock_timestamp() WHERE id = :id",
                     state=state, id=job.id)  # fmt: skip


def _may_spend(database: Database, job: str, cost: Decimal) -> bool:
    """Whether the job's batch has room under its limit, as `begin` checks it."""
    (row,) = database.sql(
        "SELECT b.max_cost, coalesce((SELECT sum(cost) FROM attempts JOIN jobs o ON o.id = attempts.job_id"
        " WHERE o.batch_id = b.id), 0) AS spent FROM batches b JOIN jobs j ON j.batch_id = b.id WHERE j.id = :id",
        id=job,
    )  # fmt: skip
    return row.max_cost is None or row.spent + cost <= row.max_cost


def within(database: Database) -> None:
    """Hold what was paid to what was quoted, and that to the limit of the day."""
    paid = database.one("SELECT coalesce(sum(cost), 0) FROM attempts")
    ceilings = database.one("SELECT coalesce(sum(ceiling), 0) FROM quotes WHERE used_at IS NOT NULL")
    (row,) = database.sql("SELECT spent, spend_per_day FROM tokens")
    assert paid <= ceilings == row.spent <= row.spend_per_day == LIMIT
