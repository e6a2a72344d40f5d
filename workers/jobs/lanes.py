"""Lanes: the routing key of a job, which says what accounts may claim it."""

from __future__ import annotations

from collections.abc import Iterable

from workers.config.accounts import Account

#: Before the lane of a job that was paused: no account may claim it, because no account's name holds a "!".
PARKED = "!@"
#: The same for a job that waits until a person decides about the pilot of its batch.
WAITING = "!pilot@"


#: SQL: whether a job waits so, by the column `lane` of the one table that has it.
IS_WAITING = f"position('{WAITING}' IN lane) > 0"


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


def bare(lane: str) -> str:
    """The lane of a job that is held back, without what holds it back."""
    while lane.startswith("!"):
        lane = lane.partition("@")[2]
    return lane


def holds(lane: str) -> str:
    """What holds a job of this lane back: nothing, or `PARKED`, `WAITING`, or both."""
    return lane.removesuffix(bare(lane))
