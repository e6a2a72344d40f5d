from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel
from sqlalchemy import Engine, create_engine, event, select
from sqlalchemy.pool import StaticPool

import providers
from benchmarks.contestants import SOURCE, TARGET, celery_idiomatic
from benchmarks.processes import ROOT
from benchmarks.provider import Bench, BenchOptions, BenchSettings, register
from benchmarks.table import jobs, metadata
from providers.outcomes import Accepted, Done, Pending, Unanswered, Unclear
from providers.protocol import Endpoint, Provider, Reply
from providers.spec import Input, OpenAttempt, Order
from tests.http import Client, MockTransport, Request, Response
from tests.unit.providers.scripted import ScriptedHttp, always, run

pytestmark = pytest.mark.heavy

REFERENCE = uuid.UUID("5f0c8a52-6f0e-5b6c-9d3c-2f6a6a7d9b11")
#: Bench meets the Protocol, says the type checker.
ADAPTER: type[Provider] = Bench


def reply(body: Any, status: int = 200) -> Reply:
    return Reply(status, {"content-type": "application/json"}, json.dumps(body).encode())


def adapter(answer: Reply) -> tuple[Bench, ScriptedHttp]:
    http = ScriptedHttp(always(answer))
    return Bench(Endpoint("bench", "http://127.0.0.1:1", http, BenchSettings())), http


def submit(answer: Reply) -> tuple[object, Request]:
    bench, http = adapter(answer)
    order = Order(REFERENCE, "bench.make", BenchOptions(), {"source": Input(url=SOURCE), "target": Input(url=TARGET)})
    return run(bench.submit(order, write_before=1.0)), http.requests[0]


def poll(answer: Reply) -> tuple[object, Request]:
    bench, http = adapter(answer)
    found = run(bench.poll([OpenAttempt(REFERENCE, "bench.make", "17")]))
    return found[REFERENCE], http.requests[0]


def test_the_adapter_submits_what_every_contestant_submits() -> None:
    outcome, request = submit(reply({"id": "17"}))
    assert outcome == Accepted("17", b'{"id": "17"}')
    assert (request.method, str(request.url)) == ("POST", "http://127.0.0.1:1/jobs")
    assert json.loads(request.content) == {"reference": str(REFERENCE), "source": SOURCE, "target": TARGET}


def test_a_submission_without_an_id_is_unclear() -> None:
    assert isinstance(submit(reply({}))[0], Unclear)
    assert isinstance(submit(reply({"id": "17"}, 500))[0], Unclear)


def test_the_adapter_polls_by_the_handle() -> None:
    outcome, request = poll(reply({"status": "pending"}))
    assert isinstance(outcome, Pending)
    assert (request.method, str(request.url)) == ("GET", "http://127.0.0.1:1/jobs/17")


def test_a_result_is_done_without_a_file_to_save() -> None:
    outcome, _ = poll(reply({"status": "done", "url": "https://results.example/17.png"}))
    assert isinstance(outcome, Done)
    assert outcome.outputs == ()
    assert outcome.facts == {"url": "https://results.example/17.png"}
    assert not Bench.OPERATIONS["bench.make"].pictures


@pytest.mark.parametrize("answer", [reply({"error": "not found"}, 404), reply({}), reply([])])
def test_any_other_answer_says_nothing_of_the_job(answer: Reply) -> None:
    assert isinstance(poll(answer)[0], Unanswered)


def test_registering_adds_the_stub_and_keeps_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    before = providers.PROVIDERS
    monkeypatch.setattr(providers, "PROVIDERS", before)
    register()
    assert {**before, "bench": Bench} == dict(providers.PROVIDERS)
    assert providers.operation("bench.make") is Bench.OPERATIONS["bench.make"]
    assert "bench" not in before


def test_the_worker_module_gives_recast_the_stub() -> None:
    script = """
from benchmarks.contestants.recast_worker import app
from workers.config.accounts import parse
account = parse("bench", {"provider": "bench", "base_url": "http://127.0.0.1:1"})
print(list(account.operations), app.main, "poll" in app.tasks)
"""
    output = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert output == "['bench.make'] recast True\n"


# --- Idiomatic Celery -----------------------------------------------------------------------------------------------


class FakeProvider:
    """Says pending as often as it is told to, and remembers the requests."""

    def __init__(self, pending: int) -> None:
        self._pending = pending
        self.requests: list[Request] = []

    def __call__(self, request: Request) -> Response:
        self.requests.append(request)
        if request.method == "POST":
            return Response(200, json={"id": "17"})
        if len(self.requests) - 1 <= self._pending:
            return Response(200, json={"status": "pending"})
        return Response(200, json={"status": "done", "url": "https://results.example/17.png"})


@pytest.fixture
def database(monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    engine = create_engine("sqlite://", poolclass=StaticPool)

    @event.listens_for(engine, "connect")
    def _clock(connection: sqlite3.Connection, _: object) -> None:
        connection.create_function("clock_timestamp", 0, lambda: "2026-01-31 00:00:00.000000")

    metadata.create_all(engine)
    monkeypatch.setattr(celery_idiomatic, "database", lambda: engine)
    yield engine
    engine.dispose()


def test_the_celery_task_submits_once_and_polls_until_it_is_done(
    database: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider = FakeProvider(pending=2)
    with Client(base_url="http://127.0.0.1:1", transport=MockTransport(provider)) as client:
        monkeypatch.setattr(celery_idiomatic, "provider", lambda: client)
        celery_idiomatic.make.apply(args=("job-1", SOURCE, TARGET), task_id="job-1").get()
    assert [f"{request.method} {request.url.path}" for request in provider.requests] == [
        "POST /jobs", "GET /jobs/17", "GET /jobs/17", "GET /jobs/17",
    ]  # fmt: skip
    assert json.loads(provider.requests[0].content) == {"reference": "job-1", "source": SOURCE, "target": TARGET}
    with database.connect() as connection:
        row = connection.execute(select(jobs)).one()
    assert (row.id, row.handle, row.url) == ("job-1", "17", "https://results.example/17.png")
    assert row.finished_at is not None


def test_the_adapters_settings_take_nothing() -> None:
    assert issubclass(Bench.SETTINGS, BaseModel)
    with pytest.raises(ValueError, match="key"):
        Bench.SETTINGS(key="x")
