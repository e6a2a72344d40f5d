"""Secrets that are planted so that they can be looked for, and everything a deployment writes, to look into."""

from __future__ import annotations

import base64
import json
import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

from redis import Redis
from sqlalchemy import Engine, text

ENCODED = re.compile(rb"[A-Za-z0-9+/_-]{24,}={0,2}")


class Canaries:
    """Secrets by name. What is looked for is each of them as it stands, and within base64."""

    def __init__(self) -> None:
        self.secrets: dict[str, str] = {}

    def new(self, name: str, beginning: str = "") -> str:
        """A secret nobody can find by chance."""
        made: str = self.secrets.setdefault(name, f"{beginning}canary{secrets.token_hex(10)}")
        return made

    def add(self, name: str, secret: str) -> None:
        """Look for a secret that was made elsewhere, too."""
        assert len(secret) >= 12, f"{name} may stand anywhere by chance"
        self.secrets[name] = secret

    def seen_in(self, place: str, data: bytes | str) -> list[str]:
        """The secrets that `data` holds, each with the place and what stands around it."""
        raw = data.encode("utf-8", "replace") if isinstance(data, str) else data
        found = []
        for form in (raw, *_decoded(raw)):
            for name, secret in self.secrets.items():
                at = form.find(secret.encode())
                if at >= 0:
                    found.append(f"{name} in {place}: ...{form[max(0, at - 80) : at + len(secret) + 20]!r}")
        return found


def _decoded(raw: bytes) -> Iterator[bytes]:
    for piece in ENCODED.findall(raw):
        clean = piece.rstrip(b"=").translate(bytes.maketrans(b"-_", b"+/"))
        if len(clean) % 4 == 1:  # a letter of what stood beside it
            clean = clean[:-1]
        yield base64.b64decode(clean + b"=" * (-len(clean) % 4))


class EchoServer:
    """Every provider at once: it gives tokens that are canaries, and repeats whatever else it is sent in an error."""

    def __init__(self, canaries: Canaries) -> None:
        tokens = {
            name: canaries.new(f"the token {name} that the provider gave")
            for name in ("access", "refresh", "for a key")
        }

        class Handler(BaseHTTPRequestHandler):
            def _serve(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                if self.path.endswith("/tokens") and self.command == "POST":
                    self._answer(200, {"access_token": tokens["access"], "refresh_token": tokens["refresh"]})
                elif self.path.endswith("/apikey2token"):
                    self._answer(200, {"code": 0, "result": {"token": tokens["for a key"]}})
                else:
                    status = int(self.path.split("/")[1])
                    told = body.decode("utf-8", "replace")[:20_000]
                    message = f"{self.command} {self.path} {dict(self.headers.items())} {told}"
                    self._answer(status, {"code": "500", "msg": message, "detail": message, "error": message})

            do_GET = do_POST = do_PUT = do_DELETE = _serve  # noqa: N815 - named by the protocol

            def _answer(self, status: int, document: Mapping[str, Any]) -> None:
                data = json.dumps(document).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})

    def url(self, status: int) -> str:
        """Where every answer has this status."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/{status}"

    @contextmanager
    def running(self) -> Iterator[EchoServer]:
        self._thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()


def of_database(engine: Engine) -> Iterator[tuple[str, bytes]]:
    """Every value of every row."""
    with engine.connect() as connection:
        columns = connection.execute(
            text(
                "SELECT table_name, column_name, data_type FROM information_schema.columns"
                " WHERE table_schema = 'public'"
            )
        )
        for table, name, kind in columns.all():
            # As text, because psycopg cannot read an infinite time.
            shown = f'"{name}"' if kind == "bytea" else f'cast("{name}" AS text)'
            for value in connection.execute(text(f'SELECT {shown} FROM "{table}"')).scalars():  # noqa: S608
                if value is not None:
                    yield f"{table}.{name}", value.encode() if isinstance(value, str) else bytes(value)


def of_redis(url: str) -> Iterator[tuple[str, bytes]]:
    """Every key of every database, and what it holds."""
    for number in range(3):
        with Redis.from_url(url, db=number) as client:
            for key in client.scan_iter(count=1_000):
                yield f"key {key!r}", key
                kind = client.type(key)
                value: Any = {
                    b"string": client.get, b"hash": client.hgetall, b"set": client.smembers,
                    b"list": lambda name: client.lrange(name, 0, -1), b"zset": lambda name: client.zrange(name, 0, -1),
                }[kind](key)  # fmt: skip
                for piece in _pieces(value):
                    yield f"key {key!r}", piece


def _pieces(value: Any) -> Iterator[bytes]:
    if isinstance(value, bytes):
        yield value
    elif isinstance(value, Mapping):
        for name, item in value.items():
            yield from (name, item)
    else:
        yield from value


def of_files(folder: Path, *but: Path) -> Iterator[tuple[str, bytes]]:
    """Every file below `folder`, but for those below `but`."""
    for path in folder.rglob("*"):
        if path.is_file() and not any(path.is_relative_to(other) for other in but):
            yield str(path.relative_to(folder)), path.read_bytes()


def of_processes(pids: list[int]) -> Iterator[tuple[str, bytes]]:
    """The command lines, which every user of the machine may read."""
    for pid in pids:
        yield f"the command line of {pid}", Path(f"/proc/{pid}/cmdline").read_bytes()
