"""Who may come into the sandbox: programs of this machine, and with the token to its own pages; no web page."""

from __future__ import annotations

import asyncio
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from starlette.responses import PlainTextResponse

from sandbox.door import STATE_FILE, Door, token_of
from tests.http import ASGITransport, AsyncClient

TOKEN = "the-token"
OWN = {"Host": "127.0.0.1:5000"}
KNOWN = {"Authorization": f"Bearer {TOKEN}"}


def asked(path: str, headers: Mapping[str, Any]) -> int:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await PlainTextResponse("in")(scope, receive, send)

    async def send() -> int:
        transport = ASGITransport(Door(app, TOKEN))
        async with AsyncClient(transport=transport, base_url="http://127.0.0.1:5000") as client:
            return (await client.post(path, headers=dict(headers))).status_code

    return asyncio.run(send())


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:5000", "localhost:5000", "LOCALHOST", "[::1]:5000"])
def test_programs_of_this_machine_come_in(host: str) -> None:
    assert asked("/zhiqite/x", {"Host": host}) == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:5000", "127.0.0.1.evil.example", "localhost.evil.example", "192.168.0.7:5000",
     "0.0.0.0:5000", "", "127.0.0.1@evil.example", "evil.example#127.0.0.1", "[::1", "2130706433"],
)  # fmt: skip
def test_a_name_that_was_made_to_resolve_to_loopback_does_not(host: str) -> None:
    assert asked("/zhiqite/x", {"Host": host}) == 421
    assert asked("/_sandbox/faults", {"Host": host, **KNOWN}) == 421


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:8080"},
        {"Origin": "http://localhost:5000"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_a_web_page_of_another_site_does_not(headers: dict[str, str]) -> None:
    assert asked("/zhiqite/x", OWN | headers) == 403
    assert asked("/_sandbox/faults", OWN | KNOWN | headers) == 403


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/_sandbox/faults", {}, 401),
        ("/_sandbox/faults", {"Authorization": "Bearer other"}, 401),
        ("/_sandbox/faults", {"Authorization": "Bearer é"}, 401),
        ("/_sandbox/bill?token=other", {}, 401),
        ("/_sandbox/faults", KNOWN, 200),
        (f"/_sandbox/bill?token={TOKEN}", {}, 200),
        ("/_sandbox/bill", {"Authorization": f"Bearer {TOKEN}", "Sec-Fetch-Site": "none"}, 200),
        ("/_sandbox/bill", {**KNOWN, "Origin": "http://127.0.0.1:5000"}, 200),
    ],
)
def test_its_own_pages_want_the_token(path: str, headers: Mapping[str, str], status: int) -> None:
    assert asked(path, OWN | {name: value.encode() for name, value in headers.items()}) == status


def test_the_token_stays_and_is_for_its_owner_alone(tmp_path: Path) -> None:
    token = token_of(tmp_path / "home")
    state = tmp_path / "home" / STATE_FILE
    assert len(token) >= 32
    assert token_of(tmp_path / "home") == token
    assert stat.S_IMODE(state.stat().st_mode) == 0o600
    state.write_text("{")
    assert token_of(tmp_path / "home") != token
