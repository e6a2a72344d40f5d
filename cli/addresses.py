"""The configured database and broker, as a message names them: host and port, without credentials."""

from __future__ import annotations

from models.address import conninfo, place
from recast.address import parse
from workers.config.settings import read


def database() -> str:
    """`` at HOST:PORT`` of the database, or nothing."""
    return _at(place(conninfo(read().database_url or "postgresql://")))


def migrations() -> str:
    """`` at HOST:PORT`` of the database as migrations reach it, or nothing."""
    return _at(place(conninfo(read().migrating_url or "postgresql://")))


def broker() -> str:
    """`` at HOST:PORT`` of the broker, or nothing."""
    chosen = read().broker_url
    return _at(parse(chosen).place if chosen else "")


def _at(place: str) -> str:
    return f" at {place}" if place else ""
