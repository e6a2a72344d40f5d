"""The configured database and broker, as a message names them: host and port, without credentials."""

from __future__ import annotations

from sqlalchemy.engine import make_url

from workers.config.settings import read


def database() -> str:
    """`` at HOST:PORT`` of the database, or nothing."""
    return _address(read().database_url)


def broker() -> str:
    """`` at HOST:PORT`` of the broker, or nothing."""
    return _address(read().broker_url)


def _address(url: str | None) -> str:
    parsed = make_url(url) if url else None
    return f" at {parsed.host}:{parsed.port or 'the default port'}" if parsed is not None and parsed.host else ""
