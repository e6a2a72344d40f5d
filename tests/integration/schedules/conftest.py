"""Fixtures of schedules on a real database."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.schedules.nightly import PRICES
from tests.unit.catalog.catalogs import picture, swap, write_csv
from workers.schedules import service
from workers.schedules.cron import CronSchedule
from workers.schedules.service import Agreement
from workers.schedules.tick import database_clock

if TYPE_CHECKING:
    from tests.integration.database import Database, RuntimeFactory
    from workers.engine.runtime import Runtime


@pytest.fixture
def runtime(make_runtime: RuntimeFactory) -> Runtime:
    """A worker with one account whose swaps have a price."""
    return make_runtime(main=PRICES)


@pytest.fixture
def add(database: Database, tmp_path: Path) -> Callable[..., str]:
    """Adds schedules of a catalog with two rows; each has come due at some minute of the past."""
    picture(tmp_path / "a.png")
    picture(tmp_path / "b.png")

    def make(name: str = "nightly", cron: str = "* * * * *", zone: str = "UTC", **more: Any) -> str:
        catalog = more.pop("catalog", None) or write_csv(tmp_path / "shoes.csv", [swap("1"), swap("2")])
        clock = more.pop("clock", database_clock)
        database.run(service.add, Agreement(name, str(catalog), CronSchedule(cron, zone), **more), clock=clock)
        return name

    return make
