"""The contestants whose jobs a producer sends one by one and waits for."""

from __future__ import annotations

from collections.abc import Mapping

import migrations
from benchmarks.contestants import RESULTS_URL
from benchmarks.deployed import Deployed
from benchmarks.lineup import (
    Dramatiq,
    Feed,
    IdiomaticCelery,
    Recast,
    Stage,
    environment_of,
    make_table,
    no_need,
)
from models.connection import make_engine


def _with_results(stage: Stage) -> dict[str, str]:
    return {**environment_of(stage), RESULTS_URL: stage.urls.results}


class WaitedCelery(IdiomaticCelery):
    """`benchmarks.contestants.celery_idiomatic` with results."""

    producer = "celery"
    outstanding = 750  # for 125 jobs/s

    def prepare(self, stage: Stage) -> Feed:
        """Make its table."""
        make_table(stage)
        return no_need

    def environment(self, stage: Stage) -> Mapping[str, str]:
        """The addresses of the servers and of the provider."""
        return _with_results(stage)


class WaitedDramatiq(Dramatiq):
    """`benchmarks.contestants.dramatiq_idiomatic` with results."""

    producer = "dramatiq"
    outstanding = 1_500  # for 250 jobs/s

    def prepare(self, stage: Stage) -> Feed:
        """Make its table."""
        make_table(stage)
        return no_need

    def environment(self, stage: Stage) -> Mapping[str, str]:
        """The addresses of the servers and of the provider."""
        return _with_results(stage)


class WaitedRecast(Recast):
    """Recast with one worker process and default settings, whose jobs come from a producer."""

    producer = "recast"
    outstanding = 2_000  # for 350 jobs/s

    def prepare(self, stage: Stage) -> Feed:
        """Make the schema and the accounts file."""
        self.write_accounts(stage)
        engine = make_engine(stage.urls.database)
        migrations.upgrade(engine)
        engine.dispose()
        return no_need


class WaitedDeployed(Deployed, WaitedRecast):
    """The same with its default settings."""
