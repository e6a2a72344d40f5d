"""Inputs before they are paid for: addresses looked at, our own links tried, tries counted, uploads told apart."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from models.states import Closure
from tests.hostile.pictures import photo
from tests.hostile.saving import FileServer, body, file_server, status
from tests.words import unsaid
from workers.engine import looks, prepare
from workers.engine.poll import PollPump
from workers.engine.prepare import INPUT_TRIES
from workers.engine.runner import run
from workers.engine.submit import SubmitPump
from workers.images.storage import StorageError
from workers.jobs.filters import Filter
from workers.operations import bulk

if TYPE_CHECKING:
    from http.server import BaseHTTPRequestHandler

    from tests.integration.database import Database, Messages, RuntimeFactory
    from workers.engine.runtime import Runtime

pytest_plugins = ["tests.integration.database"]

PICTURE = photo()
ACCEPTED = {"code": "200", "msg": "success", "data": {"status": 0, "taskId": 7}}


class Provider:
    """Zhiqite at one server, which is our own web and everybody's pictures as well."""

    def __init__(self, files: FileServer) -> None:
        self.files = files
        self.submitted: list[Any] = []
        self.says: dict[str, Any] = ACCEPTED
        files.key_of = self._key
        files.answers["provider"] = self._answer

    def _key(self, asked: Any) -> str:
        self.submitted.append(asked)
        return "provider"

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        body(json.dumps(self.says).encode())(handler)


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> Iterator[Provider]:
    monkeypatch.setattr("workers.engine.slice.PATIENCE_SECONDS", 0.02)
    monkeypatch.setattr(looks, "NOBODY_PAUSES", (0.01, 0.01))
    with file_server() as files:
        yield Provider(files)


@pytest.fixture
def runtime(make_runtime: RuntimeFactory, provider: Provider) -> Runtime:
    return make_runtime(
        {"public_url": provider.files.url(""), "public_url_check": None, "check_addresses": True, "slice_seconds": 2.0},
        main={"allow_hosts": ["127.0.0.1"], "base_url": provider.files.url("")},
    )


def job(database: Database, source: str, target: str) -> str:
    (made,) = database.jobs(1, source=source, target=target)
    return made


def submit(database: Database, runtime: Runtime) -> None:
    """One slice, with no job waiting by itself."""
    database.sql("UPDATE jobs SET not_before = NULL")
    run(runtime, SubmitPump(runtime, "main"), None)


def unused_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
    return port


# --- Public addresses ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [404, 410, 403])
def test_an_address_without_a_picture_is_rejected_before_anything_is_paid(
    database: Database, runtime: Runtime, provider: Provider, number: int
) -> None:
    fine, gone = provider.files.offer("/fine", PICTURE), provider.files.offer("/gone", status(number))
    good, bad = job(database, fine, fine), job(database, fine, gone)
    submit(database, runtime)

    rows = {row.id: row for row in database.sql("SELECT id, state, reason, error FROM jobs")}
    assert rows[good].state == "running"
    assert (rows[bad].state, rows[bad].reason) == ("rejected", "bad_input")
    assert unsaid(rows[bad].error, number) == []
    assert len(provider.submitted) == database.one("SELECT count(*) FROM attempts") == 1


def test_an_address_at_which_there_is_nobody_is_rejected(
    database: Database, runtime: Runtime, provider: Provider
) -> None:
    fine = provider.files.offer("/fine", PICTURE)
    job(database, fine, "https://no-such-host.invalid/x.jpg")
    job(database, fine, f"http://127.0.0.1:{unused_port()}/x.jpg")
    submit(database, runtime)

    assert [tuple(row) for row in database.sql("SELECT state, reason FROM jobs")] == [("rejected", "bad_input")] * 2
    assert provider.submitted == []


@pytest.mark.parametrize("number", [405, 416, 501])
def test_a_server_that_dislikes_the_look_is_no_bad_address(
    database: Database, runtime: Runtime, provider: Provider, number: int
) -> None:
    def moody(handler: BaseHTTPRequestHandler) -> None:
        (status(number) if "Range" in handler.headers else body(PICTURE))(handler)

    url = provider.files.offer("/moody", moody)
    job(database, url, url)
    submit(database, runtime)
    assert database.one("SELECT state FROM jobs") == "running"


