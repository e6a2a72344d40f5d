"""Attacks on `recast web` by a client that has no password, no token and no link, from the same address as everybody.

``python -m tests.hostile.attacks PORT TOKEN SECONDS NAME`` makes one of them and prints the statuses that it was told.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from urllib.parse import urlencode

from desk.people import form_token
from tests.hostile.cases import Area, Case, survived

MANY = 300  # connections of an attack, side by side
MORE = 600  # connections of one that wants more than one address may have
GIGABYTE = 1_000_000_000
Parts = Callable[[str, int], Iterator[bytes]]


@dataclass
class Attack:
    """What each of several connections sends, again and again.

    Args:
        parts: what one connection sends, from the token of an open attempt and the number of the connection; what it
            gives forever, the connection sends until it is ended.
        connections: side by side.
        pause: seconds before each part but the first.
        reads: whether the answers are read.
        resets: whether each connection is reset when all was sent.
    """

    parts: Parts
    connections: int = MANY
    pause: float = 0.0
    reads: bool = True
    resets: bool = False
    statuses: Counter[str] = field(default_factory=Counter)

    async def run(self, port: int, token: str, seconds: float) -> None:
        """Attack for some seconds."""
        numbers = count()
        tasks = [asyncio.create_task(self._keep_on(port, token, numbers)) for _ in range(self.connections)]
        await asyncio.wait(tasks, timeout=seconds)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _keep_on(self, port: int, token: str, numbers: Iterator[int]) -> None:
        while True:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                self.statuses["refused"] += 1
                await asyncio.sleep(0.05)
                continue
            listening = asyncio.create_task(self._listen(reader)) if self.reads else None
            try:
                for number, part in enumerate(self.parts(token, next(numbers))):
                    if number and self.pause:
                        await asyncio.sleep(self.pause)
                    if listening and listening.done():
                        break
                    writer.write(part)
                    await writer.drain()
                if listening:
                    await listening
                elif not self.resets:
                    await asyncio.sleep(3600)
            except OSError:
                pass
            finally:
                writer.transport.abort()
                if listening:
                    listening.cancel()
            await asyncio.sleep(0)

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        """Note the status of the first answer; return when the connection was ended, or the answer is there."""
        try:
            line = await reader.readline()
            if line:
                self.statuses[line.split(b" ")[1].decode() if b" " in line else "none"] += 1
        except OSError:
            pass


def request(line: str, *headers: str, body: bytes = b"") -> bytes:
    return "\r\n".join([f"{line} HTTP/1.1", "Host: recast", *headers, "", ""]).encode() + body


def once(made: Callable[[str, int], bytes]) -> Parts:
    return lambda token, number: iter([made(token, number)])


def forever(head: Callable[[str], bytes], part: bytes) -> Parts:
    def parts(token: str, _: int) -> Iterator[bytes]:
        yield head(token)
        while True:
            yield part

    return parts


def get(path: str, *headers: str) -> Parts:
    return once(lambda _, n: request(f"GET {path.format(n=n)}", *[header.format(n=n) for header in headers]))


def basic(number: int) -> str:
    return "Authorization: Basic " + b64encode(f"recast:a long guess {number}".encode()).decode()


def typed(**guess: str) -> bytes:
    """A form with a wrong guess; what else it carries anybody can compute."""
    form = urlencode({"form": form_token("door"), "name": "somebody", **guess})
    kind, length = "Content-Type: application/x-www-form-urlencoded", f"Content-Length: {len(form)}"
    return request("POST /sign-in", "Cookie: recast_door=door", kind, length, body=form.encode())


def post(token: str | None, *headers: str) -> Callable[[str], bytes]:
    return lambda known: request(f"POST /callbacks/{token or known}", *headers)


CHUNKED = "Transfer-Encoding: chunked"
LENGTH = f"Content-Length: {GIGABYTE}"
KIB64 = bytes(1 << 16)
CHUNK = b"10000\r\n" + KIB64 + b"\r\n"
NOBODY = "x" * 32
TWO = request("GET /healthz") * 100


API = "/api/v1/plans"
JSON = "Content-Type: application/json"


def to_api(*headers: str) -> Callable[[str], bytes]:
    return lambda _: request(f"POST {API}", JSON, *headers)


def silence(_: str, __: int) -> Iterator[bytes]:
    yield b""


def attack(name: str, made: Attack, says: str) -> Case:
    """An attack; `says` lists the statuses that the attacker may be told."""
    return survived(name, lambda: made, says)


CASES: Sequence[Case] = (
    attack("300 connections that say nothing", Attack(silence), ""),
    attack("a header's byte each second", Attack(forever(lambda _: b"GET / HTTP/1.1\r\nX: ", b"x"), pause=1.0), ""),
    attack("headers without an end",
           Attack(forever(lambda _: b"GET / HTTP/1.1\r\n", b"X: y\r\n" * 500), 8, 0.01), "400"),
    attack("a header of 1 MB", Attack(get("/healthz", "X: " + "x" * 1_000_000), 8), "400, 431"),
    attack("1,000 headers", Attack(get("/healthz", *["X: y"] * 1_000), 8), "400, 431"),
    attack("a query of 60,000 characters", Attack(get("/healthz?" + "x" * 60_000)), "400, 414"),
    attack("a body's byte each second, unknown token",
           Attack(forever(post(NOBODY, LENGTH), b"x"), pause=1.0), "404"),
    attack("a body's byte each second, known token",
           Attack(forever(post(None, "Content-Length: 1000"), b"x"), 100, 1.0), "408"),
    attack("1 GB for an unknown token", Attack(forever(post(NOBODY, LENGTH), KIB64), 8), "404"),
    attack("chunks without an end for an unknown token", Attack(forever(post(NOBODY, CHUNKED), CHUNK), 8), "404"),
    attack("1 GB for a known token", Attack(forever(post(None, LENGTH), KIB64), 8), "413"),
    attack("chunks without an end for a known token", Attack(forever(post(None, CHUNKED), CHUNK), 8), "413"),
    attack("a body that waits to be wanted", Attack(once(
        lambda *_: request(f"POST /callbacks/{NOBODY}", LENGTH, "Expect: 100-continue"))), "404"),
    attack("a body of another page", Attack(forever(lambda _: request("GET /healthz", LENGTH), KIB64), 8), "200"),
    attack("guessed tokens",
           Attack(once(lambda _, n: request(f"POST /callbacks/{n:032}", "Content-Length: 0"))), "404"),
    attack("guessed tokens in the present form",
           Attack(once(lambda _, n: request(f"POST /callbacks/{n:048}", "Content-Length: 0"))), "404"),
    attack("tokens that are guessed by more connections than there may be",
           Attack(once(lambda _, n: request(f"POST /callbacks/{n:032}", "Content-Length: 0")), MORE), "404, 503"),
    attack("health, by more connections than there may be", Attack(get("/healthz"), MORE), "200, 503"),
    attack("requests that come a moment after their connections", Attack(
        lambda _, n: iter([b"", request(f"POST /callbacks/{n:032}", "Content-Length: 0")]), MORE, 0.05), "404, 503"),
    attack("guessed cookies of people", Attack(get("/batches", "Cookie: recast_session={n:043}")), "303"),
    attack("guessed cookies of guests", Attack(get("/batches", "Cookie: recast_guest={n:043}")), "303"),
    attack("guessed guest links", Attack(get("/guest/{n:043}")), "404"),
    attack("passwords for the page that asks for them",
           Attack(once(lambda _, n: typed(password=f"a long guess {n}"))), "422"),
    attack("keys of links that sign in, guessed",
           Attack(once(lambda _, n: typed(key=f"{9 * 10**12 + n}.{n:032}.b3Bz.{'A' * 43}"))), "422"),
    attack("the page that asks for a password", Attack(get("/sign-in")), "200"),
    attack("pages for nobody", Attack(get("/batches")), "303"),
    attack("health, again and again", Attack(get("/healthz")), "200"),
    attack("guessed links", Attack(get(f"/media/999999999999/{'A' * 32}/aa/bb/{{n}}.png")), "403"),
    attack("guessed passwords", Attack(once(lambda _, n: request("GET /batches", basic(n)))), "401"),
    attack("guessed metrics tokens",
           Attack(once(lambda _, n: request("GET /metrics", f"Authorization: Bearer {n:032}"))), "401"),
    attack("guessed tokens of programs",
           Attack(once(lambda _, n: request("GET /api/v1/batches", f"Authorization: Bearer {n:032}"))), "401"),
    attack("1 GB for the API, without a token", Attack(forever(to_api(LENGTH), KIB64), 8), "401"),
    attack("1 GB for the API, with a guessed token",
           Attack(forever(to_api(LENGTH, f"Authorization: Bearer {NOBODY}"), KIB64), 8), "401"),
    attack("1 GB for the tools of assistants, with a guessed token",
           Attack(forever(lambda _: request("POST /mcp", JSON, LENGTH, f"Authorization: Bearer {NOBODY}"), KIB64), 8),
           "401"),
    attack("a body's byte each second for the API",
           Attack(forever(to_api("Content-Length: 1000"), b"x"), pause=1.0), "401"),
    attack("the API's document, again and again", Attack(get("/api/v1/openapi.json")), "200"),
    attack("the API's document, below another path each time",
           Attack(get("/api/v1/openapi.json", "X-Forwarded-Prefix: /path-{n}")), "200"),
    attack("answers that nobody reads", Attack(forever(lambda _: TWO, TWO), 8, reads=False), ""),
    attack("two lengths, as for smuggling",
           Attack(once(lambda *_: request("POST /healthz", CHUNKED, "Content-Length: 4", body=b"0\r\n\r\n"))), "400"),
    attack("two lengths that differ", Attack(get("/healthz", "Content-Length: 4", "Content-Length: 5")), "400"),
    attack("another protocol", Attack(once(lambda *_: b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 50)), "400"),
    attack("an upgrade", Attack(get("/healthz", "Connection: Upgrade", "Upgrade: websocket")), "200"),
    attack("an unknown method", Attack(once(lambda *_: request("JEFF /healthz"))), "405"),
    attack("an address for a path", Attack(get("http://169.254.169.254/")), "400"),
    attack("numbers of 5,000 digits", Attack(get("/batches/" + "9" * 5_000)), "404"),
    attack("a slash too many, and a foreign Host",
           Attack(once(lambda *_: b"GET /healthz/ HTTP/1.1\r\nHost: evil.example\r\n\r\n")), "404"),
    attack("connections that are reset at once", Attack(silence, reads=False, resets=True), ""),
    attack("a false proxy's addresses", Attack(once(
        lambda _, n: request("GET /batches", basic(n), f"X-Forwarded-For: 10.0.{n % 256}.1"))), "401"),
)  # fmt: skip

AREAS = (
    Area(
        "Attacks on `recast web`",
        "made against a real server on a real database, from the same address as honest clients, who fetch pictures and"
        " call back meanwhile and wait less than 500 ms for it; the third column lists what the attacker may be told",
        CASES,
    ),
)


def main(port: str, token: str, seconds: str, name: str) -> None:
    """Make one attack."""
    made: Attack = next(case for case in CASES if case.name == name).make()
    began = time.monotonic()
    asyncio.run(made.run(int(port), token, float(seconds)))
    sys.stdout.write(json.dumps({"statuses": made.statuses, "seconds": time.monotonic() - began}))


if __name__ == "__main__":
    main(*sys.argv[1:])
