"""Checks of credentials that pages ask workers for: one at a time, in bounded time, answered once."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
from kombu.exceptions import OperationalError

from models.accounts import CredentialVerdict
from tests.words import unsaid
from workers.messaging.app import app
from workers.operations import credential_checks as checks

if TYPE_CHECKING:
    from tests.integration.database import Database, Messages, RuntimeFactory

pytest_plugins = ["tests.integration.database"]

UNKNOWN_TASK = {"code": "200", "msg": "ok", "data": {}}
SECRET = "a-secret-of-the-account"
REFUSED = {"code": "401", "msg": f"the key <b>id</b> is\0 wrong, not {SECRET}"}


class Provider:
    """A provider that answers each question with the same words, or not before it is let go."""

    def __init__(self, said: Any) -> None:
        self.said, self.asked, self.go = said, 0, threading.Event()
        self.port = 0


@contextmanager
def provider(said: Any) -> Iterator[Provider]:
    answering = Provider(said)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            answering.asked += 1
            if answering.said is None:
                answering.go.wait(60)
                return
            body = json.dumps(answering.said).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    answering.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield answering
    finally:
        answering.go.set()
        server.shutdown()
        thread.join()
        server.server_close()


def answered(database: Database) -> tuple[str | None, str | None]:
    found = database.run(checks.latest)["main"]
    return found.verdict, found.message


@pytest.mark.parametrize(("said", "verdict"), [(UNKNOWN_TASK, "good"), (REFUSED, "refused"), ({}, "unknown")])
def test_a_worker_answers_in_the_providers_words(
    database: Database, make_runtime: RuntimeFactory, said: Any, verdict: str
) -> None:
    with provider(said) as answering:
        runtime = make_runtime(main={"base_url": f"http://127.0.0.1:{answering.port}", "access_key_secret": SECRET})
        checks.perform(runtime, "main")
        assert answering.asked == 0, "nobody asked"
        assert database.run(checks.ask, "main") is not None
        assert database.run(checks.ask, "main") is None, "one at a time"
        assert database.run(checks.latest)["main"].waits
        checks.perform(runtime, "main")
        checks.perform(runtime, "main")
        assert answering.asked == 1, "a message that comes twice is answered once"
    found, message = answered(database)
    assert found == verdict
    assert SECRET not in (message or "")
    assert not database.run(checks.latest)["main"].waits
    assert database.run(checks.ask, "main") is not None


def test_a_provider_that_hangs_is_not_waited_for(
    database: Database, make_runtime: RuntimeFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "TIMEOUT_SECONDS", 0.3)
    with provider(None) as answering:
        runtime = make_runtime(main={"base_url": f"http://127.0.0.1:{answering.port}"})
        database.run(checks.ask, "main")
        checks.perform(runtime, "main")
        assert answering.asked == 1
    verdict, message = answered(database)
    assert verdict == "silent"
    assert unsaid(message or "", "0.3 s") == []


def test_what_comes_too_late_answers_no_later_question(database: Database, make_runtime: RuntimeFactory) -> None:
    runtime = make_runtime()
    database.run(checks.ask, "main")
    database.sql("UPDATE credential_checks SET asked_at = now() - interval '2 minutes'")
    assert database.run(checks.latest)["main"].lost
    checks.perform(runtime, "main")
    assert answered(database) == (None, None)
    assert database.run(checks.ask, "main") is not None, "it can be asked anew"
    (row,) = database.sql("SELECT asked_at FROM credential_checks")
    runtime.db(checks._answer, "main", row.asked_at.replace(year=2020), CredentialVerdict.GOOD, "late")
    assert answered(database) == (None, None)


def test_an_account_that_a_worker_does_not_know_is_answered_too(
    database: Database, make_runtime: RuntimeFactory
) -> None:
    database.account("gone")
    database.run(checks.ask, "gone")
    checks.perform(make_runtime(), "gone")
    found = database.run(checks.latest)["gone"]
    assert (found.verdict, unsaid(found.message or "", "AccountsError")) == ("silent", [])


def test_a_question_goes_to_the_workers_and_a_broker_that_is_away_is_said(
    database: Database, make_runtime: RuntimeFactory, messages: Messages, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = make_runtime()
    asked_at = database.run(checks.ask, "main")
    assert asked_at is not None
    checks.send(runtime, "main", asked_at)
    assert messages == [("check_credentials", ("main",), {})]

    def away(*_: object, **__: object) -> None:
        raise OperationalError

    monkeypatch.setattr(app, "send_task", away)
    checks.send(runtime, "main", asked_at)
    verdict, message = answered(database)
    assert verdict == "silent"
    assert unsaid(message or "", "broker") == []
