"""The API against its own document: thousands of requests, good and bad, that schemathesis makes of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from models.people import Role
from tests.integration.desk.pictures import made
from tests.integration.web.asking import ROWS, Program, chosen, token
from web import guesses
from web.api import api
from web.app import build

if TYPE_CHECKING:
    from starlette.applications import Starlette

    from tests.integration.database import Database

pytest_plugins = ["tests.integration.database"]
pytestmark = pytest.mark.long

EXAMPLES = 60  # requests of each kind for each endpoint: some two thousand in all
#: Whether a request is answered as documented; which ones are possible beyond their form, no schema says.
CHECKS = (
    "not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance",
    "negative_data_rejection", "ignored_auth",
)  # fmt: skip


@pytest.fixture
def served(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Starlette, str]]:
    monkeypatch.setattr(api, "WRONG_SECONDS", 0.0)
    monkeypatch.setattr(guesses, "FREE", 1_000_000)  # turns are given by one event loop, and schemathesis has several
    database.jobs(3, batch=made(database, 3, pictures=2), state="failed", reason="timed_out")
    app, shown = build(chosen(database, tmp_path)), token(database, "shop", Role.OPERATOR)
    with Program(app, shown) as program:
        assert program.ask("POST", "/plans", {"name": "spring", "rows": ROWS}).status_code == 200
        yield app, shown


@pytest.mark.parametrize("mode", ["positive", "negative"])
def test_every_answer_is_one_that_the_document_has(served: tuple[Starlette, str], mode: str) -> None:
    schemathesis: Any = pytest.importorskip("schemathesis", reason="requirements.lock has it")
    from hypothesis import HealthCheck, Phase, given, settings  # noqa: PLC0415 - beside what it serves

    app, shown = served
    schema = schemathesis.openapi.from_asgi("/api/v1/openapi.json", app)
    checks = [schemathesis.checks.CHECKS.get_one(name) for name in CHECKS]
    headers = {"Authorization": f"Bearer {shown}"}
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
            case.call_and_validate(checks=checks, headers=headers)

        try:
            ask()
        except schemathesis.errors.InvalidSchema:
            if mode != "negative":  # there is nothing that a request without parameters could violate
                raise
    assert asked > EXAMPLES
