"""Attempts that are due: their times go on while they wait to be asked for."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta

import pytest

from models.states import AttemptState
from workers.engine import due
from workers.engine.due import Due

AT = datetime(2026, 1, 31, tzinfo=UTC)


def test_what_waited_for_a_connection_is_older_when_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    read = Due(
        uuid.uuid4(), "job", 1, "zhiqite.swap", AttemptState.RUNNING, "handle", None, 2, 0, None, 4.0, 60.0, AT, 3.0,
        read_at=100.0,
    )  # fmt: skip
    monkeypatch.setattr(due, "monotonic", lambda: 101.5)
    now = read.as_of_now()

    assert (now.age, now.left, now.requested_at) == (5.5, 58.5, AT + timedelta(seconds=1.5))
    assert (now.pending_age, now.polls) == (3.0, 2)
    assert now.as_of_now() == now, "no time passed since"
