"""Pictures that were paid for and do not arrive whole: fetched again, asked for anew, and never paid for again."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from tests.hostile.pictures import photo
from tests.hostile.saving import Answer, FileServer, body, file_server, raw, status
from tests.words import unsaid
from workers.backoff import Backoff
from workers.engine import refetch, store
from workers.engine.poll import PollPump
from workers.engine.runner import run
from workers.engine.store import TRIES, StorePump
from workers.jobs.filters import EVERY
from workers.operations.redownload import downloadable, redownload

if TYPE_CHECKING:
    from http.server import BaseHTTPRequestHandler

    from tests.integration.database import Database, Messages, RuntimeFactory
    from workers.engine.runtime import Runtime

pytest_plugins = ["tests.integration.database"]

PICTURE = photo()
HTML = b"<!doctype html><html><body>Service is being maintained</body></html>"
MAX_ROUNDS = 30

#: Everything that a download can suffer.
DAMAGES: dict[str, Answer] = {
    "half": body(PICTURE[: len(PICTURE) // 2]),
    "shorter than said": raw(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (len(PICTURE) + 9) + PICTURE),
    "a web page": body(HTML, Content_Type="image/png"),
    "empty": body(b""),
    "noise": body(b"\xff\xd8\xff" + bytes(500)),
    **{str(number): status(number) for number in (403, 404, 410, 429, 500, 503)},
}


class Zhiqite:
    """A provider that has finished every job, and its files; notes how often it was paid."""

    def __init__(self, files: FileServer) -> None:
        self.files = files
        self.answer: dict[str, Any] = {"code": "200", "msg": "success", "data": {"status": 1}}
        self.asked = 0
        files.key_of = lambda asked: f"query {asked['businessTaskId']}"

    def knows(self, reference: object, url: Callable[[], str]) -> None:
        def answer(handler: BaseHTTPRequestHandler) -> None:
            self.asked += 1
            data = {**self.answer["data"], "outputImageUrl": url()}
            body(json.dumps({**self.answer, "data": data}).encode())(handler)

        self.files.answers[f"query {reference}"] = answer


@pytest.fixture
def zhiqite(monkeypatch: pytest.MonkeyPatch) -> Iterator[Zhiqite]:
    monkeypatch.setattr(refetch, "ASK_AGAIN", Backoff(first=0.01, cap=0.01))
    monkeypatch.setattr(store, "TRY_AGAIN", Backoff(first=0.01, cap=0.01))
    monkeypatch.setattr(store, "POSTPONE_SECONDS", 0.01)
    monkeypatch.setattr("workers.engine.slice.PATIENCE_SECONDS", 0.02)
    with file_server() as files:
        yield Zhiqite(files)


@pytest.fixture
def runtime(make_runtime: RuntimeFactory, zhiqite: Zhiqite) -> Runtime:
    return make_runtime(main={"allow_hosts": ["127.0.0.1"], "base_url": zhiqite.files.url(""), "poll_every": "0.01s"})


def at_first(damage: Answer, times: int) -> Answer:
    """A file that is damaged the first `times` times."""
    left = [times]

    def answer(handler: BaseHTTPRequestHandler) -> None:
        left[0] -= 1
        (damage if left[0] >= 0 else body(PICTURE))(handler)

    return answer


def finished(database: Database, zhiqite: Zhiqite, url: str, new: Callable[[], str] | None = None) -> str:
    """The id of a job that waits to be saved from `url`; asked again, its provider names what `new` says."""
    (job,) = database.jobs(1, state="saving")
    outputs = json.dumps([{"url": url}]).replace(":", "\\:")
    reference = database.attempt(
        job, "done", outputs=f"'{outputs}'", finished_at="clock_timestamp()", handle="'h'", cost="0.02"
    )
    zhiqite.knows(reference, new or (lambda: url))
    return job


def settle(database: Database, runtime: Runtime) -> None:
    for _ in range(MAX_ROUNDS):
        run(runtime, StorePump(runtime, 0), None)
        run(runtime, PollPump(runtime, "main"), None)
        if not database.one("SELECT count(*) FROM jobs WHERE state IN ('saving', 'running')"):
            return
    seen = database.sql("SELECT state, error FROM jobs")
    raise AssertionError(f"no end: {seen}")


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_download_does_not_cost_a_paid_picture(
    database: Database, runtime: Runtime, zhiqite: Zhiqite, damage: str, messages: Messages
) -> None:
    url = zhiqite.files.offer("/a.png", at_first(DAMAGES[damage], 2 * TRIES))
    job = finished(database, zhiqite, url)
    settle(database, runtime)

    (row,) = database.sql("SELECT state, error FROM jobs WHERE id = :id", id=job)
    assert row.state == "succeeded", row
    assert database.one("SELECT count(*) FROM results") == 1
    assert database.one("SELECT count(*) FROM attempts") == 1
    assert database.one("SELECT state FROM attempts") == "done"


def test_the_provider_is_asked_for_another_address(database: Database, runtime: Runtime, zhiqite: Zhiqite) -> None:
    gone, fresh = zhiqite.files.offer("/gone", status(404)), zhiqite.files.offer("/fresh", PICTURE)
    finished(database, zhiqite, gone, lambda: fresh)
    settle(database, runtime)

    assert database.one("SELECT state FROM jobs") == "succeeded"
    assert zhiqite.asked == 1


@pytest.mark.parametrize(("damage", "reason"), [("half", "bad_output"), ("a web page", "bad_output"), ("404", "lost")])
def test_a_file_that_stays_broken_ends_and_is_downloaded_again_for_nothing(
    database: Database, runtime: Runtime, zhiqite: Zhiqite, damage: str, reason: str
) -> None:
    url = zhiqite.files.offer("/a.png", DAMAGES[damage])
    job = finished(database, zhiqite, url)
    settle(database, runtime)

    (row,) = database.sql("SELECT state, reason, error FROM jobs")
    assert (row.state, row.reason) == ("failed", reason)
    assert unsaid(row.error, "paid") == []
    assert zhiqite.asked == refetch.ROUNDS[row.reason]

    zhiqite.files.offer("/a.png", PICTURE)
    assert runtime.db(downloadable, EVERY) == [job]
    assert redownload(runtime, [job]).saving == 1
    settle(database, runtime)
    assert database.one("SELECT state FROM jobs") == "succeeded"
    assert database.one("SELECT sum(send_count) FROM attempts") == 1
    assert runtime.db(downloadable, EVERY) == []


@pytest.mark.parametrize(
    "answer",
    [
        {"code": "200", "msg": "success", "data": {"status": 3}},
        {"code": "200", "msg": "success", "data": {"status": 2, "message": "algorithm error"}},
        {"code": "404", "msg": "task does not exist", "data": {}},
        {"code": "500", "msg": "internal error", "data": {}},
    ],
    ids=lambda answer: answer["msg"] + str(answer["data"]),
)
def test_an_answer_that_names_no_picture_leads_back_to_the_known_address(
    database: Database, runtime: Runtime, zhiqite: Zhiqite, answer: dict[str, Any]
) -> None:
    # Given a dead URL and a provider that does not repeat what it said
    url = zhiqite.files.offer("/a.png", at_first(status(404), 2))
    finished(database, zhiqite, url, lambda: "")
    zhiqite.answer = answer
    settle(database, runtime)

    assert database.one("SELECT state FROM jobs") == "succeeded"
    assert database.one("SELECT count(*) FROM attempts") == 1, "nothing was sent again"


def test_what_was_still_under_way_at_the_deadline_is_asked_for_once_more(
    database: Database, runtime: Runtime, zhiqite: Zhiqite
) -> None:
    url = zhiqite.files.offer("/a.png", PICTURE)
    (late,) = database.jobs(1, state="failed", reason="timed_out")
    reference = database.attempt(
        late, "expired", handle="'h'", cost="0.02", deadline_at="clock_timestamp() - interval '1 h'"
    )
    zhiqite.knows(reference, lambda: url)
    (never,) = database.jobs(1, state="failed", reason="provider_error")
    database.attempt(never, "refused")

    assert runtime.db(downloadable, EVERY) == [late]
    assert redownload(runtime, [late, never]).polled == 1
    settle(database, runtime)
    run(runtime, StorePump(runtime, 0), None)
    assert database.one("SELECT state FROM jobs WHERE id = :id", id=late) == "succeeded"
    assert database.one("SELECT state FROM jobs WHERE id = :id", id=never) == "failed"
