"""Tools over HTTP: the official client with a token, and what is refused before anything is read."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from desk import audit, tokens
from devstack.ports import bind
from models.people import Role
from tests.integration.desk.pictures import made
from tests.integration.web.asking import ROOT, chosen, token
from tests.web.client import Client
from tests.web.serving import serving
from web.api import api
from web.api.tools import TOOLS
from web.app import build

if TYPE_CHECKING:
    from starlette.applications import Starlette

    from tests.integration.database import Database

pytest_plugins = ["tests.integration.database"]
pytest.importorskip("mcp", reason="the extra mcp brings it")

CALL = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "batches", "arguments": {}}}
HEADERS = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "WRONG_SECONDS", 0.0)


@pytest.fixture
def app(database: Database, tmp_path: Path) -> Starlette:
    made(database, 2)
    return build(chosen(database, tmp_path))


class Program(Client):
    """A program that sends what it likes."""

    def ask(self, shown: str | None, method: str = "POST", said: Any = CALL, **headers: str) -> Any:
        bearer = {"Authorization": f"Bearer {shown}"} if shown is not None else {}
        asked = self._client.request(method, "/mcp", headers=HEADERS | bearer | headers, content=json.dumps(said))
        return self._runner.run(asked)


@pytest.fixture
def program(app: Starlette) -> Iterator[Program]:
    with Program(app) as made_:
        yield made_


def test_an_assistant_speaks_the_protocol_over_http(app: Starlette, database: Database) -> None:
    # The client's own HTTP library, which it does not hide.
    http: Any = importlib.import_module("httpx2")
    transport: Any = importlib.import_module("mcp.client.streamable_http").streamable_http_client
    client_of: Any = importlib.import_module("mcp").Client
    shown = token(database, "assistant", Role.OPERATOR)
    listener = bind(None)
    url = f"http://127.0.0.1:{listener.getsockname()[1]}/mcp"

    async def talk() -> None:
        async with (
            http.AsyncClient(headers={"Authorization": f"Bearer {shown}"}) as inner,
            client_of(transport(url, http_client=inner)) as client,
        ):
            assert {each.name for each in (await client.list_tools()).tools} == set(TOOLS)
            found = await client.call_tool("batch", {"name": "spring"})
            assert (found.is_error, found.structured_content["made"]) == (False, 2)
            paused = await client.call_tool("pause", {"filter": {"batch": "spring"}})
            assert paused.structured_content["batches"] == 1
            wrong = await client.call_tool("batch", {"name": "sprin"})
            assert (wrong.is_error, wrong.structured_content["status"]) == (True, 404)

    with serving(app, listener):
        anyio.run(talk)
    (entry,) = database.run(audit.latest, 1)
    assert (entry.person, entry.via, entry.action) == ("token assistant", "mcp", "pause")


def test_each_request_shows_a_token_that_is_known(program: Program, database: Database) -> None:
    shown = token(database, "assistant", Role.VIEWER)
    for wrong in (None, "", "recast_wrong"):
        answer = program.ask(wrong)
        assert (answer.status_code, answer.headers["www-authenticate"][:6]) == (401, "Bearer"), wrong
    answer = program.ask(shown)
    assert answer.status_code == 200, answer.text
    assert answer.json()["result"]["structuredContent"]["items"][0]["batch"] == "spring"
    pause = {"name": "pause", "arguments": {"filter": {"batch": "spring"}}}
    refused = program.ask(shown, said=CALL | {"params": pause}).json()["result"]
    assert (refused["isError"], refused["structuredContent"]["status"]) == (True, 403)
    database.run(tokens.revoke, ROOT, "assistant")
    assert program.ask(shown).status_code == 401


def test_what_is_not_a_call_is_refused(program: Program, database: Database) -> None:
    shown = token(database, "assistant", Role.OPERATOR)
    for method in ("GET", "DELETE", "PUT"):
        answer = program.ask(shown, method)
        assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    assert program.ask(shown, Origin="https://elsewhere.example").status_code == 403
    assert program.ask(shown, Origin="http://recast").status_code == 200
    wrong: tuple[Any, ...] = (
        [],
        "x",
        {"jsonrpc": "2.0"},
        {"jsonrpc": "2.0", "id": 1, "method": "no/such"},
        {"id": {}},
        None,
    )
    for said in wrong:
        assert 200 <= program.ask(shown, said=said).status_code < 500, said
    assert program.ask(shown, said={"jsonrpc": "2.0", "method": "x" * (17 << 20)}).status_code == 413


def test_without_the_extra_there_is_nothing(
    app: Starlette, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("web.mcp_endpoint.missing", lambda _: "mcp")
    with Program(app) as program:
        assert program.ask(token(database, "assistant", Role.OPERATOR)).status_code == 404
