"""How tests are handed out to the processes of `make test`, and what each leaves as it was."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadScopeScheduling

# Neither the load of the machine nor chance decides whether a property holds: no example has a deadline, and every run
# tries the same ones.
settings.register_profile("steady", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
settings.load_profile("steady")

# The settings of whoever runs the tests, and of the programs that Recast is made of, belong to no test.
for _name in [name for name in os.environ if name.startswith(("RECAST_", "CELERY_", "FLOWER_"))]:
    del os.environ[_name]

ROOT = Path(__file__).parents[1]
UNIT = "tests/unit/"


# What is imported and collected stays to the end. To look through it for garbage again and again while it grows takes a
# third of the collection.
gc.disable()


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


class _Scheduling(LoadScopeScheduling):  # type: ignore[misc]  # xdist has no types
    """One test at a time; but a module at a time of unit tests, which are short, and of those that share a fixture."""

    def _split_scope(self, nodeid: str) -> str:
        module = nodeid.partition("::")[0]
        return module if module.startswith(UNIT) or _is_shared(module) else nodeid


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> _Scheduling:
    # Handed out in the order of the collection, which `pytest_collection_modifyitems` has made.
    config.option.loadscopereorder = False
    return _Scheduling(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest, so that no process is left with it at the end."""
    items.sort(key=_turn)


def _turn(item: pytest.Item) -> int:
    module = item.nodeid.partition("::")[0]
    return 2 if module.startswith(UNIT) else 0 if _is_shared(module) else 1


@cache
def _is_shared(module: str) -> bool:
    """Whether the tests of a module share a fixture, often a whole deployment, which each process would make anew."""
    return 'scope="module"' in (ROOT / module).read_text(encoding="utf-8")


@pytest.fixture(autouse=True)
def _logs_stay_as_they_were() -> Iterator[None]:
    """A command that a test runs in this process configures its logs, for an output that ends with the test."""
    logs = structlog.get_config()
    yield
    structlog.configure(**logs)
