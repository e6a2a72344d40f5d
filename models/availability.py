"""Whether an error means that the database cannot do its work now, and may do the same work later."""

from __future__ import annotations

import re

import psycopg
from sqlalchemy.exc import DBAPIError, DisconnectionError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

#: Classes of SQLSTATE (PostgreSQL's appendix A): the connection, resources (disk, memory, connections), an operator's
#: intervention (shutdown, start, failover, a canceled statement), and the system's own input and output.
_CLASSES = ("08", "53", "57", "58")
#: States of other classes: read-only (also a standby, until it is promoted), a transaction that idled or lasted too
#: long, a lost race that may be repeated, and a lock that others hold.
_STATES = frozenset({"25006", "25P03", "25P04", "40001", "40003", "40P01", "55P03"})

_OF_THE_CONNECTION = (OperationalError, InterfaceError, psycopg.OperationalError, psycopg.InterfaceError)


def is_unavailable(error: BaseException) -> bool:
    """Whether the same work may succeed later, because the database is away, read-only, full, locked or overloaded.

    A statement that the database refuses for what is in it is not meant: it would be refused again.
    """
    if isinstance(error, PoolTimeoutError | DisconnectionError):
        return True
    if not isinstance(error, DBAPIError | psycopg.Error):
        return False
    state = getattr(error.orig if isinstance(error, DBAPIError) else error, "sqlstate", None)
    if state is not None:
        return state.startswith(_CLASSES) or state in _STATES
    # libpq gives no state to what the server did not say: no such host, a refused or a lost connection.
    return isinstance(error, _OF_THE_CONNECTION) or (isinstance(error, DBAPIError) and error.connection_invalidated)


#: What is said by servers that will not be there later: the words of PgBouncer, of PostgreSQL and of libpq.
_REMEDIES = (
    (
        r"unsupported startup parameter",
        "a pooler takes no `options`: set what they say with ALTER ROLE",
    ),
    (r"in statement pooling mode", "set the pooler's pool_mode to transaction or session"),
    (r"password authentication failed|SASL authentication failed", "correct the user or the password"),
    (r"does not support SSL, but SSL was required", "have the server speak TLS, or set another sslmode"),
)


def remedy(error: BaseException) -> str | None:
    """What ends an error of a database that waiting does not end; None if it is not known."""
    said = str(error)
    return next((advice for words, advice in _REMEDIES if re.search(words, said)), None)
