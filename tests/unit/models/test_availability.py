"""Which errors mean that the same work may succeed later, and which that it would be refused again."""

from __future__ import annotations

import psycopg
import pytest
from psycopg import errors
from sqlalchemy.exc import DataError, DBAPIError, InternalError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from models.availability import is_unavailable, remedy
from tests.words import unsaid

WAITS = {
    "25006": "read-only, or a standby", "57P01": "shut down", "57P02": "crashed", "57P03": "starting",
    "57P04": "database dropped", "57014": "statement time-out", "08006": "lost connection", "08001": "no connection",
    "08P01": "protocol", "53100": "disk full", "53200": "out of memory", "53300": "too many connections",
    "55P03": "lock time-out", "40P01": "deadlock", "40001": "serialization", "25P03": "idle too long",
    "58030": "i/o error",
}  # fmt: skip
REFUSED = ("22001", "22021", "22P05", "23505", "23514", "42P01", "42501", "54000", "0A000", "XX000")


def said(state: str) -> psycopg.Error:
    return errors.lookup(state)("the server's words")


@pytest.mark.parametrize("state", WAITS, ids=WAITS.get)
def test_what_may_pass_is_waited_for(state: str) -> None:
    error = said(state)

    assert is_unavailable(error), "as COPY raises it"
    assert is_unavailable(DBAPIError.instance("UPDATE", {}, error, psycopg.Error)), "as SQLAlchemy raises it"


@pytest.mark.parametrize("state", REFUSED)
def test_what_would_be_refused_again_is_not(state: str) -> None:
    assert not is_unavailable(DBAPIError.instance("UPDATE", {}, said(state), psycopg.Error))


@pytest.mark.parametrize(
    ("error", "waits"),
    [
        (PoolTimeoutError("QueuePool limit of size 12 overflow 12 reached"), True),
        (OperationalError("SELECT", {}, psycopg.OperationalError("failed to resolve host 'db'")), True),
        (OperationalError("SELECT", {}, psycopg.OperationalError("connection refused")), True),
        (InternalError("SELECT", {}, psycopg.InternalError("of the driver"), connection_invalidated=True), True),
        (DataError("UPDATE", {}, psycopg.DataError("cannot dump")), False),
        (UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed"), False),
        (OSError(28, "No space left on device"), False),
        (ConnectionError("of something else"), False),
    ],
)
def test_what_has_no_state(error: Exception, waits: bool) -> None:
    assert is_unavailable(error) is waits


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("FATAL:  unsupported startup parameter: options", ("options", "ALTER ROLE")),
        ("FATAL:  unsupported startup parameter in options: search_path", ("options", "ALTER ROLE")),
        ("transaction blocks not allowed in statement pooling mode", ("pool_mode", "transaction", "session")),
        ('FATAL:  password authentication failed for user "recast"', ("user", "password")),
        ("server does not support SSL, but SSL was required", ("sslmode",)),
    ],
)
def test_what_waiting_does_not_end_has_a_remedy(said: str, told: tuple[str, ...]) -> None:
    error = DBAPIError.instance("SELECT", {}, psycopg.OperationalError(said), psycopg.Error)
    assert unsaid(remedy(error) or "", *told) == []


def test_what_is_away_has_none() -> None:
    assert remedy(psycopg.OperationalError("Connection refused")) is None
