"""/metrics: numbers of the database in Prometheus' format, whatever has ended, and only for whoever has the token."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

import pytest
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr
from sqlalchemy import event
from starlette.applications import Starlette
from starlette.routing import Route

from models.states import AttemptState, Closure, JobState, Reason
from tests.http import ASGITransport, AsyncClient, Response
from tests.stack import ROOT
from web.metrics import FRESH_SECONDS, Metrics
from workers.accounts import admission
from workers.jobs import counters
from workers.jobs.state_changes import AttemptMove, JobMove
from workers.jobs.transitions import move_attempts, move_jobs
from workers.maintenance.sweep import sweep
from workers.observability.metrics import collect

if TYPE_CHECKING:
    from tests.integration.database import Database, RuntimeFactory

pytest_plugins = ["tests.integration.database"]

TOKEN = "a-token-of-the-monitoring"
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


class Monitor:
    """What scrapes, with a clock of its own."""

    def __init__(self, database: Database, token: str | None = TOKEN) -> None:
        self.now = 0.0
        secret = None if token is None else SecretStr(token)
        metrics = Metrics(database.sessions, secret, "USD", clock=lambda: self.now)
        self._app = Starlette(routes=[Route("/metrics", metrics.show)])

    def ask(self, token: str | None = TOKEN) -> Response:
        async def send() -> Response:
            transport = ASGITransport(self._app)
            headers = {b"authorization": f"Bearer {token}".encode()} if token else {}
            async with AsyncClient(transport=transport, base_url="http://recast") as client:
                return await client.get("/metrics", headers=headers)

        return asyncio.run(send())

    def scrape(self) -> Samples:
        self.now += FRESH_SECONDS
        answer = self.ask()
        assert answer.status_code == 200
        families = text_string_to_metric_families(answer.text)
        return {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in families
            for sample in family.samples
        }


@pytest.fixture
def monitor(database: Database) -> Monitor:
    return Monitor(database)


def of(samples: Samples, name: str, **labels: str) -> float:
    return samples[f"recast_{name}", frozenset(labels.items())]


def test_jobs_accounts_money_and_what_is_late(database: Database, monitor: Monitor) -> None:
    account = database.account("main")
    database.account("other")
    batch = database.batch()
    database.jobs(3, batch=batch, priority=5)
    database.jobs(2, batch=batch, state="failed")
    (old,) = database.jobs(1, batch=batch, priority=-3)
    database.jobs(4)
    database.sql("UPDATE jobs SET created_at = now() - interval '1 h' WHERE id = :id", id=old)
    database.start(account, 2, "0.25")
    database.run(admission.stop, "other", Closure.CREDIT, "no money left")
    database.sql("INSERT INTO leases (name, wake_at) VALUES ('poll:main', now() - interval '90 s'), ('store:0', NULL)")
    database.sql("INSERT INTO announcements (task_id, job_id, canvas) SELECT 't' || id, id, '' FROM jobs")

    seen = monitor.scrape()
    assert of(seen, "jobs", kind="single", state="queued") == 2
    assert of(seen, "jobs", kind="single", state="running") == 2
    assert of(seen, "jobs", kind="catalog", state="queued") == 4
    assert of(seen, "jobs", kind="catalog", state="failed") == 2
    assert 3_600 <= of(seen, "oldest_queued_seconds") < 3_700, "whatever its priority"
    assert of(seen, "in_flight", account="main", state="sending") == 2
    assert of(seen, "in_flight", account="other", state="running") == 0
    assert [labels for name, labels in seen if name == "recast_account_stopped"] == [
        frozenset({"account": "other", "reason": "credit"}.items())
    ]
    assert of(seen, "account_failures", account="main") == 0
    assert of(seen, "spend", account="main", period="day", currency="USD") == 0.5
    assert of(seen, "spend", account="main", period="month", currency="USD") == 0.5
    assert 90 <= of(seen, "pump_lag_seconds", pump="poll:main") < 150
    assert of(seen, "pump_lag_seconds", pump="store:0") == 0
    assert of(seen, "unannounced") == 2, "those that failed"


def test_what_ended_is_counted_by_the_transaction_that_ends_it(database: Database, monitor: Monitor) -> None:
    ids = database.jobs(4, state="running")
    attempts = [database.attempt(job, accepted_at="clock_timestamp() - interval '7 s'", polls="3") for job in ids]
    done = [AttemptMove(attempt, AttemptState.DONE, polled=True) for attempt in attempts[:2]]
    database.run(move_attempts, [*done, AttemptMove(attempts[2], AttemptState.EXPIRED, reason=Reason.TIMED_OUT)])
    database.run(move_attempts, [AttemptMove(attempts[2], AttemptState.EXPIRED, polled=True)])
    database.run(move_jobs, [JobMove(ids[2], JobState.FAILED, Reason.TIMED_OUT)])
    database.run(move_jobs, [JobMove(ids[0], JobState.SAVING), JobMove(ids[1], JobState.SAVING)])
    database.run(move_jobs, [JobMove(ids[0], JobState.SUCCEEDED), JobMove(ids[2], JobState.SUCCEEDED)])

    def undone(session: object) -> None:
        move_jobs(session, [JobMove(ids[1], JobState.SUCCEEDED)])  # type: ignore[arg-type]
        raise LookupError

    with pytest.raises(LookupError):
        database.run(undone)

    seen = monitor.scrape()
    assert of(seen, "jobs_ended_total", state="succeeded", reason="") == 2
    assert of(seen, "jobs_ended_total", state="failed", reason="timed_out") == 1
    place = {"account": "main", "operation": "zhiqite.swap"}
    assert of(seen, "attempts_ended_total", **place, state="done", reason="") == 2
    assert of(seen, "attempts_ended_total", **place, state="expired", reason="timed_out") == 1
    assert of(seen, "polls_count", **place) == 2
    assert of(seen, "polls_sum", **place) == 8
    buckets = {bound: of(seen, "provider_latency_seconds_bucket", **place, le=bound) for bound in ("5", "10", "+Inf")}
    assert {float(bound): number for bound, number in buckets.items()} == {5.0: 0, 10.0: 2, float("inf"): 2}
    assert of(seen, "provider_latency_seconds_count", **place) == 2
    assert 14 <= of(seen, "provider_latency_seconds_sum", **place) < 20


def test_what_the_sweep_found_is_kept(database: Database, make_runtime: RuntimeFactory, monitor: Monitor) -> None:
    runtime = make_runtime()
    sweep(runtime)
    assert not database.sql("SELECT 1 FROM tallies"), "nothing found, nothing written"
    batch = database.batch()
    database.jobs(3, batch=batch, expires_at="2026-01-31T00:00:00Z")
    sweep(runtime)
    sweep(runtime)

    seen = monitor.scrape()
    assert of(seen, "sweep_found_total", rule="expired") == 3, "also those that nobody waits for"
    assert of(seen, "sweep_last_found_timestamp_seconds", rule="expired") > 1_700_000_000


def test_names_from_outside_cannot_break_the_format(database: Database, monitor: Monitor) -> None:
    hostile = 'a"b\\c\n{d="é"}'
    database.run(counters.add, {counters.key(counters.SWEEP_FOUND, rule=hostile): 1.0})
    assert of(monitor.scrape(), "sweep_found_total", rule=hostile) == 1


def test_many_scrapers_cost_one_look(database: Database, monitor: Monitor) -> None:
    before = monitor.scrape()
    database.jobs(1)
    first = monitor.ask().text
    monitor.now += FRESH_SECONDS

    assert of(before, "jobs", kind="single", state="queued") == 0
    assert 'recast_jobs{kind="single",state="queued"} 0.0' in first
    assert 'recast_jobs{kind="single",state="queued"} 1.0' in monitor.ask().text


@pytest.mark.parametrize(
    ("configured", "given", "status"),
    [(None, TOKEN, 404), (TOKEN, None, 401), (TOKEN, "wrong", 401), (TOKEN, "é", 401), (TOKEN, TOKEN, 200)],
)
def test_the_token(database: Database, configured: str | None, given: str | None, status: int) -> None:
    assert Monitor(database, configured).ask(given).status_code == status


def test_a_scrape_does_not_walk_over_what_has_ended(database: Database) -> None:
    database.sql("""
        INSERT INTO jobs (id, kind, lane, batch_id, state, finished_at)
        SELECT 'j' || n, 'swap', 'zhiqite.swap', 0, CASE WHEN n <= 200 THEN 'queued' ELSE 'succeeded' END, now()
        FROM generate_series(1, 30000) AS n
    """)
    database.sql("ANALYZE jobs")
    seen: list[str] = []
    database.run(_explained, seen)

    assert len(seen) > 5
    assert not [plan for plan in seen if re.search(r"Seq Scan on (jobs|attempts)", plan)], seen


def _explained(session: object, seen: list[str]) -> None:
    """Collect, and keep the plan of every statement."""
    connection = session.connection()  # type: ignore[attr-defined]

    def explain(_: object, cursor: object, statement: str, parameters: object, *__: object) -> None:
        with cursor.connection.cursor() as other:  # type: ignore[attr-defined]
            other.execute(f"EXPLAIN {statement}", parameters)
            seen.append("\n".join(row[0] for row in other.fetchall()))

    event.listen(connection, "before_cursor_execute", explain)
    collect(session)  # type: ignore[arg-type]


def test_every_metric_is_documented(database: Database, monitor: Monitor) -> None:
    database.run(counters.add, {counters.key(counters.SWEEP_FOUND, rule="expired"): 1.0})
    documented = set(re.findall(r"^\| `(recast_\w+)", (ROOT / "docs" / "metrics.md").read_text(), re.MULTILINE))
    shown = {family.name for family in text_string_to_metric_families(monitor.ask().text)}

    assert {name.removesuffix("_total") for name in documented} == shown
