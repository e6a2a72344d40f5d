"""Catalogs at http addresses: what the server tells of them, and what it cannot make us do."""

from __future__ import annotations

import gzip
import threading
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from catalog import remote
from catalog.columns import Row
from catalog.errors import BadRowsError, CatalogError
from catalog.folders import is_search
from catalog.intake import take_in
from catalog.rows import open_rows
from tests.unit.catalog.catalogs import accounts, picture
from tests.unit.catalog.workbooks import workbook_bytes
from tests.words import names, unsaid
from workers.images.roots import Roots
from workers.jobs.routing import Reach

ACCOUNTS = accounts("zhiqite")
CSV = b"key,kind,source,target\n1,swap,a.png,b.png\n"
XLSX = workbook_bytes([["key", "kind", "source", "target"], [1, "swap", "a.png", "b.png"]])
JSON = b'{"key": "1", "kind": "swap", "source": "a.png", "target": "b.png"}\n'
Answer = tuple[int, dict[str, str], bytes]


class Server(ThreadingHTTPServer):
    """Answers each path as it is told to."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: dict[str, Answer] = {}
        self.asked: list[tuple[str, str | None]] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.asked.append((self.path, self.headers.get("Authorization")))
        status, headers, body = self.server.answers[self.path]
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as made:
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield made
        made.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("path", "headers", "body"),
    [
        ("/d/abc/export?format=csv", {"Content-Type": "application/octet-stream"}, CSV),
        ("/d/export?id=7*", {"Content-Type": "text/csv; charset=utf-8"}, CSV),
        ("/list.php?x=[1]", {"Content-Type": "text/tab-separated-values"}, CSV.replace(b",", b"\t")),
        ("/rows", {"Content-Type": "application/x-ndjson"}, JSON),
        ("/list", {"Content-Type": "Text/X-CSV"}, CSV),
        ("/get", {"Content-Disposition": 'attachment; filename="Spring 2027.CSV"'}, CSV),
        (
            "/get",
            {"Content-Disposition": "attachment; filename*=UTF-8''sch%C3%B6n.csv.gz"},
            gzip.compress(CSV, mtime=0),
        ),
        ("/c.csv", {"Content-Type": "application/octet-stream"}, CSV),
        ("/sheet", {"Content-Type": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"}, XLSX),
        ("/export?format=xlsx", {"Content-Type": "application/octet-stream"}, XLSX),
        ("/c.csv.gz", {"Content-Encoding": "gzip"}, gzip.compress(CSV, mtime=0)),
    ],
)
def test_the_address_or_the_server_tells_the_format(
    server: Server, path: str, headers: dict[str, str], body: bytes
) -> None:
    server.answers[path] = 200, headers, body
    place = f"{server.address}{path}"
    assert not is_search(place)
    (row,) = list(open_rows(place))
    assert isinstance(row, Row)
    assert row.values["key"] == "1"


@pytest.mark.parametrize("path", ["/c.csv", "/export?format=csv", "/login"])
@pytest.mark.parametrize("kind", ["text/html; charset=utf-8", "text/csv"])
def test_a_web_page_is_told_as_one(server: Server, path: str, kind: str) -> None:
    server.answers[path] = 200, {"Content-Type": kind}, b"\n <!DOCTYPE html><title>Sign in</title>"
    with pytest.raises(CatalogError, match=names(server.address, "web page")):
        list(open_rows(f"{server.address}{path}"))


def test_a_format_that_nobody_tells_is_asked_for(server: Server) -> None:
    server.answers["/c"] = 200, {"Content-Type": "application/octet-stream"}, CSV
    with pytest.raises(CatalogError, match=names(f"{server.address}/c", ".csv")):
        list(open_rows(f"{server.address}/c"))


def test_a_redirect_into_this_machine_is_not_followed(server: Server) -> None:
    with Server() as inner:
        thread = threading.Thread(target=inner.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        inner.answers["/c.csv"] = 200, {}, CSV
        server.answers["/c.csv"] = 302, {"Location": f"{inner.address}/c.csv"}, b""
        server.answers["/own.csv"] = 302, {"Location": "/moved.csv"}, b""
        server.answers["/moved.csv"] = 200, {}, CSV
        with pytest.raises(CatalogError, match=names("c.csv", "127.0.0.1")) as caught:
            list(open_rows(f"{server.address}/c.csv"))
        assert "allow_hosts" not in str(caught.value), "no account is asked here"
        assert len(list(open_rows(f"{server.address}/own.csv"))) == 1
        assert inner.asked == []
        inner.shutdown()
        thread.join()


def test_only_so_much_is_fetched(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "MAX_BYTES", 10_000)
    server.answers["/plain.csv"] = 200, {}, CSV * 1_000
    server.answers["/packed.csv"] = 200, {"Content-Encoding": "gzip"}, gzip.compress(CSV * 1_000)
    for path in ("/plain.csv", "/packed.csv"):
        with pytest.raises(CatalogError, match=names(path[1:], "10,000")):
            list(open_rows(f"{server.address}{path}"))


def test_a_catalog_that_does_not_come_to_an_end_is_given_up(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "FETCH_SECONDS", 0.3)
    stopped = threading.Event()

    def drip(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", "text/csv")
        handler.end_headers()
        while not stopped.wait(0.05):  # often enough that nobody takes it for dead
            handler.wfile.write(CSV)
            handler.wfile.flush()

    monkeypatch.setattr(_Handler, "do_GET", drip)
    monkeypatch.setattr(_Handler, "handle_one_request", _quietly(BaseHTTPRequestHandler.handle_one_request))
    try:
        with pytest.raises(CatalogError, match=names("endless.csv")):
            list(open_rows(f"{server.address}/endless.csv"))
    finally:
        stopped.set()


def _quietly(handle: Callable[[BaseHTTPRequestHandler], None]) -> Callable[[BaseHTTPRequestHandler], None]:
    """A reader that hangs up is what is tested, and nothing to print."""

    def handled(handler: BaseHTTPRequestHandler) -> None:
        with suppress(OSError):
            handle(handler)

    return handled


def test_a_user_and_a_password_are_sent_to_the_host_they_are_for_and_told_to_nobody(server: Server) -> None:
    server.answers["/c.csv?token=hush"] = 302, {"Location": "/d.csv"}, b""
    server.answers["/d.csv"] = 404, {}, b""
    with pytest.raises(CatalogError, match=names("c.csv", "404")) as caught:
        list(open_rows(f"{server.address.replace('//', '//anna:s%40cret@')}/c.csv?token=hush"))
    assert server.asked == [("/c.csv?token=hush", f"Basic {b64encode(b'anna:s@cret').decode()}"), ("/d.csv", None)]
    assert not any(secret in str(caught.value) for secret in ("cret", "hush", "anna"))


def test_a_catalog_elsewhere_names_local_files_only_below_the_roots(server: Server, tmp_path: Path) -> None:
    for name in ("in/a.png", "b.png"):
        picture(tmp_path / name)
    inside, outside = str(tmp_path / "in" / "a.png"), str(tmp_path / "b.png")

    def told(source: str, *roots: str) -> str:
        row = f"key,kind,source,target\n1,swap,{source},https://cdn.example/t.png\n"
        server.answers["/c.csv"] = 200, {}, row.encode()
        reach = Reach(public_url=True, presigned=False, roots=Roots.named(roots))
        try:
            with take_in(f"{server.address}/c.csv", ACCOUNTS, reach):
                return ""
        except BadRowsError as error:
            return str(error)

    for source in (inside, f"file://{inside}", outside):
        assert unsaid(told(source), ":2:", "source", "RECAST_INPUT_ROOTS") == []
    assert told(inside, str(tmp_path / "in")) == ""
    assert unsaid(told(outside, str(tmp_path / "in")), ":2:", "source", "RECAST_INPUT_ROOTS") == []
    assert told("a.png") == "", "relative names are addresses beside the catalog"


def test_a_catalog_itself_lies_below_the_roots(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "c.csv").write_bytes(CSV)
    (tmp_path / "in" / "c.csv").write_bytes(CSV)
    (tmp_path / "in" / "link.csv").symlink_to(tmp_path / "c.csv")
    roots = Roots.named([str(tmp_path / "in")])
    assert len(list(open_rows(tmp_path / "in" / "c.csv", roots))) == 1
    for place in (str(tmp_path / "c.csv"), str(tmp_path / "in" / "link.csv"), "s3://bucket/c.csv"):
        with pytest.raises(CatalogError, match=names(place, "RECAST_INPUT_ROOTS")):
            list(open_rows(place, roots))
