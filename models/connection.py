"""The engine and its sessions: one synchronous driver for tasks, pumps, commands and migrations.

Pumps run their statements in threads: the statements are few and large, so a second, asynchronous copy of every
function would buy nothing.
"""

from __future__ import annotations

import time
from datetime import datetime
from typing import Any, TypeVar

import psycopg
from psycopg.abc import PQGen
from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.orm import Session, sessionmaker

T = TypeVar("T")

CONNECT_SECONDS = 5  # a black-holed database must be noticed well within a lease
TCP_USER_TIMEOUT_MS = 10_000  # unacknowledged bytes end the connection; the default waits for 15 minutes
PING_SECONDS = 4.0  # for a connection that idled; a live server answers in milliseconds
PING_AFTER_SECONDS = 1.0  # of idling; a busy connection's death shows in the statement, and the group is written again
STATEMENT_SECONDS = 30  # the longest statement (a bulk verb's chunk of 1,000) takes well under a second
# Time-outs of TCP end only what the network drops. Something in between that still acknowledges (a proxy, a firewall
# that answers for a dead peer) keeps a statement waiting for ever, so there is one of our own, after the server's.
ANSWER_SECONDS = STATEMENT_SECONDS + 5.0

#: For the server: a client that is gone, or frozen within a transaction, must not keep its locks.
SERVER_OPTIONS = {
    "statement_timeout": f"{STATEMENT_SECONDS}s",
    "lock_timeout": f"{STATEMENT_SECONDS // 2}s",
    "idle_in_transaction_session_timeout": f"{STATEMENT_SECONDS}s",
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "2",
    "tcp_user_timeout": str(TCP_USER_TIMEOUT_MS),
    "timezone": "UTC",
}


_PING = text("SELECT 1")
_SERVER = text("SELECT current_setting('server_version') AS version, clock_timestamp() AS now")


class _Connection(psycopg.Connection[Any]):
    """psycopg's connection, which waits for an answer of the server's only so long."""

    patience = ANSWER_SECONDS

    def wait(self, gen: PQGen[T], interval: float = 0.1, timeout: float | None = None) -> T:
        """Wait as psycopg does; a connection whose answer is overdue is closed.

        Raises:
            psycopg.OperationalError: there was no answer in time.
        """
        ends_at = time.monotonic() + self.patience
        try:
            return super().wait(gen, interval, self.patience if timeout is None else timeout)
        except psycopg.OperationalError as error:
            if timeout is None and time.monotonic() >= ends_at:
                self.pgconn.finish()
                raise psycopg.OperationalError(f"no answer within {self.patience:g} s") from error
            raise


def make_engine(url: str, *, pool_size: int = 10) -> Engine:
    """An engine for PostgreSQL whose dead connections are noticed within seconds.

    Raises:
        ValueError: the URL is not one for PostgreSQL.
    """
    parsed = make_url(url)
    if parsed.get_backend_name() not in {"postgresql", "postgres"}:
        raise ValueError(
            f"DATABASE_URL must be a postgresql:// URL, not {parsed.drivername!r}: Recast uses SKIP LOCKED and COPY"
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
            "options": " ".join(f"-c {name}={value}" for name, value in SERVER_OPTIONS.items()),
            "application_name": "recast",
        },
    )
    event.listen(engine, "do_connect", lambda _, __, ___, options: _Connection.connect(**options))
    event.listen(engine, "checkin", _note_idle)
    event.listen(engine, "checkout", _ping_after_idling)
    return engine


def ping(connection: Connection) -> None:
    """Run the smallest statement; it raises when the database does not answer."""
    connection.execute(_PING)


def server(session: Session) -> tuple[str, datetime]:
    """The server's version, and what its clock says."""
    row = session.execute(_SERVER).one()
    return row.version, row.now


def be_patient(connection: Connection, seconds: float) -> None:
    """Wait this long for each answer, until the connection goes back to its pool.

    A caller that gives a statement more time at the server (``SET statement_timeout``) must pass the same time here.
    """
    driver: Any = connection.connection.driver_connection
    driver.patience = seconds


def _note_idle(connection: Any, record: Any) -> None:
    record.info["idle_since"] = time.monotonic()
    if connection is not None:
        connection.patience = ANSWER_SECONDS


def _ping_after_idling(connection: Any, record: Any, _: object) -> None:
    """SQLAlchemy's own pre-ping asks before every transaction; a connection just used needs no asking."""
    idle_since = record.info.get("idle_since")
    if idle_since is None or time.monotonic() - idle_since < PING_AFTER_SECONDS:
        return
    connection.patience = PING_SECONDS
    try:
        connection.execute("SELECT 1")
        connection.rollback()
    except psycopg.Error as error:
        # The pool's word for: throw this one away, and those that are as old. One that is dead is rarely alone, and
        # each of them would be waited for in turn.
        raise InvalidatePoolError from error
    connection.patience = ANSWER_SECONDS


def make_sessions(engine: Engine) -> sessionmaker[Session]:
    """Sessions whose objects stay readable after the commit."""
    return sessionmaker(engine, expire_on_commit=False)
