from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from cli.browser import address_of, signing_in
from cli.exit_codes import ExitCode
from cli.main import main
from desk.local_links import FRAGMENT
from tests.words import unsaid
from workers.config.settings import Settings


@contextmanager
def web(status: int) -> Iterator[str]:
    """A web process that answers each request with `status`."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def running(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The stack file of a home in which something has run."""
    (folder / ".recast" / "postgres").mkdir(parents=True)
    # What a browser would be given.
    monkeypatch.setattr("webbrowser.open", (folder / "opened").write_text)
    monkeypatch.setattr("cli.browser._has_screen", lambda: True)
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    return folder / ".recast" / "stack.json"


@pytest.mark.parametrize(("status", "code"), [(401, ExitCode.OK), (200, ExitCode.OK), (404, 4), (500, 4)])
def test_the_gallery_is_opened_where_it_is_served(
    running: Path, folder: Path, capsys: pytest.CaptureFixture[str], status: int, code: int
) -> None:
    with web(status) as url:
        running.write_text(json.dumps({"web_url": url}))
        assert main(["open"]) == code
        told = capsys.readouterr()
        assert told.out == f"{url}/batches\n"
        assert (folder / "opened").exists() is (code == ExitCode.OK)
        assert bool(told.err) is (code != ExitCode.OK)
        assert main(["open", "--no-browser"]) == code


@pytest.mark.parametrize("words", [["open"], ["open", "--json"]])
def test_at_this_machine_the_link_signs_in_and_no_other_user_can_read_it(
    running: Path, folder: Path, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    with web(200) as url:
        running.write_text(json.dumps({"web_url": url, "secret_key": "a-key-of-the-tests"}))
        assert main(words) == ExitCode.OK
        out = capsys.readouterr().out
    link = json.loads(out)["url"] if "--json" in words else out.strip()
    assert link.startswith(f"{url}/sign-in#{FRAGMENT}")
    if "--json" in words:
        assert not (folder / "opened").exists(), "it is for programs"
        return
    # What a browser is started with can be read by every user of the machine.
    given = (folder / "opened").read_text()
    assert given.startswith("file://")
    page = Path(given.removeprefix("file://"))
    assert link in page.read_text()
    assert page.stat().st_mode & 0o077 == 0


def test_elsewhere_the_link_signs_nobody_in(tmp_path: Path) -> None:
    chosen = Settings(_env_file=None, home=tmp_path, secret_key="a-key-of-the-tests")
    for base in ("https://shop.example/recast", "http://10.0.0.1:8765"):
        assert signing_in(chosen, base) is None
    assert signing_in(chosen.model_copy(update={"secret_key": None}), "http://127.0.0.1:1") is None
    assert (signing_in(chosen, "http://[::1]:1/below", "batches/3") or "").startswith(
        f"http://[::1]:1/below/sign-in?next=%2Fbatches%2F3#{FRAGMENT}"
    )


def test_nothing_is_opened_where_nothing_answers(
    running: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    running.write_text(json.dumps({"web_url": "http://127.0.0.1:1"}))
    assert main(["open"]) == ExitCode.INFRASTRUCTURE
    assert unsaid(capsys.readouterr().err, "recast web") == []
    assert not (folder / "opened").exists()


def test_the_address_is_that_of_the_stack_then_that_of_the_settings(tmp_path: Path) -> None:
    def chosen(**more: object) -> Settings:
        return Settings(_env_file=None, home=tmp_path, **more)  # type: ignore[arg-type]

    assert address_of(chosen(web_host="::", web_port=9000)) == "http://[::1]:9000"
    assert address_of(chosen(public_url="https://shop.example/recast")) == "https://shop.example/recast"
    (tmp_path / "stack.json").write_text(json.dumps({"web_url": "http://127.0.0.1:7"}))
    assert address_of(chosen(public_url="https://shop.example/recast")) == "http://127.0.0.1:7/recast"
