"""Slices of pumps on a real database: leases, time to write, and outcomes that survive the database's absence."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session
from structlog.testing import capture_logs

from models.identity import client_reference
from tests.http import Request, Response, mock_client
from tests.stack import wait_for
from tests.words import unsaid
from workers.accounts import admission
from workers.accounts.latency import Latencies
from workers.config.settings import MAX_COUNTDOWN_SECONDS
from workers.engine import leases, poll, submit
from workers.engine.poll import PollPump
from workers.engine.runner import run
from workers.engine.runtime import Runtime
from workers.engine.slice import Slice
from workers.engine.submit import BLOCKED_RETRY_SECONDS, SubmitPump
from workers.engine.wake import awake
from workers.http.client import HttpClient
from workers.http.exchange import clock
from workers.http.ssrf import Guard

if TYPE_CHECKING:
    from tests.integration.database import Cluster, Database, Messages, RuntimeFactory

pytest_plugins = ["tests.integration.database"]

PROMPT = {"slice_seconds": 3.0}


class Provider:
    """Zhiqite at the other end of a transport: takes every submission, and remembers it."""

    def __init__(self) -> None:
        self.submissions: list[str] = []
        self.on_submission: Callable[[], object] = lambda: None

    def __call__(self, request: Request) -> Response:
        self.submissions.append(json.loads(request.content)["businessTaskId"])
        self.on_submission()
        return Response(200, json={"code": "200", "msg": "success", "data": {"status": 0, "taskId": 7}})


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> Provider:
    """What every account's requests reach."""
    made = Provider()

    def build_client(guard: Guard, *, max_connections: int) -> HttpClient:
        assert max_connections > 0
        return mock_client(made, guard)

    monkeypatch.setattr("workers.engine.runtime.build_client", build_client)
    monkeypatch.setattr("workers.engine.slice.PATIENCE_SECONDS", 0.05)
    return made


class Idle:
    """A pump that has nothing to do, and says when it wants to run again."""

    name = "submit:main"

    def __init__(self, next_in: float | None, meanwhile: Callable[[], object] = lambda: None) -> None:
        self._next_in, self._meanwhile = next_in, meanwhile
        self.slices: list[Slice] = []

    async def run(self, turn: Slice) -> None:
        self.slices.append(turn)
        self._meanwhile()

    def next_in(self, session: Session) -> float | None:
        del session
        return self._next_in


# --- Leases --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("next_in", "message"),
    [(None, None), (0.0, (0.0, 1)), (20.0, (20.0, 1)), (MAX_COUNTDOWN_SECONDS + 1.0, None)],
)
def test_the_end_of_a_slice(
    database: Database, make_runtime: RuntimeFactory, next_in: float | None, message: tuple[float, int] | None
) -> None:
    assert run(make_runtime(), Idle(next_in), None) == message

    (lease,) = database.sql("SELECT *, extract(epoch FROM wake_at - clock_timestamp())::float8 AS wakes_in FROM leases")
    assert (lease.owner, lease.until, lease.generation) == (None, None, 1)
    # A sleep too long for a message stays a row, for the sweep.
    assert lease.wakes_in == (None if next_in is None else pytest.approx(next_in, abs=5))


def test_a_message_that_is_not_wanted_any_more_does_nothing(database: Database, make_runtime: RuntimeFactory) -> None:
    runtime, idle = make_runtime(), Idle(1.0)
    assert run(runtime, idle, None) == (1.0, 1)

    assert run(runtime, idle, 0) is None
    held = database.run(leases.acquire, idle.name, "another worker", None)
    assert held is not None
    assert run(runtime, idle, None) is None
    assert run(runtime, idle, 1) is None
    assert len(idle.slices) == 1


def test_a_pump_that_lost_its_lease_sends_no_message(database: Database, make_runtime: RuntimeFactory) -> None:
    def taken_over() -> None:
        database.sql("UPDATE leases SET owner = 'another worker'")

    assert run(make_runtime(), Idle(1.0, taken_over), None) is None
    assert database.one("SELECT owner FROM leases") == "another worker"


