"""What the owner of an embedded stack does to its servers before anything else uses them."""

from __future__ import annotations

from contextlib import closing

import migrations
from models.connection import make_engine
from models.transactions import Database
from workers.messaging.claim import claim


def prepare(database_url: str) -> None:
    """Bring the schema up to this version, and take the broker of this home, which no other deployment can use."""
    engine = make_engine(database_url, connections=2)
    try:
        migrations.upgrade(engine)
    finally:
        engine.dispose()
    with closing(Database(database_url, connections=1)) as database:
        claim(database, take=True)
