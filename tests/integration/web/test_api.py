"""The API over HTTP: who gets in, what each role may, what is read, changed and paid for, and how it refuses."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from desk import audit, tokens
from models.people import Role
from tests.integration.desk.pictures import made, results
from tests.integration.web.asking import ROOT, ROWS, Program, chosen, problem, token
from tests.words import unsaid
from web import guesses
from web.api import bodies
from web.api.openapi import document
from web.app import build
from workers.config.settings import Settings
from workers.maintenance import sweep
from workers.operations.forget import Person, forget

if TYPE_CHECKING:
    from tests.integration.database import Cluster, Database, RuntimeFactory

pytest_plugins = ["tests.integration.database", "tests.integration.web.programs"]

CSV = "key,kind,source,target\n" + "".join(
    f"{row['key']},swap,{row['source']},{row['target']}\n" for row in ROWS
)  # fmt: skip
PLAN = {"name": "spring", "rows": ROWS}
PRICE, AT_MOST = "0.06", "0.12"


@pytest.fixture
def operator(database: Database, there: Settings) -> Iterator[Program]:
    with Program(build(there), token(database, "shop", Role.OPERATOR)) as program:
        yield program


def program(database: Database, there: Settings, role: Role, **more: Any) -> Program:
    return Program(build(there), token(database, f"other {role}", role, **more))


def plan(operator: Program, **more: Any) -> Any:
    answer = operator.ask("POST", "/plans", PLAN | more)
    assert answer.status_code == 200, answer.text
    return answer.json()


# --- Tokens -------------------------------------------------------------------------------------------------------


def test_only_a_token_that_is_known_gets_in(database: Database, there: Settings, operator: Program) -> None:
    assert operator.get("/batches") == {"items": [], "next": None}
    kept = str(database.sql("SELECT * FROM tokens"))
    assert operator._headers["Authorization"].partition(" ")[2] not in kept
    (digest,) = database.sql("SELECT digest FROM tokens")
    for shown in (None, "recast_wrong", digest.digest, "é"):
        headers = {} if shown is None else {"Authorization": f"Bearer {shown}".encode()}
        with Program(build(there), None) as stranger:
            answer = stranger.ask("GET", "/batches", headers=headers)
        problem(answer, 401, "Authorization", "Bearer")
        assert answer.headers["www-authenticate"].startswith("Bearer")
    database.run(tokens.revoke, ROOT, "SHOP")
    problem(operator.ask("GET", "/batches"), 401)
    with pytest.raises(tokens.TokenError):
        database.run(tokens.revoke, ROOT, "shop")


def test_guesses_wait_in_the_slow_lane(
    database: Database, there: Settings, operator: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong: list[None] = []
    turns: list[str] = []
    monkeypatch.setattr(guesses.GuessLimiter, "was_wrong", lambda _: wrong.append(None))

    async def turn(_: Any, request: Any) -> None:
        turns.append(request.url.path)

    monkeypatch.setattr(guesses.GuessLimiter, "turn", turn)
    with Program(build(there), "recast_guess") as stranger:
        stranger.ask("GET", "/batches")
    assert (len(wrong), turns) == (1, ["/api/v1/batches"])


def test_a_cookie_or_a_password_opens_nothing(database: Database, tmp_path: Path) -> None:
    there = chosen(database, tmp_path).model_copy(update={"web_auth": None})
    with Program(build(there), None) as stranger:
        stranger._client.cookies.set("recast_session", "anything")
        problem(stranger.ask("GET", "/batches", headers={"Authorization": "Basic cmVjYXN0OnNlY3JldA=="}), 401)


def test_each_role_may_what_it_may_on_the_pages(database: Database, there: Settings) -> None:
    batch = made(database, 1)
    (result,) = results(database, batch)
    verdict = {"verdict": "approved", "based_on": 0}
    with program(database, there, Role.VIEWER) as viewer:
        for path in (
            "/batches",
            "/batches/spring",
            "/batches/spring/jobs",
            "/batches/spring/results",
            "/jobs",
            "/jobs/job-00000",
        ):
            text = viewer.ask("GET", path).text
            assert [word for word in ("USD", "zhiqite", "main", "0.02", "example.com") if word in text] == []
        lists = [f"{path}?{name}=x" for path in ("/batches/spring/jobs", "/jobs") for name in ("account", "operation")]
        for path in ("/accounts", "/spend", "/schedules", *lists):
            problem(viewer.ask("GET", path), 403, "viewer", "reviewer")
        problem(viewer.ask("PUT", f"/results/{result}/verdict", verdict), 403, "viewer", "reviewer")
    with program(database, there, Role.REVIEWER) as reviewer:
        assert reviewer.get("/batches/spring/jobs")["items"][0]["account"] == "main"
        assert reviewer.ask("PUT", f"/results/{result}/verdict", verdict).status_code == 200
        for method, path, body in (
            ("POST", "/bulk/cancel", {"filter": {"batch": "spring"}}), ("PATCH", "/accounts/main", {"stopped": True}),
            ("POST", "/plans", PLAN), ("POST", "/runs", {"quote": "x"}),
            ("POST", "/bulk/retry", {"filter": {"batch": "spring"}, "dry_run": True}),
        ):  # fmt: skip
            problem(reviewer.ask(method, path, body), 403, "reviewer", "operator")


# --- Reading ------------------------------------------------------------------------------------------------------


def test_batches_are_found_and_paged(database: Database, operator: Program) -> None:
    for name in ("spring a", "Spring b", "autumn"):
        database.batch(name)
    page = operator.get("/batches?search=SPRING&limit=1")
    assert [each["batch"] for each in page["items"]] == ["Spring b"]
    last = operator.get(f"/batches?search=spring&limit=1&after={page['next']}")
    assert ([each["batch"] for each in last["items"]], last["next"]) == (["spring a"], None)


def test_a_batch_says_its_numbers_and_why_it_does_not_go_on(database: Database, operator: Program) -> None:
    batch = made(database, 2)
    database.jobs(3, batch=batch)
    database.sql("UPDATE batches SET paused_at = now(), paused_reason = 'person'")
    found = operator.get("/batches/spring")
    assert (found["made"], found["needs_you"], found["rejected"], found["waiting"]) == (2, 0, 0, 3)
    assert found["review"]["unreviewed"] == 2
    assert unsaid(found["obstacles"][0], "paused", "recast resume --batch spring") == []
    problem(operator.ask("GET", "/batches/sprin"), 404, "sprin", "spring")


def test_jobs_that_came_one_by_one_have_a_list(database: Database, operator: Program) -> None:
    made(database, 2)
    queued, failed = database.jobs(3), database.jobs(1, state="failed")
    first = operator.get("/jobs?limit=3")
    assert [each["id"] for each in first["items"]] == [*failed, queued[2], queued[1]]
    last = operator.get(f"/jobs?limit=3&after={first['next']}")
    assert ([each["id"] for each in last["items"]], last["next"]) == ([queued[0]], None)
    assert [each["id"] for each in operator.get("/jobs?state=failed")["items"]] == failed


def test_jobs_and_results_are_paged_without_gaps(database: Database, operator: Program) -> None:
    batch = made(database, 5, pictures=2)
    database.jobs(2, batch=batch, state="failed", reason="timed_out")
    for path, number in (("jobs", 7), ("results", 10)):
        seen, after = [], ""
        while True:
            page = operator.get(f"/batches/spring/{path}?limit=3{after}")
            seen += [each["id"] for each in page["items"]]
            if page["next"] is None:
                break
            after = f"&after={page['next']}"
        assert (len(seen), len(set(seen))) == (number, number)
        problem(operator.ask("GET", f"/batches/spring/{path}?after=999"), 422, "after", "999", "begin anew")
    other = database.jobs(1)[0]
    problem(operator.ask("GET", f"/batches/spring/jobs?after={other}"), 422, "after", other)
    failed = operator.get("/batches/spring/jobs?state=failed&state=held&reason=timed_out&older=0s")
    assert len(failed["items"]) == 2
    assert operator.get("/batches/spring/jobs?newer=1h&account=main")["next"] is None


def test_spend_adds_up_however_it_is_summed(database: Database, operator: Program) -> None:
    made(database, 2, cost="0.02")
    found = operator.get("/spend?by=operation")
    assert found["rows"] == [{"operation": "zhiqite.swap", "spent": {"amount": "0.04", "currency": "USD"}}]
    for by in ("account", "batch", "label", "month"):
        assert operator.get(f"/spend?by={by}")["by"] == by
    assert operator.get("/accounts")["items"][0]["account"] == "main"
    assert operator.get("/schedules") == {"items": []}


# --- What costs nothing -------------------------------------------------------------------------------------------


def test_a_verdict_names_the_one_it_was_based_on(database: Database, operator: Program) -> None:
    (result,) = results(database, made(database, 1))
    path = f"/results/{result}/verdict"
    wrong = {"verdict": "needs_work", "reasons": ["hair"], "note": "dark", "based_on": 0}
    first = operator.ask("PUT", path, wrong | {"area": {"x": 0.1, "y": 0.1, "width": 0.2, "height": 0.2}})
    assert first.json()["job_verdict"] == "needs_work"
    current = problem(operator.ask("PUT", path, {"verdict": "approved", "based_on": 0}), 409)["current"]
    assert (current["verdict"], current["reviewer"]) == ("needs_work", "token shop")
    again = operator.ask("PUT", path, {"verdict": "approved", "based_on": current["verdict_id"]})
    assert again.status_code == 200
    problem(operator.ask("PUT", path, wrong | {"reasons": ["ugly"]}), 422, "reason", "ugly", "hair")
    problem(operator.ask("PUT", "/results/99/verdict", wrong), 404)
    (entry, *_) = database.run(audit.latest, 1)
    assert (entry.person, entry.via, entry.action) == ("token shop", "api", "judge")


def test_jobs_are_canceled_paused_and_resumed(database: Database, operator: Program) -> None:
    batch = database.batch("spring")
    database.jobs(3, batch=batch)
    asked = {"filter": {"batch": "spring"}}
    dry = operator.ask("POST", "/bulk/cancel", asked | {"dry_run": True}).json()
    assert (dry["jobs"], dry["done"], dry["cost"]["amount"]) == (3, 0, AT_MOST)
    assert operator.ask("POST", "/bulk/pause", asked).json()["batches"] == 1
    assert operator.get("/batches/spring")["paused"] == "person"
    assert operator.ask("POST", "/bulk/resume", asked).json()["batches"] == 1
    one = {"filter": {"jobs": ["spring/job-00001"]}}
    assert operator.ask("POST", "/bulk/cancel", one).json()["done"] == 1
    assert database.counts(batch) == {"queued": 2, "canceled": 1}
    problem(operator.ask("POST", "/bulk/cancel", {"filter": {}}), 422, "filter", "batch", "all")
    problem(operator.ask("POST", "/bulk/cancel", {"filter": {"batch": "autumn"}}), 404, "autumn")
    said = [(entry.action, entry.subject) for entry in database.run(audit.latest, 4)]
    assert said[:3] == [("cancel", "jobs"), ("resume", "batch spring"), ("pause", "batch spring")]


def test_an_account_is_stopped_started_and_limited(database: Database, operator: Program) -> None:
    stopped = operator.ask("PATCH", "/accounts/main", {"stopped": True, "note": "too dear"}).json()
    assert (stopped["open"], stopped["closed_note"], stopped["closed_seconds"]) == (False, "too dear", None)
    limits = {"max_in_flight": 5, "rate": "30/min"}
    changed = operator.ask("PATCH", "/accounts/main", {"stopped": False, "limits": limits}).json()
    assert (changed["open"], changed["max_in_flight"], changed["overridden_by"]) == (True, 5, "token shop")
    assert operator.ask("PATCH", "/accounts/main", {"reset": True}).json()["overrides"] == {}
    problem(operator.ask("PATCH", "/accounts/main", {"limits": {"speed": 1}}), 422, "speed", "max_in_flight")
    problem(operator.ask("PATCH", "/accounts/main", {"limits": {"max_in_flight": 0}, "stopped": True}), 422)
    assert operator.get("/accounts")["items"][0]["open"] is True, "all or nothing"
    problem(operator.ask("PATCH", "/accounts/nobody", {"stopped": True}), 404, "nobody", "main")
    problem(operator.ask("PATCH", "/accounts/main", {"note": "x"}), 422, "stopped")


# --- What is paid for ---------------------------------------------------------------------------------------------


def test_a_quote_is_run_as_it_was_given(database: Database, operator: Program) -> None:
    found = plan(operator)
    assert (found["queued"], found["cost"]["likely"]["amount"]) == (3, PRICE)
    assert found["cost"]["cheapest"] == found["cost"]["dearest"]
    assert found["prices"] == [
        {"operation": "zhiqite.swap", "account": "main", "price": {"amount": "0.02", "currency": "USD"}}
    ]
    assert found["quote"]["ceiling"]["amount"] == AT_MOST
    assert database.one("SELECT count(*) FROM jobs") == 0
    run = operator.ask("POST", "/runs", {"quote": found["quote"]["quote"]})
    assert (run.status_code, run.json()["queued"]) == (201, 3)
    assert operator.get("/batches/spring")["max_cost"]["amount"] == AT_MOST
    problem(operator.ask("POST", "/runs", {"quote": found["quote"]["quote"]}), 409, "spring")
    assert database.one("SELECT count(*) FROM jobs") == 3
    assert database.one("SELECT count(*) FROM quotes WHERE content IS NOT NULL") == 0
    (entry, *_) = database.run(audit.latest, 1)
    assert (entry.person, entry.action, entry.subject) == ("token shop", "run", "batch spring")
    assert plan(operator)["quote"] is None, "everything is queued"


def test_a_file_is_planned_as_its_rows_are(operator: Program) -> None:
    for name, kind in (("spring.csv", "text/csv"), ("spring.jsonl", "application/json")):
        content = CSV if name.endswith("csv") else "\n".join(map(json.dumps, ROWS))
        files = {"catalog": (name, content.encode(), kind)}
        answer = operator.ask("POST", "/plans", files=files, data={"options": '{"label": "new", "max_cost": "0.05"}'})
        found = answer.json()
        assert (found["batch"], found["queued"], found["quote"]["ceiling"]["amount"]) == ("spring", 3, "0.05")
    problem(operator.ask("POST", "/plans", files={"catalog": ("spring.doc", b"x")}), 422, "doc", "csv")
    problem(operator.ask("POST", "/plans", files={"file": ("spring.csv", b"x")}), 422, "catalog")
    broken = problem(operator.ask("POST", "/plans", files={"catalog": ("a.csv.gz", b"\x1f\x8bno")}), 422, "a.csv.gz")
    assert "catalog.csv" not in json.dumps(broken)
    wrong = CSV + "9,paint,a,b\n"
    found = problem(operator.ask("POST", "/plans", files={"catalog": ("a.csv", wrong.encode())}), 422, "paint", "swap")
    assert (found["total"] >= 1, found["mistakes"][0]["line"]) == (True, 5)


@pytest.mark.parametrize(
    ("change", "facts"),
    [
        ("UPDATE quotes SET expires_at = now() - interval '1 second'", ("expired",)),
        ("UPDATE quotes SET terms = jsonb_set(terms, '{at_most}', '\"0.01\"')", ("changed",)),
        ("UPDATE quotes SET terms = jsonb_set(terms, '{which}', '2')", ("3",)),
    ],
)
def test_what_is_not_as_it_was_quoted_is_not_run(
    database: Database, operator: Program, change: str, facts: tuple[str, ...]
) -> None:
    quote = plan(operator)["quote"]["quote"]
    database.sql(change)
    problem(operator.ask("POST", "/runs", {"quote": quote}), 409, *facts)
    assert database.one("SELECT count(*) FROM jobs") == 0
    assert database.one("SELECT count(*) FROM quotes WHERE used_at IS NOT NULL") == 0
    assert database.one("SELECT sum(spent) FROM tokens") == 0


def test_a_run_queues_those_rows_that_were_quoted(database: Database, operator: Program) -> None:
    operator.ask("POST", "/runs", {"quote": plan(operator)["quote"]["quote"]})
    one, other, _ = (row.id for row in database.sql("SELECT id FROM jobs ORDER BY key"))
    database.sql("UPDATE jobs SET state = 'failed' WHERE id = :id", id=one)
    quoted = plan(operator)
    assert (quoted["queued"], quoted["verdicts"]["retried"]) == (1, 1)
    database.sql("UPDATE jobs SET state = CASE id WHEN :other THEN 'failed' ELSE 'queued' END", other=other)
    problem(operator.ask("POST", "/runs", {"quote": quoted["quote"]["quote"]}), 409, "changed")
    assert database.one("SELECT state FROM jobs WHERE id = :id", id=other) == "failed", "as many, but not the same"
    again = plan(operator)
    assert again["quote"]["ceiling"] == quoted["quote"]["ceiling"]
    assert operator.ask("POST", "/runs", {"quote": again["quote"]["quote"]}).json()["retried"] == 1


def test_a_quote_belongs_to_its_token_and_its_kind(database: Database, there: Settings, operator: Program) -> None:
    quote = plan(operator)["quote"]["quote"]
    with program(database, there, Role.OPERATOR) as other:
        problem(other.ask("POST", "/runs", {"quote": quote}), 422, "quote", quote)
    problem(operator.ask("POST", "/bulk/retry", {"quote": quote}), 422, "quote", quote)


def test_a_batch_that_has_a_limit_keeps_it(database: Database, operator: Program) -> None:
    database.batch("spring", max_cost="0.05")
    found = plan(operator)
    assert found["quote"]["ceiling"]["amount"] == "0.05"
    operator.ask("POST", "/runs", {"quote": found["quote"]["quote"]})
    assert operator.get("/batches/spring")["max_cost"]["amount"] == "0.05"


def test_jobs_that_wait_already_keep_their_money(database: Database, operator: Program) -> None:
    database.account()
    database.jobs(2, batch=database.batch("spring"))
    operator.ask("POST", "/runs", {"quote": plan(operator)["quote"]["quote"]})
    assert operator.get("/batches/spring")["max_cost"]["amount"] == "0.2", "three quoted, and two that waited"


def test_a_token_commits_no_more_than_it_may_in_a_day_however_many_ask_at_once(
    database: Database, there: Settings
) -> None:
    shown = token(database, "poor", Role.OPERATOR, Decimal("0.30"))
    with Program(build(there), shown) as poor:
        quotes = [plan(poor, name=f"batch {number}")["quote"]["quote"] for number in range(6)]

    def take(quote: str) -> int:
        with Program(build(there), shown) as one:
            return one.ask("POST", "/runs", {"quote": quote}).status_code

    with ThreadPoolExecutor(6) as pool:
        statuses = sorted(pool.map(take, quotes))
    assert statuses == [201, 201, 403, 403, 403, 403]
    assert database.one("SELECT spent FROM tokens") == Decimal("0.24")
    assert database.one("SELECT count(*) FROM jobs") == 6
    database.sql("UPDATE tokens SET spent_on = spent_on - 1")
    refused = [quote for quote in quotes if database.one("SELECT used_at IS NULL FROM quotes WHERE id = :id", id=quote)]
    assert take(refused[0]) == 201, "another day"


def test_one_quote_is_taken_once_however_many_take_it_at_once(
    database: Database, there: Settings, operator: Program
) -> None:
    quote, shown = plan(operator)["quote"]["quote"], operator._headers["Authorization"].partition(" ")[2]

    def take(_: int) -> int:
        with Program(build(there), shown) as one:
            return one.ask("POST", "/runs", {"quote": quote}).status_code

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(take, range(4))) == [201, 409, 409, 409]
    assert database.one("SELECT count(*) FROM jobs") == 3
    assert database.one("SELECT sum(spent) FROM tokens") == Decimal(AT_MOST)


def test_jobs_are_queued_again_by_quote_only(database: Database, operator: Program) -> None:
    batch = database.batch("spring")
    database.account()
    database.jobs(2, batch=batch, state="failed", reason="timed_out")
    asked = {"filter": {"batch": "spring"}}
    problem(operator.ask("POST", "/bulk/retry", asked), 422, "quote", "dry_run")
    found = operator.ask("POST", "/bulk/retry", asked | {"dry_run": True}).json()
    assert (found["jobs"], found["quote"]["ceiling"]["amount"]) == (2, "0.08")
    assert database.counts(batch) == {"failed": 2}
    taken = operator.ask("POST", "/bulk/retry", {"quote": found["quote"]["quote"]})
    assert taken.json()["done"] == 2
    assert database.counts(batch) == {"queued": 2}
    late = database.jobs(1, batch=batch, state="failed", reason="timed_out")
    other = operator.ask("POST", "/bulk/retry", asked | {"dry_run": True}).json()
    database.sql("UPDATE jobs SET state = 'queued' WHERE id = :job", job=late[0])
    before = database.one("SELECT sum(spent) FROM tokens")
    problem(operator.ask("POST", "/bulk/retry", {"quote": other["quote"]["quote"]}), 409, "queued")
    assert database.one("SELECT sum(spent) FROM tokens") == before, "nothing was done, and nothing counts"
    problem(operator.ask("POST", "/bulk/retry", {"quote": found["quote"]["quote"]}), 409)
    assert operator.ask("POST", "/bulk/retry", asked | {"dry_run": True}).json()["quote"] is None
    # What was queued again and canceled by a person since is not what was quoted.
    database.jobs(2, batch=batch, state="failed", reason="timed_out")
    third = operator.ask("POST", "/bulk/retry", asked | {"dry_run": True}).json()
    one = database.one("SELECT max(id) FROM jobs")
    database.sql(
        "UPDATE jobs SET state = 'canceled', reason = 'canceled', finished_at = now() WHERE id = :job", job=one
    )
    taken = operator.ask("POST", "/bulk/retry", {"quote": third["quote"]["quote"]}).json()
    assert (third["jobs"], taken["jobs"], taken["done"]) == (2, 1, 1)
    assert database.one("SELECT state FROM jobs WHERE id = :job", job=one) == "canceled"
    wrong = {"filter": {"batch": "spring", "state": ["queued"]}, "dry_run": True}
    problem(operator.ask("POST", "/bulk/retry", wrong), 422, "state", "queued", "failed")


# --- Repeated requests, and those that are refused ----------------------------------------------------------------


def test_a_request_that_comes_again_is_answered_as_before(database: Database, operator: Program) -> None:
    body = {"quote": plan(operator)["quote"]["quote"]}
    headers = {"Idempotency-Key": "one"}
    first = operator.ask("POST", "/runs", body, headers=headers)
    again = operator.ask("POST", "/runs", body, headers=headers)
    assert (first.status_code, again.status_code, first.text) == (201, 201, again.text)
    other = operator.ask("POST", "/runs", {"quote": "another"}, headers=headers)
    problem(other, 422, "Idempotency-Key", "one")
    files = {"catalog": ("a.csv", CSV.encode())}
    plans = [operator.ask("POST", "/plans", files=files, headers={"Idempotency-Key": "two"}) for _ in range(2)]
    assert plans[0].json() == plans[1].json(), "a form that is sent again has another boundary"
    refused = [operator.ask("POST", "/runs", {"quote": "x"}, headers={"Idempotency-Key": "3"}) for _ in range(2)]
    assert refused[0].text == refused[1].text
    database.sql("UPDATE kept_answers SET created_at = now() - interval '25 hours'")
    problem(operator.ask("POST", "/runs", body, headers=headers), 409)
    database.sql("UPDATE kept_answers SET status = NULL")
    problem(operator.ask("POST", "/runs", body, headers=headers), 409)
    problem(operator.ask("POST", "/runs", body, headers={"Idempotency-Key": "a b"}), 422, "Idempotency-Key")


def test_what_nobody_asks_for_again_is_removed(database: Database, operator: Program) -> None:
    quote = plan(operator)["quote"]["quote"]
    operator.ask("POST", "/runs", {"quote": "x"}, headers={"Idempotency-Key": "one"})
    assert database.run(sweep._remove_leftovers) == 0
    database.sql("UPDATE quotes SET expires_at = now() - interval '1 second'")
    assert database.run(sweep._remove_leftovers) == 1
    assert database.one("SELECT content IS NULL FROM quotes WHERE id = :id", id=quote), "a catalog is not kept"
    database.sql("UPDATE quotes SET expires_at = now() - interval '25 hours'")
    database.sql("UPDATE kept_answers SET created_at = now() - interval '25 hours'")
    assert database.run(sweep._remove_leftovers) == 2
    assert database.one("SELECT count(*) FROM kept_answers") == 0


def test_whatever_a_program_sends_is_no_defect(operator: Program) -> None:
    deep = [b"[" * depth + b"]" * depth for depth in (100, 300, 900, 990, 5_000)]
    for nested in deep:
        row = b'{"name": "a", "rows": [{"key": "1", "extra": ' + nested + b"}]}"
        for path in ("/plans", "/runs"):
            answer = operator.ask("POST", path, content=row, headers={"Content-Type": "application/json"})
            assert answer.status_code in {400, 422}
    odd = ROWS[0] | {"note": "a\u2028b\x85c\n\td \U0001f600"}
    assert plan(operator, rows=[odd])["queued"] == 1
    for name in ("a\0.csv", "../../\u202ea.csv", "\\\\x\\a.csv", ".csv", "é" * 300 + ".csv", "a.csv.exe.csv"):
        answer = operator.ask("POST", "/plans", files={"catalog": (name, CSV.encode())})
        assert answer.status_code in {200, 400, 422}
    large = operator.ask("POST", "/plans", files={"catalog": ("a.csv", CSV.encode() + b" " * bodies.MAX_CATALOG_BYTES)})
    problem(large, 413, f"{bodies.MAX_CATALOG_BYTES:,}")
    for field in ({"options": "{"}, {"options": "[]"}, {"name": "\0"}, {"name": ""}, {"color": "red"}):
        answer = operator.ask("POST", "/plans", files={"catalog": ("a.csv", CSV.encode())}, data=field)
        assert answer.status_code in {400, 422}


def test_forgetting_a_person_leaves_no_catalog_behind(
    database: Database, operator: Program, make_runtime: RuntimeFactory
) -> None:
    quote = plan(operator)["quote"]["quote"]
    operator.ask("POST", "/plans", PLAN, headers={"Idempotency-Key": "one"})
    forget(make_runtime(), Person(uris=["https://example.com/a.jpg"]))
    assert database.one("SELECT count(*) FROM quotes") == database.one("SELECT count(*) FROM kept_answers") == 0
    problem(operator.ask("POST", "/runs", {"quote": quote}), 422, "quote")


REFUSED: list[tuple[str, str, bytes, str | None, int, tuple[str, ...]]] = [
    ("GET", "", b"", None, 404, ("openapi.json",)),
    ("GET", "/nothing", b"", None, 404, ("/nothing",)),
    ("GET", "/batches/%00", b"", None, 404, ()),
    ("GET", "/batches/a%0Ab/jobs", b"", None, 404, ("status",)),
    ("GET", "/nothing%0A", b"", None, 404, ()),
    ("GET", "/jobs/nobody", b"", None, 404, ("nobody",)),
    ("DELETE", "/batches", b"", None, 405, ("DELETE", "GET")),
    ("GET", "/batches?limit=0", b"", None, 422, ("limit", "0", "1")),
    ("GET", "/batches?color=red", b"", None, 422, ("color",)),
    ("GET", "/batches?limit=1&limit=2", b"", None, 422, ("limit",)),
    ("GET", "/batches?search=%00", b"", None, 422, ("search",)),
    ("GET", "/batches/spring/jobs?state=lost", b"", None, 422, ("state", "lost", "queued")),
    ("GET", "/batches/spring/jobs?older=soon", b"", None, 422, ("older", "soon")),
    ("GET", "/spend?month=2026-13", b"", None, 422, ("month", "2026-13")),
    ("POST", "/runs", b"{", "application/json", 400, ("body",)),
    ("POST", "/runs", b"\xff", "application/json", 400, ("body",)),
    ("POST", "/runs", b'{"quote": "\\u0000"}', "application/json", 400, ("body",)),
    ("POST", "/runs", b"[1]", "application/json", 422, ("body",)),
    ("POST", "/runs", b'{"quote": 1}', "application/json", 422, ("quote", "1")),
    ("POST", "/runs", b"quote=1", "application/x-www-form-urlencoded", 415, ("application/json",)),
    ("POST", "/runs", b" " * 70_000, "application/json", 413, ("65,536",)),
    ("POST", "/plans", b"x", "multipart/form-data", 400, ("body",)),
    ("POST", "/plans", b'{"name": "a", "rows": []}', "application/json", 422, ("rows",)),
]


def test_what_is_refused_says_why(operator: Program) -> None:
    for method, path, content, kind, status, facts in REFUSED:
        headers = {} if kind is None else {"Content-Type": kind}
        answer = operator.ask(method, path, content=content, headers=headers)
        problem(answer, status, *facts)
        assert answer.headers["content-type"] == "application/problem+json"
        assert status != 405 or answer.headers["allow"] == "GET"


def test_a_database_that_is_away_is_said(cluster: Cluster, database: Database, operator: Program) -> None:
    with cluster.away(database.url):
        problem(operator.ask("GET", "/batches"), 503)


def test_the_document_is_made_once_however_often_anybody_asks() -> None:
    first, second = document("/one"), document("/two")
    assert first["paths"] is second["paths"]
    assert [each["servers"][0]["url"] for each in (first, second)] == ["/one/api/v1", "/two/api/v1"]