def test_a_slice_that_fails_leaves_its_lease_to_run_out(database: Database, make_runtime: RuntimeFactory) -> None:
    def fail() -> None:
        raise ZeroDivisionError

    runtime = make_runtime()
    with pytest.raises(ZeroDivisionError):
        run(runtime, Idle(1.0, fail), None)

    assert database.one("SELECT until > now() FROM leases"), "the sweep wakes the pump when it is over"
    assert runtime.active == {}


# --- Submitting ----------------------------------------------------------------------------------------------------


def test_a_slice_submits_what_is_queued(
    database: Database, make_runtime: RuntimeFactory, provider: Provider, messages: Messages
) -> None:
    runtime = make_runtime(PROMPT)
    ids = database.jobs(40, batch=(batch := database.batch()))
    assert run(runtime, SubmitPump(runtime, "main"), None) == (BLOCKED_RETRY_SECONDS, 1)

    assert sorted(provider.submissions) == sorted(str(client_reference(job, 1)) for job in ids[:32])
    assert database.counts(batch) == {"running": 32, "queued": 8}
    assert database.one("SELECT count(*) FROM attempts WHERE state = 'running' AND next_poll_at > now()") == 32
    assert "poll:main" in messages.pumps


def slow_begin(database: Database, runtime: Runtime, seconds: float) -> None:
    """Run a slice whose commit waits for another transaction until its time to write is over."""
    with database.sessions.begin() as other:
        other.execute(text("SELECT 1 FROM accounts FOR UPDATE"))
        slice_ = database.aside(run, runtime, SubmitPump(runtime, "main"), None)
        database.wait_for_a_waiter()
        too_late = clock() + seconds
        wait_for(lambda: clock() > too_late, every=0.01)
    slice_.result(60)


