"""Recast as it is deployed: with its default settings, and an account that has a price and a budget.

Each job has a target of its own at an address that answers, because what was seen of an address is remembered.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from sqlalchemy import text

from benchmarks.contestants import INPUTS
from benchmarks.ids import job_id
from benchmarks.lineup import Feed, Recast, Stage, write_accounts
from benchmarks.provider import OPERATION
from models.connection import make_engine

_MONEY = f"""prices = {{ {OPERATION.partition(".")[2]} = "0.05 USD" }}\nbudget = {{ day = "1000000 USD" }}\n"""


class Deployed(Recast):
    """Recast with one worker process and default settings."""

    name = "recast_deployed"
    title = "Recast, default settings"
    without: Sequence[str] = ()
    OFF: Mapping[str, str] = MappingProxyType({})

    def write_accounts(self, stage: Stage) -> None:
        """Write the accounts file."""
        write_accounts(stage, self.ACCOUNT, more=_MONEY)

    def inputs(self, stage: Stage) -> tuple[str, str]:
        """One person, and a target for each job."""
        return f"{_inputs(stage)}0", f"{_inputs(stage)}{{}}"

    def environment(self, stage: Stage) -> Mapping[str, str]:
        """A deployment's settings, and for its producer where inputs are."""
        return {**super().environment(stage), INPUTS: _inputs(stage)}


def _inputs(stage: Stage) -> str:
    return f"{stage.provider_url}/inputs/"


#: Adds as many jobs as are checked.
_FEED = text(f"""
    WITH now AS (
        SELECT count(*) AS made, count(*) FILTER (WHERE NOT EXISTS (SELECT FROM checks WHERE job_id = id)) AS open
        FROM jobs
    ), added AS (
        INSERT INTO jobs (id, kind, source, target, lane, batch_id, key)
        SELECT {job_id("batch_id")}, kind, source, :inputs || made + number, lane, batch_id, (made + number)::text
        FROM now, (SELECT * FROM jobs ORDER BY seq LIMIT 1) one, generate_series(1, :most - open) AS number
        RETURNING batch_id
    )
    UPDATE batches SET queued = queued + (SELECT count(*) FROM added) WHERE id IN (SELECT batch_id FROM added)
""")


class DeployedPictures(Deployed):
    """The same, whose jobs count when their pictures are checked, which is the last that is done with them.

    Pictures are stored faster than they are checked. So that what is measured is one job's whole work, jobs are added
    as others are checked.
    """

    finished = "SELECT extract(epoch FROM max(made_at))::float8 FROM checks GROUP BY job_id ORDER BY 1"
    #: Jobs from the queue to their checks: by Little's law, 25 a second and more, for ten seconds.
    BACKLOG = 250

    def prepare(self, stage: Stage) -> Feed:
        """As of every Recast, and have the time of each check kept, which nobody else needs."""
        super().prepare(stage)
        engine = make_engine(stage.urls.database)
        with engine.begin() as connection:
            connection.execute(text("ALTER TABLE checks ADD COLUMN made_at timestamptz DEFAULT clock_timestamp()"))

        def feed() -> None:
            with engine.begin() as connection:
                connection.execute(_FEED, {"inputs": _inputs(stage), "most": self.BACKLOG})

        return feed
