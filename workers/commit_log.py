"""Log lines about what a transaction changes: written once it is committed, and never for one that is rolled back."""

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
