"""`recast up` at another address than the usual one, and the commands that look at it meanwhile."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from cli.exit_codes import ExitCode
from devstack.ports import pick_port
from tests import http
from tests.integration.cli.desk import SECONDS, Desk, entered, read_until
from tests.words import unsaid

ACCOUNTS = """
[accounts.nobody-there]
provider = "qolaba"
base_url = "http://127.0.0.1:1"
token = "a-token-of-the-tests"
"""


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path)
    (tmp_path / "accounts.toml").write_text(ACCOUNTS)
    desk.env |= {"RECAST_WEB_HOST": "127.0.0.2", "RECAST_WEB_PORT": str(pick_port(None))}
    yield desk
    desk.close()


def start(desk: Desk, *words: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-m", "cli", *words], cwd=desk.folder, env=desk.env, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    desk.started.append(process)
    return process


@pytest.mark.long
@pytest.mark.allow_hosts(["127.0.0.1", "127.0.0.2", "::1"])
def test_another_address_is_served_and_looked_at_with_the_key_of_the_stack(desk: Desk) -> None:
    up = start(desk, "up")
    url = f"http://127.0.0.2:{desk.env['RECAST_WEB_PORT']}"
    assert url in read_until(up, "web ")
    assert http.get(f"{url}/healthz", timeout=60).status_code == 200

    out, _ = start(desk, "doctor", "--json").communicate(timeout=SECONDS)
    found = {item["name"]: item for item in json.loads(out)["findings"]}
    assert found["secret key"]["state"] == "ok", out
    # The account cannot be reached, and is asked all the same: its token could be read.
    assert found["credentials nobody-there"]["state"] == "bad", out
    out, _ = start(desk, "accounts", "check").communicate(timeout=SECONDS)
    assert "RECAST_SECRET_KEY" not in out

    up.send_signal(signal.SIGINT)
    up.communicate(timeout=SECONDS)


@pytest.mark.long
def test_in_an_empty_folder_the_sandbox_stands_in_and_one_link_signs_in(tmp_path: Path) -> None:
    folder = tmp_path / "fresh"
    folder.mkdir()
    desk = Desk(folder)
    try:
        up = start(desk, "up")
        said = read_until(up, "commands with --sandbox")
        (link,) = re.findall(r"^  web +(\S+)$", said, re.MULTILINE)
        assert unsaid(said, "accounts.toml", "sandbox") == []
        page = entered(link)
        assert (page.status_code, page.url.path) == (200, "/today")
        out, _ = start(desk, "open", "--sandbox", "--json").communicate(timeout=SECONDS)
        assert entered(json.loads(out)["url"]).status_code == 200
        up.send_signal(signal.SIGINT)
        up.communicate(timeout=SECONDS)
        assert up.returncode == ExitCode.OK
        # The link that was not used ends with the process that it was for.
        out, _ = start(desk, "open", "--sandbox").communicate(timeout=SECONDS)
        assert unsaid(out, "recast up --sandbox") == []
    finally:
        desk.close()


def test_a_port_in_use_is_told_instead_of_an_address(desk: Desk) -> None:
    with closing(socket.create_server(("127.0.0.2", int(desk.env["RECAST_WEB_PORT"])))):
        up = start(desk, "up")
        out, _ = up.communicate(timeout=SECONDS)
    assert up.returncode == ExitCode.USAGE, out
    assert "RECAST_WEB_PORT" in out
    assert "running; Ctrl-C" not in out
