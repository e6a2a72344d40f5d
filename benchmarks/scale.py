"""The suite `scale`: Recast with one, two and four workers, on one account and on eight."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, text

import migrations
from benchmarks.figures import Figures
from benchmarks.lineup import Feed, Recast, Stage, add_backlog, no_need, write_accounts
from models.connection import make_engine

WORKERS, SHORT_WORKERS = (1, 2, 4), (1, 2)
ACCOUNTS = (1, 8)


class Scaled(Recast):
    """Recast with so many worker processes, its jobs spread evenly over so many accounts."""

    def __init__(self, workers: int, accounts: int) -> None:
        self.name = name_of(workers, accounts)
        self.title = f"Recast, workers: {workers}, accounts: {accounts}"
        self._workers = workers
        self._accounts = [f"{self.ACCOUNT}-{number + 1}" for number in range(accounts)]

    def prepare(self, stage: Stage) -> Feed:
        """Make the schema and the accounts file, and put a catalog of each account into the queue."""
        write_accounts(stage, *self._accounts)
        engine = make_engine(stage.urls.database)
        migrations.upgrade(engine)
        with engine.begin() as connection:
            for account in self._accounts:
                self._add(connection, account)
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("ANALYZE"))
        engine.dispose()
        return no_need

    def _add(self, connection: Connection, account: str) -> None:
        self.add_account(connection, account)
        add_backlog(connection, self.BACKLOG // len(self._accounts), account)

    def command(self) -> list[str]:
        """All workers as one program, so that their CPU time is counted together."""
        return [sys.executable, "-m", "benchmarks.several", str(self._workers), *super().command()]


def name_of(workers: int, accounts: int) -> str:
    """The name in the figures."""
    return f"recast_{workers}w_{accounts}a"


def lineup(*, short: bool) -> list[Scaled]:
    """Every number of workers on every number of accounts."""
    return [Scaled(workers, accounts) for accounts in ACCOUNTS for workers in (SHORT_WORKERS if short else WORKERS)]


@dataclass(frozen=True, slots=True)
class Scale:
    """Medians over the rounds, by the contestant's name; ratios within each round."""

    jobs_per_s: Mapping[str, float]
    cpu_ms_per_job: Mapping[str, float]
    #: Jobs a second against one worker on as many accounts.
    ratio_to_one_worker: Mapping[str, float]


def judge(rounds: Sequence[Mapping[str, Figures]]) -> tuple[Scale, str]:
    """What more workers bring, and its sentence."""
    names = list(rounds[0])

    def median(figure: str, name: str) -> float:
        return float(statistics.median(getattr(found[name], figure) for found in rounds))

    def ratio(name: str) -> float:
        one = name_of(1, int(name.rpartition("_")[2].removesuffix("a")))
        return float(statistics.median(found[name].jobs_per_s / found[one].jobs_per_s for found in rounds))

    scale = Scale(
        {name: median("jobs_per_s", name) for name in names},
        {name: median("cpu_ms_per_job", name) for name in names},
        {name: ratio(name) for name in names},
    )
    most = max(names, key=lambda name: scale.jobs_per_s[name])
    return scale, (
        f"The most is {scale.jobs_per_s[most]:.0f} jobs/s, of {most}:"
        f" {scale.ratio_to_one_worker[most]:.1f} times what one worker does on as many accounts."
    )
