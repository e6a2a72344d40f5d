"""Programs that ask the API, and its document to which every answer is held."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jsonschema import Draft202012Validator
from starlette.applications import Starlette

from desk import tokens
from desk.actors import Actor
from models.people import Role
from tests.http import Response
from tests.stack import write_accounts
from tests.web.client import Client
from tests.web.shop import settings
from tests.words import unsaid
from web.api.openapi import document
from web.streams import EVENTS
from workers.config.settings import Settings

if TYPE_CHECKING:
    from tests.integration.database import Database

ROOT = Actor("root", Role.OPERATOR, "command")
DOCUMENT = document()
ROWS = [
    {"key": str(number), "kind": "swap", "source": "https://example.com/a.jpg", "target": f"https://example.com/{number}.jpg"}
    for number in range(3)
]  # fmt: skip


def chosen(database: Database, folder: Path, free: Any = None, **more: Any) -> Settings:
    """Settings of a web process with one account, whose secrets it does not have; and with another one, `free`."""
    table = {
        "provider": "zhiqite", "base_url": "http://127.0.0.1:9", "access_key_id": "env:NOT_HERE",
        "access_key_secret": "env:NOT_HERE", "prices": {"swap": "0.02 USD"},
    }  # fmt: skip
    others = {} if free is None else {"free": table | free}
    write_accounts(folder / "accounts.toml", {"main": table, **others})
    return settings(database, folder, web_auth=None, **more)


def token(database: Database, name: str, role: Role, spend: Any = None) -> str:
    """A token of this role."""
    return database.run(tokens.add, ROOT, name, role, spend)


class Program(Client):
    """A program with a token; each answer must be one that the document has."""

    def __init__(self, app: Starlette, shown: str | None) -> None:
        super().__init__(app)
        self._headers = {"Authorization": f"Bearer {shown}"} if shown else {}

    def ask(self, method: str, path: str, body: Any = None, **more: Any) -> Response:
        """What is answered below ``/api/v1``."""
        headers = self._headers | dict(more.pop("headers", None) or {})
        if body is not None:
            headers["Content-Type"] = "application/json"
            more["content"] = json.dumps(body)
        answer = self._runner.run(self._client.request(method, f"/api/v1{path}", headers=headers, **more))
        check(method, path, answer)
        return answer

    def get(self, path: str, **more: Any) -> Any:
        """The document that is answered."""
        answer = self.ask("GET", path, **more)
        assert answer.status_code == 200, answer.text
        return answer.json()


def problem(answer: Response, status: int, *facts: object) -> Any:
    """The problem that is answered, with this status and these facts."""
    assert answer.status_code == status, answer.text
    found = answer.json()
    assert unsaid(json.dumps(found, ensure_ascii=False), *facts) == []
    return found


def check(method: str, path: str, answer: Response) -> None:
    """Hold an answer to the API's document."""
    if answer.status_code in {404, 405} and operation(method, path) is None:
        schema = {"$ref": "#/components/schemas/ProblemShape"}
    else:
        described = operation(method, path)
        assert described is not None, path
        found = described["responses"].get(str(answer.status_code))
        assert found is not None, f"{method} {path}: {answer.status_code} is not in the document: {answer.text}"
        kinds = found["content"]
        if EVENTS in kinds:
            return
        schema = kinds[answer.headers["content-type"]].get("schema")
        if schema is None:  # a picture
            return
    Draft202012Validator({**schema, "components": DOCUMENT["components"]}).validate(answer.json())
    if answer.status_code >= 400:
        assert answer.json()["status"] == answer.status_code


def operation(method: str, path: str) -> Any:
    """What the document says of a request; where GET is possible, HEAD is."""
    plain, method = path.partition("?")[0], "GET" if method == "HEAD" else method
    for template, operations in DOCUMENT["paths"].items():
        if re.fullmatch(re.sub(r"\{\w+\}", ".+", template), plain) and method.lower() in operations:
            return operations[method.lower()]
    return None
