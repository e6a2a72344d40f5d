"""Alembic's migrations, and the two functions that everything else runs them with."""

from __future__ import annotations

import threading
from pathlib import Path

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine

from models.tables import metadata

#: Alembic's environment is one for the whole process; other processes wait for the database's lock.
_ALEMBIC = threading.Lock()


class MigrationServerError(Exception):
    """The server that only migrations use cannot be used now; the message says where it is."""


def config(engine: Engine) -> Config:
    """Alembic's configuration for `engine`, without a file."""
    made = Config()
    made.set_main_option("script_location", str(Path(__file__).parent))
    made.attributes["engine"] = engine
    return made


def upgrade(engine: Engine, revision: str = "head") -> None:
    """Bring the schema up to `revision`; several callers at once do it once."""
    with _ALEMBIC:
        command.upgrade(config(engine), revision)


def downgrade(engine: Engine, revision: str) -> None:
    """Take the schema back to `revision`."""
    with _ALEMBIC:
        command.downgrade(config(engine), revision)


def differences(engine: Engine) -> list[str]:
    """What keeps the database from being what this version expects; empty when all is well."""
    head = ScriptDirectory.from_config(config(engine)).get_current_head()
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_server_default": False})
        current = context.get_current_revision()
        if current != head:
            return [f"the schema is at revision {current or 'none'}, this version needs {head}"]
        return [str(difference) for difference in compare_metadata(context, metadata)]
