"""Alembic's environment: time-outs, so that a migration never queues behind traffic for long, and one at a time."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from alembic import context
from sqlalchemy import Engine, text

from models.connection import OWN_LIMITS, be_patient, let_go_of_snapshot, make_engine
from models.tables import metadata
from workers.config.settings import read

STATEMENT_MINUTES = 15  # an index on a large table takes its time
LOCK_KEY = 0x0EC457  # advisory lock: a second process waits, and then finds the migrations done
ASK_AGAIN_SECONDS = 0.1

#: A statement that waits for a lock blocks everybody behind it: better to fail and to be run again.
_LIMITS = {"lock_timeout": "5s", "statement_timeout": f"{STATEMENT_MINUTES}min"}
_TRY_LOCK = text("SELECT pg_try_advisory_xact_lock(:key)")


def _engine() -> Engine:
    given = context.config.attributes.get("engine")
    return given if isinstance(given, Engine) else make_engine(str(read().migrating_url))


@contextmanager
def _one_at_a_time(engine: Engine) -> Iterator[None]:
    """Hold the lock, in a transaction that stays open meanwhile: behind a pooler, sessions keep none."""
    holding = engine.execution_options(**{OWN_LIMITS: {"idle_in_transaction_session_timeout": "0"}})
    with holding.connect() as connection:
        # Asked again and again: a statement that waited would hold a snapshot, for whose end an index that is being
        # made concurrently waits in its turn. So does the last statement with parameters of a transaction that idles.
        while not connection.execute(_TRY_LOCK, {"key": LOCK_KEY}).scalar_one():
            connection.rollback()
            time.sleep(ASK_AGAIN_SECONDS)
        let_go_of_snapshot(connection)
        yield


engine = _engine()
with _one_at_a_time(engine), engine.execution_options(**{OWN_LIMITS: _LIMITS}).connect() as migrating:
    be_patient(migrating, STATEMENT_MINUTES * 60)
    context.configure(connection=migrating, target_metadata=metadata, transaction_per_migration=True)
    with context.begin_transaction():
        context.run_migrations()
