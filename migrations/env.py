"""Alembic's environment: time-outs, so that a migration never queues behind traffic for long, and one at a time."""

from __future__ import annotations

from alembic import context
from sqlalchemy import Engine, text

from models.session import make_engine
from models.tables import metadata
from workers.settings import read

LOCK_KEY = 0x0EC457  # advisory lock: whoever comes second waits, and then finds the work done


def _engine() -> Engine:
    given = context.config.attributes.get("engine")
    return given if isinstance(given, Engine) else make_engine(str(read().database_url))


with _engine().connect() as connection:
    connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": LOCK_KEY})
    # A statement that waits for a lock blocks everybody behind it: better to fail and to be run again.
    connection.execute(text("SET lock_timeout = '5s'"))
    connection.execute(text("SET statement_timeout = '15min'"))
    connection.commit()
    try:
        context.configure(connection=connection, target_metadata=metadata, transaction_per_migration=True)
        with context.begin_transaction():
            context.run_migrations()
    finally:
        connection.rollback()
        connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": LOCK_KEY})
        # The connection goes back to its pool, where others expect its own time-outs.
        connection.execute(text("RESET lock_timeout"))
        connection.execute(text("RESET statement_timeout"))
        connection.commit()
