"""Notices in the log that an account stops or goes on: one for each change, by the transaction that makes it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from datetime import datetime
from typing import Concatenate, NamedTuple, ParamSpec, TypeVar

import structlog
from sqlalchemy import text
from sqlalchemy.orm import Session

from models.states import Closure
from workers.commit_log import on_commit

P = ParamSpec("P")
R = TypeVar("R")

log = structlog.get_logger()

_STANDING = text("""
    SELECT coalesce(closed_until > clock_timestamp(), false) AS stopped, closed_reason AS reason, closed_note AS note,
        CASE WHEN closed_until < 'infinity' THEN closed_until END AS until
    FROM accounts WHERE name = :name FOR UPDATE
""")


class _Standing(NamedTuple):
    stopped: bool
    reason: str | None
    note: str | None
    #: None where only a person, or a change, lets the account go on.
    until: datetime | None


def noticed(change: Callable[Concatenate[Session, str, P], R]) -> Callable[Concatenate[Session, str, P], R]:
    """Make ``change(session, account, ...)`` log, once it is committed, that it stopped the account or let it go on.

    A stop that is only made longer for the same reason is no change. The account's row is locked from the first look.
    """

    @functools.wraps(change)
    def changed(session: Session, account: str, /, *args: P.args, **kwargs: P.kwargs) -> R:
        before = _standing(session, account)
        result = change(session, account, *args, **kwargs)
        after = _standing(session, account)
        if before is not None and after is not None:
            _notice(session, account, before, after)
        return result

    return changed


def _notice(session: Session, account: str, before: _Standing, after: _Standing) -> None:
    if after.stopped and not (before.stopped and before.reason == after.reason):
        until = after.until.isoformat(timespec="seconds") if after.until else None
        # A person who pauses an account needs no warning of it.
        write = log.info if after.reason == Closure.PAUSED else log.warning
        on_commit(session, write, "account_stopped", account=account, reason=after.reason, until=until, note=after.note)
    elif before.stopped and not after.stopped:
        on_commit(session, log.info, "account_resumed", account=account, reason=before.reason)


def _standing(session: Session, account: str) -> _Standing | None:
    row = session.execute(_STANDING, {"name": account}).first()
    return None if row is None else _Standing(row.stopped, row.reason, row.note, row.until)
