"""The engine and its sessions: one synchronous driver for tasks, pumps, commands and migrations.

Pumps run their statements in threads: the statements are few and large, so a second, asynchronous copy of every
function would buy nothing.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any, NamedTuple, TypeVar

import psycopg
from psycopg.abc import PQGen
from sqlalchemy import URL, Connection, Engine, create_engine, event, text
from sqlalchemy.exc import DBAPIError, InvalidatePoolError
from sqlalchemy.orm import Session, sessionmaker

from models.address import conninfo

T = TypeVar("T")

CONNECTIONS = 24  # of one process, unless its settings say otherwise
CONNECT_SECONDS = 5  # a black-holed database must be noticed well within a lease
TCP_USER_TIMEOUT_MS = 10_000  # unacknowledged bytes end the connection; the default waits for 15 minutes
PING_SECONDS = 4.0  # for a connection that idled; a live server answers in milliseconds
PING_AFTER_SECONDS = 1.0  # of idling; a busy connection's death shows in the statement, and the group is written again
STATEMENT_SECONDS = 30  # the longest statement (a bulk verb's chunk of 1,000) takes well under a second
# Time-outs of TCP end only what the network drops. Something in between that still acknowledges (a proxy, a firewall
# that answers for a dead peer) keeps a statement waiting for ever, so there is one of our own, after the server's.
ANSWER_SECONDS = STATEMENT_SECONDS + 5.0

QUERY_CANCELED = "57014"  # the SQLSTATE of a statement that took longer than it may

PREPARE_AFTER = 5  # runs of a statement, as by psycopg's own default

#: For the server: a client that is gone, or frozen within a transaction, must not keep its locks. Behind a pooler, each
#: transaction sets them for itself: a session is given to others afterwards.
LIMITS = {
    "statement_timeout": f"{STATEMENT_SECONDS}s",
    "lock_timeout": f"{STATEMENT_SECONDS // 2}s",
    "idle_in_transaction_session_timeout": f"{STATEMENT_SECONDS}s",
    "TimeZone": "UTC",
}
#: The option of a connection that says other limits, as `LIMITS` does.
OWN_LIMITS = "recast_limits"

#: How connections are made, unless the address says otherwise.
DEFAULTS = {
    "connect_timeout": CONNECT_SECONDS,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 2,
    "tcp_user_timeout": TCP_USER_TIMEOUT_MS,
    "application_name": "recast",
}

_PING = text("SELECT 1")
_OWN_NUMBER = "SELECT pg_backend_pid()"
_TAKE_TIME = text("SELECT set_config('statement_timeout', :limit, true)")
_SERVER = text("""
    SELECT current_setting('server_version') AS version, clock_timestamp() AS now,
           cast(current_setting('max_connections') AS int) AS most,
           cast(current_setting('superuser_reserved_connections') AS int) AS reserved,
           (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend') AS used
""")


class _Connection(psycopg.Connection[Any]):
    """psycopg's connection, which waits for an answer of the server's only so long."""

    patience = ANSWER_SECONDS
    #: Whether nothing stands between, so that settings and prepared statements stay with this connection.
    direct = False

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


def make_engine(url: str, *, connections: int = CONNECTIONS) -> Engine:
    """An engine for PostgreSQL, or a pooler before it, whose dead connections are noticed within seconds.

    Args:
        url: as `models.address` reads it.
        connections: the most that it opens; half of them stay open.

    Raises:
        ValueError: the URL is not one for PostgreSQL.
    """
    try:
        parameters = conninfo(url)
    except ValueError as error:
        raise ValueError(f"DATABASE_URL {error}") from None
    kept = max(1, connections // 2)
    engine = create_engine(
        _url(parameters), pool_size=kept, max_overflow=connections - kept, pool_timeout=CONNECT_SECONDS * 2
    )
    options: dict[str, Any] = {**DEFAULTS, **parameters}
    event.listen(engine, "do_connect", lambda *_: _connected(options))
    event.listen(engine, "begin", _set_limits)
    event.listen(engine, "checkin", _note_idle)
    event.listen(engine, "checkout", _ping_after_idling)
    return engine


def _url(parameters: Mapping[str, str]) -> URL:
    """SQLAlchemy's form of the address, for people and tests: connections are made of `parameters`."""
    port = parameters.get("port", "")
    own = {"user", "password", "host", "port", "dbname"}
    return URL.create(
        "postgresql+psycopg", parameters.get("user"), parameters.get("password"), parameters.get("host"),
        int(port) if port.isdigit() else None, parameters.get("dbname"),
        {name: value for name, value in parameters.items() if name not in own},
    )  # fmt: skip


def setting(limits: Mapping[str, str], *, whole_session: bool = False) -> str:
    """The statement that sets `limits` until the transaction, or the session, ends."""
    local = "false" if whole_session else "true"
    return "SELECT " + ", ".join(f"set_config('{name}', '{value}', {local})" for name, value in limits.items())


_SET_LIMITS = setting(LIMITS)


def _connected(options: Mapping[str, Any]) -> _Connection:
    """A new connection, which finds out whether a pooler stands between: that says another process's number."""
    # Prepared statements belong to a session, and a pooler gives each transaction another one.
    made = _Connection.connect(**{**options, "prepare_threshold": None, "autocommit": True})
    try:
        (number,) = made.execute(_OWN_NUMBER).fetchone() or (None,)
        if number == made.pgconn.backend_pid:
            made.direct, made.prepare_threshold = True, PREPARE_AFTER
            made.execute(setting(LIMITS, whole_session=True))
        made.autocommit = False
    except BaseException:
        made.close()
        raise
    return made


def _set_limits(connection: Connection) -> None:
    own: Mapping[str, str] | None = connection.get_execution_options().get(OWN_LIMITS)
    driver: Any = connection.connection.driver_connection
    if own:
        connection.exec_driver_sql(setting({**LIMITS, **own}))
    elif not driver.direct:
        connection.exec_driver_sql(_SET_LIMITS)


def ping(connection: Connection) -> None:
    """Run the smallest statement; it raises when the database does not answer."""
    connection.execute(_PING)


def let_go_of_snapshot(connection: Connection) -> None:
    """Make an open transaction that will idle keep only its locks.

    The server keeps what a statement with parameters looked at until the next statement; vacuuming and the making of
    indexes wait for that.
    """
    ping(connection)


class Server(NamedTuple):
    """What a database server says of itself."""

    version: str
    now: datetime
    #: Connections that it accepts in all, those of them that are for administrators only, and those in use.
    most: int
    reserved: int
    used: int


def server(session: Session) -> Server:
    """The server behind `session`, which may be behind a pooler."""
    row = session.execute(_SERVER).one()
    return Server(row.version, row.now, row.most, row.reserved, row.used)


def be_patient(connection: Connection, seconds: float) -> None:
    """Wait this long for each answer, until the connection goes back to its pool.

    The server has a limit of its own: `take_time` changes both.
    """
    driver: Any = connection.connection.driver_connection
    driver.patience = seconds


def take_time(session: Session, seconds: int) -> None:
    """Let each further statement of this transaction take this long, at the server and here."""
    session.execute(_TAKE_TIME, {"limit": f"{seconds}s"})
    be_patient(session.connection(), seconds)


class StatementTimeoutError(Exception):
    """A statement took longer than it may; its transaction has failed."""


@contextmanager
def within(session: Session, seconds: float) -> Iterator[None]:
    """Let each statement of this block take this long, which is less than others may.

    Raises:
        StatementTimeoutError: one took longer.
    """
    session.execute(_TAKE_TIME, {"limit": f"{seconds * 1000:.0f}ms"})
    try:
        yield
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) != QUERY_CANCELED:
            raise
        raise StatementTimeoutError(f"a statement took longer than {seconds:g} s") from None
    session.execute(_TAKE_TIME, {"limit": LIMITS["statement_timeout"]})


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
