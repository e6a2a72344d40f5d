"""A task whose pictures are known only after it is paid: no budget is exceeded, and the books are the bill."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from sandbox import SandboxConfig
from tests.stack import PORTRAITS, running, wait_for
from tests.words import unsaid
from workers.jobs import request

PICTURE = Decimal("0.06")
THREE = {"template_id": 20, "fit": "crop"}
VARIATION = request.JobRequest("generate", image=str(PORTRAITS / "astronaut.png"), options=THREE)
BUDGET = Decimal("1.00")


#: What is spent, and what says so, for a budget of the account and for one of the batch.
SPENT = {
    "account": "SELECT amount FROM spend, accounts WHERE scope = 'account:' || name AND closed_reason = 'budget'"
    " AND period LIKE 'day:%'",
    "batch": "SELECT amount FROM spend, batches WHERE scope = 'batch:' || id AND paused_reason = 'budget'",
}


@pytest.mark.parametrize("whose", ["batch", pytest.param("account", marks=pytest.mark.long)])
def test_a_template_of_three_pictures_stays_within_the_budget(tmp_path: Path, whose: str) -> None:
    # Given a price for a picture, tasks of three, one of which loses a picture, and a budget for a few of them;
    # more is booked before they are sent, and what comes back of it is spent as well
    with running(tmp_path, SandboxConfig(home=tmp_path / "sandbox", pictures="cheap", latency=4.0)) as stack:
        stack.only("sandbox-hidream")
        account: dict[str, Any] = {"prices": {"variation": f"{PICTURE} USD/picture"}}
        budget = {"budget": {"day": f"{BUDGET} USD"}} if whose == "account" else {}
        stack.configure(**{"sandbox-hidream": account | budget})
        stack.sandbox.add_fault("withhold", where={"provider": "hidream"}, times=1, pictures=1)
        stack.insert([VARIATION] * 20)
        if whose == "batch":
            with stack.engine.begin() as connection:
                connection.execute(text("UPDATE batches SET max_cost = :budget WHERE id > 0"), {"budget": BUDGET})
        stack.beat()
        stack.worker().wait_ready()

        # When the budget is spent
        almost = BUDGET - 4 * PICTURE
        wait_for(
            lambda: (
                any(row.amount > almost for row in stack.sql(SPENT[whose]))
                and stack.states().keys() == {"queued", "succeeded"}
            ),
            timeout=60,
            message="the budget is spent",
        )

        # Then every picture of the bill is booked, and no more than the budget was spent
        made = sum(job["pictures"] for job in stack.sandbox.jobs())
        (spent,) = stack.sql(SPENT[whose])
        (booked,) = stack.sql("SELECT sum(cost) AS cost FROM attempts")
        assert spent.amount == booked.cost == PICTURE * made
        assert almost < spent.amount <= BUDGET
        # and each result is whole, but for the picture that is said to be missing
        counts = stack.sql(
            "SELECT count(*) AS n, a.error FROM attempts a JOIN results r ON r.attempt_id = a.id GROUP BY a.id"
        )
        assert sorted(row.n for row in counts) == [2, *[3] * (len(counts) - 1)]
        (short,) = (row for row in counts if row.n == 2)
        assert unsaid(short.error, 2, 3, "safety review") == []
        assert stack.sql("SELECT jsonb_array_length(parts) AS n FROM attempts GROUP BY 1") == [(3,)]
