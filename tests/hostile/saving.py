"""A server that answers as it is told, and finished jobs whose pictures it gives out to a real store pump."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING, Any

from workers.engine.refetch import ROUNDS
from workers.engine.runner import run
from workers.engine.runtime import Runtime
from workers.engine.store import StorePump

if TYPE_CHECKING:
    from tests.integration.database import Database

ACCOUNT = "main"
MAX_SLICES = 20
Answer = Callable[[BaseHTTPRequestHandler], None]


class _Server(ThreadingHTTPServer):
    request_queue_size = 1_024  # all of a group connect at once; the default of 5 has the kernel drop some


class FileServer:
    """Answers each path in a way of its own, and notes which were asked for.

    Args:
        key_of: what a JSON body that is posted asks for, in place of a path.
    """

    def __init__(self, key_of: Callable[[Any], str] = str) -> None:
        self.key_of = key_of
        self.answers: dict[str, Answer] = {}
        self.asked: list[str] = []
        #: Answers everything that is posted, whatever it is.
        self.any_post: Answer | None = None
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._answer(self.path)

            def do_POST(self) -> None:
                if outer.any_post is not None:
                    outer.any_post(self)
                    return
                asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                self._answer(outer.key_of(asked))

            def _answer(self, key: str) -> None:
                outer.asked.append(key)
                outer.answers.get(key, status(404))(self)

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self._server = _Server(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        self._thread = Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def offer(self, path: str, answer: Answer | bytes) -> str:
        """Have `path` answered; returns its URL."""
        self.answers[path] = body(answer) if isinstance(answer, bytes) else answer
        return self.url(path)


@contextmanager
def file_server(key_of: Callable[[Any], str] = str) -> Iterator[FileServer]:
    server = FileServer(key_of)
    try:
        yield server
    finally:
        server.close()


def body(data: bytes, **headers: str) -> Answer:
    """A 200 with these bytes."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(data)))
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(data)

    return answer


def status(number: int, **headers: str) -> Answer:
    """An answer without a body."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(number)
        for name, value in {"Content-Length": "0", **headers}.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()

    return answer


def raw(data: bytes) -> Answer:
    """These bytes in place of an HTTP answer, then the end."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(data)
        handler.close_connection = True

    return answer


def paid_for(database: Database, outputs: Sequence[Mapping[str, Any]], **columns: Any) -> str:
    """The id of a job with these outputs waiting to be saved; its provider is not asked for them again."""
    (job,) = database.jobs(1, state="saving", **columns)
    database.attempt(
        job, "done", outputs=f"'{json.dumps(list(outputs)).replace(chr(39), chr(39) * 2).replace(':', chr(92) + ':')}'",
        finished_at="clock_timestamp()", refetches=str(max(ROUNDS.values())),
    )  # fmt: skip
    return job


def save_all(database: Database, runtime: Runtime) -> None:
    """Run a store pump until nothing waits to be saved, or was put off."""
    for _ in range(MAX_SLICES):
        run(runtime, StorePump(runtime, 0), None)
        ready = "coalesce(greatest(claimed_until, not_before), now()) <= now()"
        waiting = f"SELECT count(*) FROM jobs WHERE state = 'saving' AND {ready}"  # noqa: S608 (ours)
        if not database.one(waiting):
            return
    raise AssertionError("the store pump does not come to an end")
