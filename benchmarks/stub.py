"""The provider of the benchmark: so light that it is not what is measured.

``POST /jobs`` answers ``{"id": ...}`` at once. ``GET /jobs/ID`` answers ``{"status": "pending"}`` until the latency has
passed since the submission, then ``{"status": "done", "url": ...}``; where it was given a picture, a copy is there.
``GET /inputs/NUMBER`` is what a job may be made of: a copy as well, or a few bytes. ``GET /stats`` answers the bill,
and ``GET /arrivals/REFERENCE`` when a submission came. It is a raw `asyncio.Protocol`: a web framework would cost
as much as the contestants do.

    python -m benchmarks.stub --latency 5        prints {"port": ...} and serves until its standard input ends
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import cast

from benchmarks.distinct import KINDS

HOST = "127.0.0.1"
MAX_REQUEST_BYTES = 64 * 1024  # a submission has a few hundred; more is a broken client
BACKLOG = 1024  # connections that wait to be accepted, when a contestant opens all of its own at once

MAX_HEAD = 200  # bytes in which a submission's reference lies
#: Makes the picture of the job with a number.
Picture = Callable[[int], bytes]

_HEAD_END = b"\r\n\r\n"
_LENGTH = b"\r\ncontent-length:"
_FIRST_BYTE = b"\r\nrange: bytes=0-0"  # all that a look at an address asks for
_NOT_FOUND = b'{"error":"not found"}'
_PENDING = b'{"status":"pending"}'


@dataclass(frozen=True, slots=True)
class Bill:
    """What the provider saw, since its start."""

    submits: int
    #: Submissions whose body had come before: each is a job that was paid twice.
    repeats: int
    polls: int
    #: Jobs whose result was fetched, and the polls that were spent on these.
    finished: int
    polls_of_finished: int
    cpu_seconds: float


class Desk:
    """Accepts jobs and reports their states; `clock` in seconds."""

    def __init__(
        self, latency: float, clock: Callable[[], float] = time.monotonic, picture: Picture | None = None
    ) -> None:
        self._latency = latency
        self._clock = clock
        self._picture = picture
        #: In front of the results' names.
        self.url = "https://results.example"
        self._ready_at: list[float] = []
        self._polls: list[int] = []
        self._finished: set[int] = set()
        self._bodies: set[bytes] = set()
        self._arrived: dict[bytes, float] = {}

    def arrived(self, reference: bytes) -> float | None:
        """When a job's submission came (Unix time); None if it has not."""
        return self._arrived.get(reference)

    def submit(self, body: bytes) -> bytes:
        """Take a job; its id is the number of its submission."""
        self._arrived.setdefault(reference_of(body), time.time())
        self._bodies.add(body)
        self._ready_at.append(self._clock() + self._latency)
        self._polls.append(0)
        return b'{"id":"%d"}' % (len(self._ready_at) - 1)

    def poll(self, name: bytes) -> bytes | None:
        """A job's state; None if there is no such job."""
        if not name.isdigit() or int(name) >= len(self._ready_at):
            return None
        number = int(name)
        self._polls[number] += 1
        if self._clock() < self._ready_at[number]:
            return _PENDING
        self._finished.add(number)
        return b'{"status":"done","url":"%b/pictures/%d"}' % (self.url.encode(), number)

    def fetch(self, name: bytes) -> bytes | None:
        """A finished picture, which no two jobs have in common; None if there is none."""
        if self._picture is None or not name.isdigit() or int(name) not in self._finished:
            return None
        return self._picture(int(name))

    def input(self, name: bytes) -> bytes | None:
        """What a job is made of; None if there is no such input."""
        if not name.isdigit():
            return None
        return self._picture(int(name)) if self._picture is not None else b"an input"

    def bill(self) -> Bill:
        """The requests so far."""
        return Bill(
            submits=len(self._ready_at),
            repeats=len(self._ready_at) - len(self._bodies),
            polls=sum(self._polls),
            finished=len(self._finished),
            polls_of_finished=sum(self._polls[number] for number in self._finished),
            cpu_seconds=time.process_time(),
        )


