"""`recast tokens`, without a database."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

import pytest
from typer.testing import CliRunner

from cli import tokens
from desk.actors import Actor
from models.people import Role
from tests.words import unsaid
from workers.config.settings import Settings


class Deployment:
    """A deployment that notes what it is asked to do."""

    def __init__(self) -> None:
        self.settings = Settings(_env_file=None)
        self.done: list[tuple[Any, ...]] = []

    def db(self, work: Any, *args: Any) -> Any:
        self.done.append((work.__name__, *args[1:]))
        assert not args or args[0].role is Role.OPERATOR
        return "recast_secret" if work.__name__ == "add" else []


@pytest.fixture
def deployment(monkeypatch: pytest.MonkeyPatch) -> Deployment:
    made = Deployment()

    @contextmanager
    def opened(**_: Any) -> Iterator[Deployment]:
        yield made

    monkeypatch.setattr(tokens, "open_database", opened)
    monkeypatch.setattr(tokens, "from_command", lambda: Actor("root", Role.OPERATOR, "command"))
    return made


def test_a_token_is_printed_alone_and_once(deployment: Deployment) -> None:
    given = ["add", "shop", "--role", "operator", "--spend-per-day", "20"]
    said = CliRunner().invoke(tokens.tokens, given)
    assert (said.exit_code, said.stdout) == (0, "recast_secret\n"), "a script can take it"
    assert unsaid(said.stderr, "recast tokens revoke shop") == []
    assert deployment.done == [("add", "shop", Role.OPERATOR, Decimal(20))]
    document = json.loads(CliRunner().invoke(tokens.tokens, [*given, "--json"]).stdout)
    assert (document["token"], document["spend_per_day"]["amount"]) == ("recast_secret", "20")


def test_a_token_may_little_unless_more_is_said(deployment: Deployment) -> None:
    assert CliRunner().invoke(tokens.tokens, ["add", "shop"]).exit_code == 0
    assert deployment.done == [("add", "shop", Role.VIEWER, None)]
    wrong = CliRunner().invoke(tokens.tokens, ["add", "shop", "--spend-per-day", "much"])
    assert wrong.exit_code == 2
    assert unsaid(wrong.output, "--spend-per-day", "much") == []


def test_no_tokens_are_said(deployment: Deployment) -> None:
    assert unsaid(CliRunner().invoke(tokens.tokens, ["list"]).stdout, "recast tokens add NAME") == []
    assert deployment.done == [("everything",)]
