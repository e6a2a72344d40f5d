"""What jobs may cost, summed in the database by what prices depend on."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from providers import PROVIDERS
from workers.jobs.filters import EVERY
from workers.operations.costs import _LANES, PRICED_OPTIONS

if TYPE_CHECKING:
    from tests.integration.database import Database

pytest_plugins = ["tests.integration.database"]

OPERATIONS = [each for adapter in PROVIDERS.values() for each in adapter.OPERATIONS.values()]
NAMES = sorted({each.count for each in OPERATIONS if each.count})
INPUTS = sorted({name for each in OPERATIONS for name in each.count_inputs})


@pytest.mark.parametrize(
    "options",
    [
        {}, {"seed": 7}, dict.fromkeys(NAMES, 3), dict.fromkeys(NAMES) | {"seed": 7}, {"input": None},
        {"input": {}}, *({"seed": 1, "input": {name: "4", "prompt": "x"}} for name in INPUTS),
        {"input": {name: number for number, name in enumerate(INPUTS, 2)}},
    ],
)  # fmt: skip
def test_the_options_that_are_kept_decide_about_the_price(database: Database, options: dict[str, Any]) -> None:
    picked = database.one(
        f"SELECT {PRICED_OPTIONS} FROM (SELECT cast(:o AS jsonb) AS options) j",  # noqa: S608
        o=json.dumps(options),
    )
    for operation in OPERATIONS:
        assert operation.pictures_for(picked) == operation.pictures_for(options), operation.name
    assert not {"seed", "prompt"} & {*picked, *(picked.get("input") or ())}


def test_jobs_with_seeds_of_their_own_are_one_line(database: Database) -> None:
    for seed in range(3):
        database.jobs(options=json.dumps({"seed": seed, NAMES[0]: 1 + seed // 2}))
    rows = database.run(lambda session: _LANES.execute(session, EVERY).all())
    assert sorted((row.number, row.options[NAMES[0]]) for row in rows) == [(1, 2), (2, 1)]
