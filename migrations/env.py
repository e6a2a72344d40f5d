"""Alembic's environment: time-outs, so that a migration never queues behind traffic for long, and one at a time."""

from __future__ import annotations

import time

from alembic import context
from sqlalchemy import Engine, text

from models.connection import be_patient, make_engine
from models.tables import metadata
from workers.config.settings import read

STATEMENT_MINUTES = 15  # an index on a large table takes its time
LOCK_KEY = 0x0EC457  # advisory lock: a second process waits, and then finds the migrations done
ASK_AGAIN_SECONDS = 0.1


def _engine() -> Engine:
    given = context.config.attributes.get("engine")
    return given if isinstance(given, Engine) else make_engine(str(read().database_url))


with _engine().connect() as connection:
    be_patient(connection, STATEMENT_MINUTES * 60)
    # Asked again and again: a statement that waited would hold a snapshot, for whose end an index that is being made
    # concurrently waits in its turn.
    while not connection.execute(text("SELECT pg_try_advisory_lock(:key)"), {"key": LOCK_KEY}).scalar_one():
        connection.rollback()
        time.sleep(ASK_AGAIN_SECONDS)
    # A statement that waits for a lock blocks everybody behind it: better to fail and to be run again.
    connection.execute(text("SET lock_timeout = '5s'"))
    connection.execute(text(f"SET statement_timeout = '{STATEMENT_MINUTES}min'"))
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