def test_what_does_not_answer_is_tried_some_times_and_then_fails(
    database: Database, runtime: Runtime, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(looks, "BAD_SECONDS", 0.0)
    runtime.addresses = looks.PublicAddresses()
    url = provider.files.offer("/ill", status(503))
    made = job(database, url, url)
    for number in range(1, INPUT_TRIES):
        submit(database, runtime)
        assert database.one("SELECT input_tries FROM jobs") == number
        assert database.one("SELECT state FROM jobs") == "queued"
    submit(database, runtime)

    (row,) = database.sql("SELECT state, reason, error FROM jobs")
    assert (row.state, row.reason) == ("failed", "input_unavailable")
    assert unsaid(row.error, 503, INPUT_TRIES) == []
    assert provider.submitted == []

    # And a retry counts from the start
    assert bulk.retry(runtime, runtime.db(bulk.retryable, Filter(ids=[made]))) == 1
    assert database.one("SELECT input_tries FROM jobs") == 0
    provider.files.offer("/ill", PICTURE)
    submit(database, runtime)
    assert database.one("SELECT state FROM jobs") == "running"


def test_a_thousand_jobs_with_one_picture_cost_one_look(
    database: Database, runtime: Runtime, provider: Provider
) -> None:
    url = provider.files.offer("/one", PICTURE)
    for _ in range(5):
        job(database, url, url)
    submit(database, runtime)
    assert provider.files.asked.count("/one") == 1


# --- Our own web ---------------------------------------------------------------------------------------------------


@pytest.fixture
def pictures(tmp_path: Path) -> list[str]:
    made = []
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(PICTURE)
        made.append(str(tmp_path / name))
    return made


def serve_media(runtime: Runtime, provider: Provider, *, up: bool) -> None:
    """Whether our web gives out what links name."""
    answer = body(PICTURE) if up else status(502)

    class Answers(dict[str, Any]):
        def get(self, key: str, default: Any = None) -> Any:
            return answer if key.startswith("/media/") else super().get(key, default)

    provider.files.answers = Answers(provider.files.answers)
    for cache in (runtime.own_web._fine, runtime.own_web._bad):
        cache.drop("")


def test_links_that_nobody_can_fetch_stop_the_account_and_cost_nothing(
    database: Database, runtime: Runtime, provider: Provider, pictures: list[str], messages: Messages
) -> None:
    for _ in range(3):
        job(database, *pictures)
    serve_media(runtime, provider, up=False)
    submit(database, runtime)

    assert {row.state for row in database.sql("SELECT state FROM jobs")} == {"queued"}
    assert database.one("SELECT max(input_tries) FROM jobs") == 0
    (row,) = database.sql("SELECT closed_reason, closed_note, failures FROM accounts")
    assert row.closed_reason == Closure.OUTAGE
    assert unsaid(row.closed_note, "RECAST_PUBLIC_URL", provider.files.url(""), 502) == []
    assert provider.submitted == []
    assert database.one("SELECT count(*) FROM attempts") == 0

    # It accepts again by itself, first one probe and then all
    database.sql("UPDATE accounts SET closed_until = clock_timestamp()")
    serve_media(runtime, provider, up=True)
    for _ in range(3):
        submit(database, runtime)
    assert {row.state for row in database.sql("SELECT state FROM jobs")} == {"running"}
    assert len(provider.submitted) == 3


def test_links_are_tried_where_the_operator_says(
    database: Database, make_runtime: RuntimeFactory, provider: Provider, pictures: list[str]
) -> None:
    public = f"http://127.0.0.1:{unused_port()}"
    for check, state in (("off", "running"), (provider.files.url(""), "running"), (None, "queued")):
        runtime = make_runtime(
            {"public_url": public, "public_url_check": check, "slice_seconds": 1.0},
            main={"base_url": provider.files.url("")},
        )
        serve_media(runtime, provider, up=True)
        made = job(database, *pictures)
        submit(database, runtime)
        assert database.one("SELECT state FROM jobs WHERE id = :id", id=made) == state, check


@pytest.mark.parametrize(
    "said", ["image download failed", "unable to fetch the picture", "图片下载失败", "cannot access image url"]
)
def test_a_provider_that_cannot_fetch_our_link_does_not_reject_the_picture(
    database: Database, runtime: Runtime, provider: Provider, pictures: list[str], said: str
) -> None:
    serve_media(runtime, provider, up=True)
    foreign = provider.files.offer("/foreign", PICTURE)
    provider.says = {"code": "400", "msg": said, "data": None}
    ours, theirs = job(database, *pictures), job(database, foreign, foreign)
    submit(database, runtime)

    rows = {row.id: row for row in database.sql("SELECT id, state, reason FROM jobs")}
    assert (rows[ours].state, rows[ours].reason) == ("queued", "input_unavailable")
    assert (rows[theirs].state, rows[theirs].reason) == ("rejected", "bad_input")


@pytest.mark.parametrize(("up", "said", "state"), [
    (True, "the resolution is too large", "rejected"),
    (False, "the resolution is too large", "queued"),
    (True, "image download failed", "queued"),
])  # fmt: skip
def test_a_failure_while_our_web_is_down_is_not_the_pictures(
    database: Database, runtime: Runtime, provider: Provider, pictures: list[str], up: bool, said: str, state: str
) -> None:
    # Given a job that was taken while our web was there
    serve_media(runtime, provider, up=True)
    made = job(database, *pictures)
    submit(database, runtime)
    assert database.one("SELECT state FROM jobs") == "running"

    serve_media(runtime, provider, up=up)
    provider.says = {"code": "200", "msg": said, "data": {"status": 2}}
    database.sql("UPDATE attempts SET next_poll_at = clock_timestamp()")
    run(runtime, PollPump(runtime, "main"), None)
    assert database.one("SELECT state FROM jobs WHERE id = :id", id=made) == state


@pytest.mark.parametrize("number", [None, 404, 502])
def test_a_worker_that_gave_out_no_link_asks_whether_anybody_is_there(
    make_runtime: RuntimeFactory, provider: Provider, number: int | None
) -> None:
    url = f"http://127.0.0.1:{unused_port()}" if number is None else provider.files.url("")
    runtime = make_runtime({"public_url": url, "public_url_check": None})
    provider.files.answers["/media/"] = status(number or 200)

    assert runtime.on_loop(runtime.own_web.is_down()) == (number != 404)


def test_an_own_storage_that_takes_nothing_stops_the_account(
    database: Database, runtime: Runtime, provider: Provider, pictures: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> str:
        raise StorageError("no space left")

    monkeypatch.setattr(runtime.storage, "put", full)
    job(database, *pictures)
    submit(database, runtime)
    assert database.one("SELECT state FROM jobs") == "queued"
    assert unsaid(database.one("SELECT closed_note FROM accounts"), "no space left") == []


# --- Inputs of ours that cannot be read ----------------------------------------------------------------------------


def test_a_storage_that_refuses_ends_the_job_after_some_tries(
    database: Database, runtime: Runtime, provider: Provider, pictures: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise PermissionError("Access Denied")

    monkeypatch.setattr("workers.images.inputs.fsspec", SimpleNamespace(url_to_fs=refuse, open=refuse))
    serve_media(runtime, provider, up=True)
    job(database, pictures[0], "s3://bucket/x.png")
    for _ in range(INPUT_TRIES):
        submit(database, runtime)
    (row,) = database.sql("SELECT state, reason, error FROM jobs")
    assert (row.state, row.reason) == ("failed", "input_unavailable")
    assert unsaid(row.error, "s3://bucket/x.png", "Access Denied") == []
    assert prepare.INPUT_AGAIN.cap * INPUT_TRIES > 120


# --- What a provider asks for --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("number", "stopped"), [(429, True), (503, False)])
def test_retry_after_on_a_query_holds_the_accounts_queries_back(
    database: Database, runtime: Runtime, provider: Provider, number: int, stopped: bool
) -> None:
    for made in database.jobs(3, state="running"):
        database.attempt(made, handle="'h'", next_poll_at="clock_timestamp()")
    provider.files.answers["provider"] = status(number, Retry_After="60")
    run(runtime, PollPump(runtime, "main"), None)
    asked = len(provider.submitted)
    (late,) = database.jobs(1, state="running")
    database.attempt(late, handle="'h'", next_poll_at="clock_timestamp()")
    pump = PollPump(runtime, "main")
    following = run(runtime, pump, None)

    assert len(provider.submitted) == asked, "a job that is due for the first time waits as well"
    assert following is None or following[0] > 20
    (row,) = database.sql("SELECT *, polls_after - clock_timestamp() > interval '30 s' AS held FROM accounts")
    assert row.held
    assert row.closed_reason == ("throttled" if stopped else None)

    database.sql("UPDATE accounts SET polls_after = clock_timestamp()")
    run(runtime, PollPump(runtime, "main"), None)
    assert len(provider.submitted) > asked


PIKTID = {
    "provider": "piktid", "email": "a@example.com", "password": "p", "access_key_id": None, "access_key_secret": None,
}  # fmt: skip


@pytest.mark.parametrize(("number", "reason"), [(429, "throttled"), (503, "outage"), (500, "outage")])
def test_a_failed_upload_is_told_as_one(
    database: Database, make_runtime: RuntimeFactory, provider: Provider, pictures: list[str], number: int, reason: str
) -> None:
    runtime = make_runtime({"slice_seconds": 1.0}, main={**PIKTID, "base_url": provider.files.url("")})
    answers = {"/tokens": body(b'{"access_token": "a", "refresh_token": "r"}')}

    def post(handler: BaseHTTPRequestHandler) -> None:
        handler.rfile.read(int(handler.headers["Content-Length"] or 0))
        answers.get(handler.path, status(number, Retry_After="60"))(handler)

    provider.files.any_post = post
    (made,) = database.jobs(1, source=pictures[0], target=pictures[1], lane="piktid.swap")
    submit(database, runtime)

    (row,) = database.sql("SELECT state, error, input_tries FROM jobs WHERE id = :id", id=made)
    assert row.state == "queued"
    assert unsaid(row.error, "uploaded", number if number != 429 else "") == []
    assert "accepted the job" not in row.error
    (row,) = database.sql("SELECT *, closed_until - clock_timestamp() > interval '30 s' AS long FROM accounts")
    assert (row.closed_reason, row.long) == (reason, True)
    assert database.one("SELECT count(*) FROM attempts") == 0
