"""Lanes: the routing key of a job, which says what accounts may claim it."""

from __future__ import annotations

from collections.abc import Iterable

from workers.config.accounts import Account

#: Before the lane of a job that was paused: no account may claim it, because no account's name holds a "!".
PARKED = "!@"


def lane_of(account: str | None, operations: Iterable[str]) -> str:
    """The lane's name for these operations."""
    names = "|".join(sorted(operations))
    return f"{account}@{names}" if account else names


def lane_operation(lane: str, account: Account) -> str | None:
    """The operation by which `account` can serve `lane`, or None."""
    pinned, _, names = lane.rpartition("@")
    if pinned and pinned != account.name:
        return None
    return next((name for name in names.split("|") if name in account.operations), None)
