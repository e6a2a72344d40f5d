"""The API against its own document: thousands of requests, good and bad, that schemathesis makes of it."""

from __future__ import annotations

from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest

from models.people import Role
from tests.integration.desk.pictures import made
from tests.integration.web.asking import ROWS, Program, chosen, token
from web import guesses, streams
from web.api import api
from web.api.endpoints import HIDDEN
from web.app import build

if TYPE_CHECKING:
    from starlette.applications import Starlette

    from tests.integration.database import Database

pytest_plugins = ["tests.integration.database"]
pytestmark = pytest.mark.long

Served = tuple["Starlette", dict[Role, str]]
EXAMPLES = 60  # requests of each kind for each endpoint: some two thousand in all
#: Whether a request is answered as documented; which ones are possible beyond their form, no schema says.
CHECKS = (
    "not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance",
    "negative_data_rejection", "ignored_auth",
)  # fmt: skip

#: What only operators may change.
TABLES = ("jobs", "attempts", "batches", "accounts", "spend", "tokens", "quotes")


@pytest.fixture
def served(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    monkeypatch.setattr(api, "WRONG_SECONDS", 0.0)
    monkeypatch.setattr(streams, "LONGEST_SECONDS", 0.02)
    monkeypatch.setattr(guesses, "FREE", 1_000_000)  # turns are given by one event loop, and schemathesis has several
    database.jobs(3, batch=made(database, 3, pictures=2), state="failed", reason="timed_out")
    app = build(chosen(database, tmp_path))
    shown = {role: token(database, role.value, role) for role in Role}
    with Program(app, shown[Role.OPERATOR]) as program:
        assert program.ask("POST", "/plans", {"name": "spring", "rows": ROWS}).status_code == 200
        yield app, shown


def _misjudged(case: Any, answer: Any) -> bool:
    """Whether it cannot be said that what was sent is not valid, and was accepted.

    Of a query, the address has only text: an empty list leaves no trace there, a list of one is its word, and an object
    is a name. And 413 is a refusal.
    """
    sent, query = parse_qs(urlsplit(answer.request.url).query, keep_blank_values=True), case.query or {}
    lost = not set(query) <= sent.keys() or any(isinstance(value, dict | list) for value in query.values())
    return lost or answer.status_code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE


@pytest.mark.parametrize(
    ("mode", "role"),
    [("positive", Role.OPERATOR), ("negative", Role.OPERATOR), ("positive", Role.VIEWER), ("positive", Role.REVIEWER)],
)
def test_every_answer_is_one_that_the_document_has(database: Database, served: Served, mode: str, role: Role) -> None:
    schemathesis: Any = pytest.importorskip("schemathesis", reason="requirements.lock has it")
    from hypothesis import HealthCheck, Phase, given, settings  # noqa: PLC0415 - beside what it serves

    app, shown = served
    schema = schemathesis.openapi.from_asgi("/api/v1/openapi.json", app)
    checks = [schemathesis.checks.CHECKS.get_one(name) for name in CHECKS]
    refusing = [schemathesis.checks.CHECKS.get_one("negative_data_rejection")]
    headers = {"Authorization": f"Bearer {shown[role]}"}
    # A reviewer may ask what a redo costs.
    tables = tuple(table for table in TABLES if role is Role.VIEWER or table != "quotes")
    before = _changed(database, tables)
    asked = 0
    for found in schema.get_all_operations():
        operation = found.ok()
        how = schemathesis.GenerationMode(mode)

        @settings(
            max_examples=EXAMPLES, deadline=None, database=None, derandomize=True,
            phases=(Phase.generate, Phase.shrink), suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        @given(case=operation.as_strategy(generation_mode=how))
        def ask(case: Any) -> None:
            nonlocal asked
            asked += 1
            answer = case.call(headers=headers)
            case.validate_response(
                answer, checks=checks, excluded_checks=refusing if _misjudged(case, answer) else [], headers=headers
            )
            if (
                role is Role.VIEWER
                and answer.status_code < 400
                and case.operation.path not in {"/openapi.json", "/events", "/results/{id}/file"}
            ):
                assert _hidden(answer.json()) == set()

        try:
            ask()
        except schemathesis.errors.InvalidSchema:
            if mode != "negative":  # there is nothing that a request without parameters could violate
                raise
    assert asked > EXAMPLES
    assert role is Role.OPERATOR or _changed(database, tables) == before, (
        "only operators change jobs, accounts and money"
    )
    assert database.one("SELECT count(*) FROM quotes WHERE used_at IS NOT NULL") == 0, "nobody guesses a quote"


def _hidden(document: Any) -> set[str]:
    """Names in an answer that a viewer does not see."""
    if isinstance(document, dict):
        return {*(HIDDEN & document.keys())}.union(*map(_hidden, document.values()))
    return set().union(*map(_hidden, document)) if isinstance(document, list) else set()


def _changed(database: Database, tables: tuple[str, ...]) -> str:
    """What is in these tables."""
    return repr([database.sql(f"SELECT * FROM {table} ORDER BY 1") for table in tables])  # noqa: S608
