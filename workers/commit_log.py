"""Log lines about a transaction: written after its commit, and never after a rollback."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import event
from sqlalchemy.orm import Session


def on_commit(session: Session, write: Callable[..., object], what: str, **fields: Any) -> None:
    """Have ``write(what, **fields)``, a method of a logger, called when the transaction of `session` is committed."""

    def committed(_: Session) -> None:
        write(what, **fields)

    event.listen(session, "after_commit", committed, once=True)
