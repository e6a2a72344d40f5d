"""The claim of a deployment on its broker: two deployments on one broker would take each other's jobs.

The id of the deployment is a row of its database, so a restored or moved database is still the same one. The broker
keeps the id that claimed it first; a flushed broker is claimed again within seconds, by each worker's look at itself.
"""

from __future__ import annotations

import uuid
from weakref import WeakKeyDictionary

import structlog
from kombu.exceptions import OperationalError
from redis import Redis
from redis.exceptions import RedisError
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from models.transactions import Database
from recast.hints import hint
from workers.config.settings import SettingsError
from workers.failures import describe
from workers.messaging.app import app
from workers.messaging.broker import repair
from workers.messaging.unfit import BROKER, check_results, fit, refuse_cluster

#: The key in the broker. Producers and other software do not use it.
KEY = "recast.deployment"

_ID = text("SELECT id FROM deployments")
_MAKE = text("INSERT INTO deployments (single) VALUES (true) ON CONFLICT (single) DO NOTHING")
log = structlog.get_logger()

#: What was read once: a worker asks every few seconds, also while the database is away.
_known: WeakKeyDictionary[Database, str] = WeakKeyDictionary()


class SharedBrokerError(SettingsError):
    """The broker belongs to another deployment."""


def deployment_id(session: Session) -> uuid.UUID:
    """The id of the deployment whose database this is."""
    found: uuid.UUID | None = session.execute(_ID).scalar_one_or_none()
    if found is None:
        session.execute(_MAKE)
        found = session.execute(_ID).scalar_one()
    return found


def claim(database: Database, *, take: bool = False) -> None:
    """Claim the broker for this deployment; with `take`, even if it belongs to another one.

    Raises:
        SharedBrokerError: it belongs to another deployment.
    """
    ours = _known.get(database)
    if ours is None:
        ours = _known[database] = str(database.db(deployment_id))
    repair()
    with fit(BROKER), app.connection_for_write() as connection:
        client: Redis | None = getattr(connection.default_channel, "client", None)
        if client is None:
            return  # a transport for tests, within one process
        if take:
            client.set(KEY, ours)
            return
        answer = client.get(KEY)
        if answer is None:
            refuse_cluster(client, BROKER)
            client.set(KEY, ours, nx=True)
            answer = client.get(KEY)
    theirs = answer.decode() if isinstance(answer, bytes) else str(answer)
    if theirs != ours:
        raise SharedBrokerError(
            f"RECAST_BROKER_URL: the broker belongs to the deployment {theirs}, and the database to {ours}; each would"
            " take the other's jobs. Give each deployment a broker or a database number of its own, such as"
            f" redis://HOST:6379/1. If the other one is gone for good, run {hint('db take-broker')}"
        )


def claim_if_possible(database: Database) -> None:
    """Claim the broker, unless it or the database cannot be used yet: a worker claims it as soon as both answer.

    Raises:
        SharedBrokerError: it belongs to another deployment.
        SettingsError: it, or the result store, is a server of another kind.
    """
    try:
        check_results(app)
    except (RedisError, OSError) as error:
        log.warning("results_not_stored_yet", error=describe(error))
    try:
        claim(database)
    except (SQLAlchemyError, OperationalError, RedisError, OSError) as error:
        log.warning("broker_not_claimed_yet", error=describe(error))