def test_a_submission_that_was_held_up_for_too_long_is_never_sent(
    database: Database, make_runtime: RuntimeFactory, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = make_runtime({"slice_seconds": 0.1}, main={"prices": {"swap": "1 USD"}})
    (job,) = database.jobs(1)
    # Given a worker that is held up between beginning an attempt and writing its bytes
    with monkeypatch.context() as patch:
        patch.setattr(submit, "WRITE_SECONDS", 0.2)
        slow_begin(database, runtime, 0.2)

    # Then nothing was sent, and nothing is paid
    assert provider.submissions == []
    (attempt,) = database.sql("SELECT * FROM attempts")
    assert (attempt.state, attempt.reason, attempt.send_count) == ("not_sent", "outage", 1)
    assert unsaid(attempt.error, "deadline", "writing") == []
    assert database.one("SELECT state FROM jobs") == "queued"
    assert database.spend() == {"account:main": 0}
    # And the next slice sends the same attempt, under the same reference
    database.sql("UPDATE accounts SET closed_until = NULL")
    run(runtime, SubmitPump(runtime, "main"), None)
    assert provider.submissions == [str(client_reference(job, 1))]
    assert database.one("SELECT send_count FROM attempts") == 2
    assert database.spend() == {"account:main": 1}


@pytest.mark.parametrize("elsewhere", [False, True], ids=["by this worker", "by another one"])
def test_a_slice_plans_by_what_was_learned_since_it_began(
    database: Database, make_runtime: RuntimeFactory, provider: Provider, monkeypatch: pytest.MonkeyPatch,
    elsewhere: bool,
) -> None:  # fmt: skip
    monkeypatch.setattr(submit, "LEARN_SECONDS", 0.0)
    monkeypatch.setattr("workers.engine.slice.PATIENCE_SECONDS", 20.0)
    runtime, learned = make_runtime({"slice_seconds": 20.0}), Latencies()
    for _ in range(30):
        learned.learn("zhiqite.swap", since=29.0, age=30.0)

    def look_at_one_more() -> float:
        (job,) = database.jobs(1)
        runtime.on_loop(awake(runtime, "submit:main"))
        look = "SELECT max(extract(epoch FROM next_poll_at - accepted_at)::float8) FROM attempts WHERE job_id = :job"
        wait_for(lambda: database.one(look, job=job))
        return float(database.one(look, job=job))

    database.account()
    slice_ = database.aside(run, runtime, SubmitPump(runtime, "main"), None)
    wait_for(lambda: runtime.active)
    try:
        assert look_at_one_more() < 10, "nobody knows better when the slice begins"
        # When somebody learns how long it takes, here or at another worker, and the poll pump's own slice is over
        if elsewhere:
            database.run(admission.keep_latencies, "main", learned)
        else:
            runtime.latencies["main"] = learned
            assert 14 < look_at_one_more() < 34
            del runtime.latencies["main"]
        assert 14 < look_at_one_more() < 34
    finally:
        runtime.stopping.set()
        runtime.on_loop(awake(runtime, "submit:main"))
        slice_.result(30)
    assert len(provider.submissions) == (2 if elsewhere else 3)


def test_outcomes_survive_a_database_that_goes_away(
    cluster: Cluster, database: Database, make_runtime: RuntimeFactory, provider: Provider
) -> None:
    runtime = make_runtime(PROMPT)
    database.jobs(1)
    absence = ExitStack()
    provider.on_submission = lambda: absence.enter_context(cluster.away(database.url))
    # Given a provider that takes a job just when the database goes away
    with capture_logs() as logs, absence:
        slice_ = database.aside(run, runtime, SubmitPump(runtime, "main"), None)
        wait_for(lambda: [line for line in logs if line["event"] == "outcomes_wait_for_database"])
        assert len(provider.submissions) == 1
    # When it is back, then the outcome is written, although the slice itself may fail for want of a database
    assert isinstance(slice_.exception(60), OperationalError | None)
    database.engine.dispose()

    (attempt,) = database.sql("SELECT * FROM attempts")
    assert (attempt.state, attempt.handle) == ("running", provider.submissions[0])
    assert database.one("SELECT state FROM jobs") == "running"


def test_an_attempt_that_was_not_asked_for_is_asked_for_again(
    database: Database, make_runtime: RuntimeFactory, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a lost submission, and a database that does not answer once about its callbacks
    runtime = make_runtime({"slice_seconds": 2.0})
    (job,) = database.jobs(1, state="running")
    database.attempt(job, "unknown", callback_token="'token'", next_poll_at="clock_timestamp()")
    calls: list[str] = []

    def called_back(_: Session, token: str) -> list[bytes]:
        calls.append(token)
        if len(calls) == 1:
            raise OperationalError("SELECT", {}, ConnectionError("gone"))
        return []

    monkeypatch.setattr(poll, "_called_back", called_back)
    with capture_logs() as logs:
        run(runtime, PollPump(runtime, "main"), None)

    assert len(calls) == 2
    assert [line["attempts"] for line in logs if line["event"] == "not_asked"] == [1]
    assert database.one("SELECT polls + absences FROM attempts") > 0


def test_an_idle_account_with_a_rate_hands_its_slot_back(make_runtime: RuntimeFactory, provider: Provider) -> None:
    runtime = make_runtime({"slice_seconds": 60.0, "visibility_timeout": 180}, main={"rate": "5/s"})
    started = time.monotonic()
    assert run(runtime, SubmitPump(runtime, "main"), None) is None

    assert time.monotonic() - started < 30, "it did not wait for the end of its slice"
    assert provider.submissions == []


def test_a_worker_that_shuts_down_claims_nothing_more(
    database: Database, make_runtime: RuntimeFactory, provider: Provider
) -> None:
    runtime = make_runtime(PROMPT)
    database.jobs(3)
    runtime.stopping.set()
    run(runtime, SubmitPump(runtime, "main"), None)

    assert provider.submissions == []
    assert database.one("SELECT count(*) FROM jobs WHERE claimed_until IS NULL AND state = 'queued'") == 3
