"""Fixtures of webhooks on a real database."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.integration.receiver import Receiver, receiving
from workers.engine.runtime import Runtime

if TYPE_CHECKING:
    from tests.integration.database import RuntimeFactory


@pytest.fixture
def no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Slices end soon after there is nothing to do."""
    monkeypatch.setattr("workers.engine.slice.PATIENCE_SECONDS", 0.05)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as made:
        yield made


@pytest.fixture
def runtime(make_runtime: RuntimeFactory) -> Runtime:
    return make_runtime({"webhook_hosts": "127.0.0.1"})
