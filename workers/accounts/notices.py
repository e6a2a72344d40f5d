"""Log lines that an account stops or resumes: one for each change, by the transaction that makes it."""

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

_STATE = text("""
    SELECT coalesce(closed_until > clock_timestamp(), false) AS stopped, closed_reason AS reason, closed_note AS note,
        CASE WHEN closed_until < 'infinity' THEN closed_until END AS until
    FROM accounts WHERE name = :name FOR UPDATE
""")


class _State(NamedTuple):
    stopped: bool
    reason: str | None
    note: str | None
    #: None where only a person, or a change, resumes the account.
    until: datetime | None


def noticed(change: Callable[Concatenate[Session, str, P], R]) -> Callable[Concatenate[Session, str, P], R]:
    """Make ``change(session, account, ...)`` log, once it is committed, that it stopped or resumed the account.

    Extending a stop for the same reason is not a change. The account's row is locked from the first read.
    """

    @functools.wraps(change)
    def changed(session: Session, account: str, /, *args: P.args, **kwargs: P.kwargs) -> R:
        before = _state(session, account)
        result = change(session, account, *args, **kwargs)
        after = _state(session, account)
        if before is not None and after is not None:
            _notice(session, account, before, after)
        return result

    return changed


def _notice(session: Session, account: str, before: _State, after: _State) -> None:
    if after.stopped and not (before.stopped and before.reason == after.reason):
        until = after.until.isoformat(timespec="seconds") if after.until else None
        # A person who pauses an account needs no warning of it.
        write = log.info if after.reason == Closure.PAUSED else log.warning
        on_commit(session, write, "account_stopped", account=account, reason=after.reason, until=until, note=after.note)
    elif before.stopped and not after.stopped:
        on_commit(session, log.info, "account_resumed", account=account, reason=before.reason)


def _state(session: Session, account: str) -> _State | None:
    row = session.execute(_STATE, {"name": account}).first()
    return None if row is None else _State(row.stopped, row.reason, row.note, row.until)
