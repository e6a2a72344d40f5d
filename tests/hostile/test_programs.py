"""Hostile requests to the API, by a program with a token."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.people import Role
from tests.hostile.cases import Fate
from tests.hostile.programs import CASES, plan
from tests.hostile.test_doors import asked
from tests.integration.web.asking import chosen, token
from tests.stack import crowding
from web.app import build

if TYPE_CHECKING:
    from tests.integration.database import Database

pytest_plugins = ["tests.integration.database"]

LONGEST = 1.0  # seconds to answer any of them; a right one takes some hundredths
LONGEST_ANSWER = 2_000  # bytes: what is wrong is shown, and not repeated in full


def is_json(content: bytes) -> bool:
    """Whether every reader of JSON can read it: Python's own takes infinite numbers too."""
    beyond: list[str] = []
    json.loads(content, parse_constant=beyond.append)
    return beyond == []


def test_hostile_requests_are_answered_as_problems_and_at_once(database: Database, tmp_path: Path) -> None:
    app = build(chosen(database, tmp_path))
    authorization = {"Authorization": f"Bearer {token(database, 'shop', Role.OPERATOR)}"}

    def answered(make: Any) -> Any:
        call = make()
        sent = replace(call, path=f"/api/v1{call.path}", headers={**call.headers, **authorization})
        return asked(app, sent)[0]

    answered(plan())  # what a first request loads counts for none
    before = database.sql("SELECT * FROM accounts"), database.sql("SELECT * FROM batches")
    problems: dict[str, Any] = {}
    for case in CASES:
        began = time.monotonic()
        answer = answered(case.make)
        seconds = time.monotonic() - began
        kind = answer.headers.get(b"content-type", b"")
        refused = case.fate is Fate.REFUSED or answer.status >= 400
        if (
            str(answer.status) != case.says
            or seconds > LONGEST * crowding()
            or (refused and (kind != b"application/problem+json" or len(answer.content) > LONGEST_ANSWER))
        ):
            problems[case.name] = (answer.status, round(seconds, 2), answer.content[:300])
        elif not is_json(answer.content):
            problems[case.name] = (answer.status, answer.content[:300])
    assert problems == {}
    assert (database.sql("SELECT * FROM accounts"), database.sql("SELECT * FROM batches")) == before
    assert answered(plan()).status == 200
