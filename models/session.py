"""The engine and its sessions: one synchronous driver for tasks, pumps, commands and migrations.

Pumps run their statements in threads: the statements are few and large, so a second, asynchronous copy of every
function would buy nothing.
"""

from __future__ import annotations

import time
from typing import Any

import psycopg
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.orm import Session, sessionmaker

CONNECT_SECONDS = 5  # a black-holed database must be noticed well within a lease
TCP_USER_TIMEOUT_MS = 10_000  # unacknowledged bytes end the connection; the default waits for 15 minutes
PING_AFTER_SECONDS = 1.0  # of idling; a busy connection's death shows in the statement, and the group is written again
STATEMENT_SECONDS = 30  # the longest statement (a bulk verb's chunk of 1,000) takes well under a second


def make_engine(url: str, *, pool_size: int = 10) -> Engine:
    """An engine for PostgreSQL whose dead connections are noticed within seconds.

    Raises:
        ValueError: the URL is not one for PostgreSQL.
    """
    parsed = make_url(url)
    if parsed.get_backend_name() not in {"postgresql", "postgres"}:
        raise ValueError(
            f"DATABASE_URL must be a postgresql:// URL, not {parsed.drivername!r}: jobs need SKIP LOCKED and COPY"
        )
    engine = create_engine(
        parsed.set(drivername="postgresql+psycopg"),
        pool_size=pool_size,
        max_overflow=pool_size,
        pool_timeout=CONNECT_SECONDS * 2,
        connect_args={
            "connect_timeout": CONNECT_SECONDS,
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "keepalives_count": 2,
            "tcp_user_timeout": TCP_USER_TIMEOUT_MS,
            "options": f"-c statement_timeout={STATEMENT_SECONDS}s -c lock_timeout={STATEMENT_SECONDS // 2}s"
            " -c timezone=UTC",
            "application_name": "recast",
        },
    )
    event.listen(engine, "checkin", _note_idle)
    event.listen(engine, "checkout", _ping_after_idling)
    return engine


def _note_idle(_: object, record: Any) -> None:
    record.info["idle_since"] = time.monotonic()


def _ping_after_idling(connection: Any, record: Any, _: object) -> None:
    """SQLAlchemy's own pre-ping asks before every transaction; a connection just used needs no asking."""
    idle_since = record.info.get("idle_since")
    if idle_since is None or time.monotonic() - idle_since < PING_AFTER_SECONDS:
        return
    try:
        connection.execute("SELECT 1")
        connection.rollback()
    except psycopg.Error as error:
        # The pool's word for: throw this one away and try another.
        raise DisconnectionError from error


def make_sessions(engine: Engine) -> sessionmaker[Session]:
    """Sessions whose objects stay readable after the commit."""
    return sessionmaker(engine, expire_on_commit=False)