class Connection(asyncio.Protocol):
    """HTTP/1.1 with keep-alive: requests may come in pieces, or several in one piece."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way back."""
        self._transport = cast("asyncio.WriteTransport", transport)

    def data_received(self, data: bytes) -> None:
        """Answer every request that is complete now, in order and in one write."""
        data = self._rest + data if self._rest else data
        answers, start = [], 0
        while (end := data.find(_HEAD_END, start)) >= 0:
            head, body_at = data[start:end], end + len(_HEAD_END)
            body_end = body_at + content_length(head)
            if body_end > len(data):
                break
            answers.append(self._answer(head, data[body_at:body_end]))
            start = body_end
        if answers:
            self._transport.write(b"".join(answers))
        self._rest = data[start:]
        if len(self._rest) > MAX_REQUEST_BYTES:
            self._transport.close()

    def _answer(self, head: bytes, body: bytes) -> bytes:
        method, _, rest = head.partition(b" ")
        path = rest.partition(b" ")[0]
        if method == b"POST" and path == b"/jobs":
            return _response(self._desk.submit(body))
        if method == b"GET" and path.startswith(b"/jobs/"):
            status = self._desk.poll(path[len(b"/jobs/") :])
            return _response(status) if status is not None else _response(_NOT_FOUND, b"404 Not Found")
        if method == b"GET" and path.startswith(b"/arrivals/"):
            at = self._desk.arrived(path[len(b"/arrivals/") :])
            return _response(json.dumps({"at": at}).encode())
        if method == b"GET" and path.startswith(b"/pictures/"):
            picture = self._desk.fetch(path[len(b"/pictures/") :])
            return _response(picture) if picture is not None else _response(_NOT_FOUND, b"404 Not Found")
        if method == b"GET" and path.startswith(b"/inputs/"):
            found = self._desk.input(path[len(b"/inputs/") :])
            if found is not None and _FIRST_BYTE in head.lower():
                return _response(found[:1], b"206 Partial Content")
            return _response(found) if found is not None else _response(_NOT_FOUND, b"404 Not Found")
        if method == b"GET" and path == b"/stats":
            return _response(json.dumps(asdict(self._desk.bill())).encode())
        return _response(_NOT_FOUND, b"404 Not Found")


def reference_of(body: bytes) -> bytes:
    """The reference of a submission, which every contestant writes first."""
    return body[:MAX_HEAD].partition(b'"reference":')[2].lstrip().partition(b'"')[2].partition(b'"')[0]


def content_length(head: bytes) -> int:
    """How many bytes follow a request's head; 0 where it does not say."""
    _, found, rest = head.lower().partition(_LENGTH)
    return int(rest.partition(b"\r\n")[0]) if found else 0


def _response(body: bytes, status: bytes = b"200 OK") -> bytes:
    return b"HTTP/1.1 %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body)


async def serve(latency: float, picture: Picture | None) -> None:
    """Serve on a free port, say which, and end with the standard input."""
    loop = asyncio.get_running_loop()
    desk = Desk(latency, picture=picture)
    async with await loop.create_server(lambda: Connection(desk), HOST, 0, backlog=BACKLOG) as server:
        port = server.sockets[0].getsockname()[1]
        desk.url = f"http://{HOST}:{port}"
        print(json.dumps({"port": port}), flush=True)
        await loop.run_in_executor(None, sys.stdin.buffer.read)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="The provider of the benchmark.")
    parser.add_argument("--latency", type=float, default=5.0, help="seconds from a submission to its result")
    parser.add_argument("--picture", type=Path, help="what results are copies of; without it, there are no files")
    options = parser.parse_args()
    chosen = options.picture and partial(KINDS[options.picture.suffix], options.picture.read_bytes())
    asyncio.run(serve(options.latency, chosen))
