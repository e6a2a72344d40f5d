"""The parameters of a database's address: those that libpq has, and no others.

PostgreSQL's driver would refuse another one at the first connection, with words of its own.
"""

from __future__ import annotations

import re
from functools import cache
from urllib.parse import unquote_plus

_NAME = re.compile(r"[a-z_]{2,40}")  # a name that may be shown: anything else may be a part of a password


def refuse_parameters(address: str) -> None:
    """Refuse what stands behind the ``?`` of `address` and libpq does not know.

    Raises:
        ValueError: names the parameter, and no value.
    """
    for given in filter(None, address.partition("?")[2].split("&")):
        name, separator, _ = given.partition("=")
        name = unquote_plus(name)
        if not separator or not _NAME.fullmatch(name):
            raise ValueError("has something behind its ? that is not NAME=VALUE; within a password, ? is written %3F")
        if name not in _known():
            raise ValueError(
                f"has the parameter {name!r}, which PostgreSQL's client does not know; remove it, or write one that "
                "it does, such as sslmode, sslrootcert, target_session_attrs or options"
            )


@cache
def _known() -> frozenset[str]:
    """What the installed libpq knows."""
    from psycopg import pq  # noqa: PLC0415 - producers read settings too, and load no driver

    return frozenset(item.keyword.decode() for item in pq.Conninfo.get_defaults())
