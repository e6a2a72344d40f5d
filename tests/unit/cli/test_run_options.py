"""Options of a run at every door: each is offered everywhere, or is on a short list with its reason."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
import typer

from cli.answers import option_of
from cli.run_options import GivenOptions
from recast.runs import run
from tests.unit.cli.commands import whole
from web.api.asks import OptionsAsk
from workers.config.settings import Settings
from workers.jobs.run_options import Only, RunOptions

FIELDS = {field.name for field in fields(RunOptions)}
ONE_RUN = "there is one run, and another name makes another batch"
NOT_OFFERED: Mapping[str, Mapping[str, str]] = {
    "recast run": {"fresh": ONE_RUN},
    "recast schedule add": {"pilot": "nobody is there to look at the sample of a planned run"},
    "recast.run": {"fresh": ONE_RUN},
    "POST /plans": {"fresh": ONE_RUN, "moved": "what is sent comes from no place"},
}


def offered(*words: str) -> dict[str, str]:
    """The parameters of a command, and what each is called."""
    command: Any = whole()
    for word in words:
        command = command.commands[word]
    return {parameter.name: parameter.opts[0] for parameter in command.params}


DOORS: Mapping[str, set[str]] = {
    "recast run": set(offered("run")),
    "recast schedule add": set(offered("schedule", "add")),
    "recast.run": set(inspect.signature(run).parameters),
    "POST /plans": set(OptionsAsk.model_fields),
}


@pytest.mark.parametrize("door", DOORS)
def test_every_option_is_offered_at_every_door_or_listed_with_a_reason(door: str) -> None:
    assert FIELDS - DOORS[door] == set(NOT_OFFERED[door])


def test_an_option_has_one_name_on_the_command_line() -> None:
    for command in (offered("run"), offered("schedule", "add")):
        assert {name: called for name, called in command.items() if name in FIELDS} == {
            name: option_of(name) for name in FIELDS & command.keys()
        }


def resolved(**typed: Any) -> RunOptions:
    return GivenOptions({"only": None, **typed}).resolve(Settings(_env_file=None, currency="EUR"))


def test_what_is_typed_becomes_the_options() -> None:
    assert resolved(
        account="main", max_cost="12.50 EUR", keep_days="48h", deadline="2h", only=[Only.NEW], label=" shoes "
    ) == RunOptions(
        account="main", max_cost=Decimal("12.50"), keep_days=2, deadline=timedelta(hours=2), only=[Only.NEW],
        label="shoes",
    )  # fmt: skip
    assert resolved() == RunOptions()
    moment = datetime(2999, 1, 31, 18, tzinfo=UTC)
    assert resolved(deadline="2999-01-31T18:00").deadline == resolved(deadline="2999-01-31T18:00Z").deadline == moment


@pytest.mark.parametrize(
    ("typed", "option"),
    [
        ({"max_cost": "12.50 USD"}, "--max-cost"),
        ({"max_cost": "0"}, "--max-cost"),
        ({"keep_days": "36h"}, "--keep"),
        ({"keep_days": "99999d"}, "--keep"),
        ({"deadline": "soon"}, "--deadline"),
        ({"label": ""}, "--label"),
        ({"priority": 101}, "--priority"),
    ],
)
def test_what_is_wrong_names_the_option(typed: dict[str, Any], option: str) -> None:
    with pytest.raises(typer.BadParameter) as caught:
        resolved(**typed)
    assert caught.value.param_hint == option
