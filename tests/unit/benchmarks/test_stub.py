from __future__ import annotations

import asyncio
import itertools
import json
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from benchmarks.processes import Stub
from benchmarks.stub import MAX_REQUEST_BYTES, Bill, Connection, Desk, content_length
from tests import http

LATENCY = 5.0


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


class Wire(asyncio.WriteTransport):
    """Keeps what was written."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.closed = False

    def write(self, data: Any) -> None:
        self.written.append(bytes(data))

    def close(self) -> None:
        self.closed = True

    def bodies(self) -> list[Any]:
        bodies, rest = [], b"".join(self.written)
        while rest:
            head, _, rest = rest.partition(b"\r\n\r\n")
            length = content_length(head)
            bodies.append(json.loads(rest[:length]))
            rest = rest[length:]
        return bodies


def connected(desk: Desk) -> tuple[Connection, Wire]:
    connection, wire = Connection(desk), Wire()
    connection.connection_made(wire)
    return connection, wire


def post(body: bytes) -> bytes:
    return b"POST /jobs HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


def get(path: bytes) -> bytes:
    return b"GET %b HTTP/1.1\r\nHost: x\r\n\r\n" % path


def test_a_job_is_pending_until_the_latency_has_passed() -> None:
    clock = Clock()
    desk = Desk(LATENCY, clock)
    job = json.loads(desk.submit(b"one"))["id"].encode()
    clock.now += LATENCY - 0.001
    assert json.loads(desk.poll(job) or b"") == {"status": "pending"}
    clock.now += 0.001
    assert json.loads(desk.poll(job) or b"") == {"status": "done", "url": "https://results.example/pictures/0"}


@pytest.mark.parametrize("name", [b"0", b"-1", b"", b"x", b"1/2"])
def test_a_job_that_was_never_submitted_is_unknown(name: bytes) -> None:
    assert Desk(LATENCY).poll(name) is None


def test_the_bill_tells_polls_of_finished_jobs_from_all_polls_and_knows_repeats() -> None:
    clock = Clock()
    desk = Desk(LATENCY, clock)
    for body in (b"one", b"two", b"one"):
        desk.submit(body)
    desk.poll(b"0")
    desk.poll(b"1")
    clock.now += LATENCY
    desk.poll(b"0")
    assert replace(desk.bill(), cpu_seconds=0.0) == Bill(
        submits=3, repeats=1, polls=3, finished=1, polls_of_finished=2, cpu_seconds=0.0
    )


@given(cuts=st.lists(st.integers(min_value=0, max_value=400), max_size=12))
def test_requests_are_answered_in_order_however_their_bytes_arrive(cuts: list[int]) -> None:
    stream = post(b'{"reference":"a"}') + get(b"/jobs/0") + post(b"") + get(b"/jobs/7") + get(b"/jobs/1")
    connection, wire = connected(Desk(0.0, Clock()))
    edges = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    for start, end in itertools.pairwise(edges):
        connection.data_received(stream[start:end])
    assert wire.bodies() == [
        {"id": "0"},
        {"status": "done", "url": "https://results.example/pictures/0"},
        {"id": "1"},
        {"error": "not found"},
        {"status": "done", "url": "https://results.example/pictures/1"},
    ]


def test_requests_that_come_together_are_answered_in_one_write() -> None:
    connection, wire = connected(Desk(LATENCY))
    connection.data_received(post(b"one") + post(b"two"))
    assert len(wire.written) == 1
    assert wire.bodies() == [{"id": "0"}, {"id": "1"}]


def test_an_endless_request_ends_the_connection() -> None:
    connection, wire = connected(Desk(LATENCY))
    connection.data_received(b"x" * MAX_REQUEST_BYTES)
    assert not wire.closed
    connection.data_received(b"x")
    assert wire.closed


@pytest.mark.parametrize(
    ("head", "length"),
    [
        (b"POST / HTTP/1.1\r\ncontent-length:12", 12),
        (b"POST / HTTP/1.1\r\nCONTENT-LENGTH: 3\r\nA: b", 3),
        (b"GET / HTTP/1.1", 0),
    ],
)
def test_the_length_is_found_however_it_is_written(head: bytes, length: int) -> None:
    assert content_length(head) == length


def test_the_process_serves_and_keeps_the_bill() -> None:
    with Stub(latency=0.0) as stub:
        handle = http.post(f"{stub.url}/jobs", json={"reference": "a"}).json()["id"]
        assert http.get(f"{stub.url}/jobs/{handle}").json()["status"] == "done"
        bill = stub.bill()
    assert (bill.submits, bill.repeats, bill.polls, bill.finished) == (1, 0, 1, 1)
    assert bill.cpu_seconds > 0


def test_each_finished_job_has_a_picture_of_its_own(tmp_path: Path) -> None:
    picture = tmp_path / "a.jpg"
    Image.new("RGB", (8, 8)).save(picture)
    with Stub(latency=0.0, picture=picture) as stub:
        handles = [http.post(f"{stub.url}/jobs", json={"reference": name}).json()["id"] for name in "ab"]
        assert http.get(f"{stub.url}/pictures/0").status_code == HTTPStatus.NOT_FOUND
        urls = [http.get(f"{stub.url}/jobs/{handle}").json()["url"] for handle in handles]
        assert len({http.get(url).content for url in urls}) == len(urls)


def test_each_input_is_there_and_a_look_gets_its_first_byte(tmp_path: Path) -> None:
    picture = tmp_path / "a.jpg"
    Image.new("RGB", (8, 8)).save(picture)
    with Stub(latency=0.0, picture=picture) as stub:
        assert len({http.get(f"{stub.url}/inputs/{number}").content for number in range(2)}) == 2
        look = http.get(f"{stub.url}/inputs/7", headers={"Range": "bytes=0-0"})
        assert (look.status_code, len(look.content)) == (HTTPStatus.PARTIAL_CONTENT, 1)
        assert http.get(f"{stub.url}/inputs/x").status_code == HTTPStatus.NOT_FOUND
    with Stub(latency=0.0) as stub:
        assert http.get(f"{stub.url}/inputs/7").content
