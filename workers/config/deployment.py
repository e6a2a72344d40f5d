"""A deployment as commands that only read and change rows use it: its settings and its database."""

from __future__ import annotations

from models.transactions import Database
from recast.hints import hint
from workers.config.settings import Settings, SettingsError


class Deployment(Database):
    """One process's settings and connections to the database.

    Raises:
        SettingsError: no database is configured.
    """

    def __init__(self, settings: Settings) -> None:
        if settings.database_url is None:
            raise SettingsError(
                f"no database: RECAST_DATABASE_URL is not set and no embedded stack runs in {settings.home}; "
                f"start one with {hint('up')}, or set RECAST_DATABASE_URL and RECAST_BROKER_URL"
            )
        super().__init__(settings.database_url, settings.database_connections)
        self.settings = settings
