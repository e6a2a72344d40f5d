"""Webhooks' rows: what people add, change and remove, and what they see of each webhook and of its deliveries."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import bindparam, text
from sqlalchemy.orm import Session

from models.fragments import seconds_from_now
from recast.hints import hint
from workers.config.settings import Settings
from workers.webhooks.deliver import CLAIM_SECONDS
from workers.webhooks.messages import TEST_EVENT, UnsealedError, seal, unseal

COUNTED = 1_000  # waiting deliveries of a webhook that a page counts; of more, "1,000 and more"
LOOKED_AT = 2_000  # deliveries that ended last, among which a page counts

_INSERT = text("""
    INSERT INTO webhooks (url, events, batches, secrets) VALUES (:url, :events, :batches, :secrets) RETURNING id
""")
# A limit that is NULL is none.
_LIST = text("""
    WITH counted AS (
        (SELECT webhook_id, created_at, next_at, delivered_at, error FROM deliveries WHERE next_at IS NULL
            ORDER BY created_at DESC LIMIT :ended)
        UNION ALL
        SELECT d.* FROM webhooks w CROSS JOIN LATERAL (
            SELECT webhook_id, created_at, next_at, delivered_at, error FROM deliveries
            WHERE webhook_id = w.id AND next_at IS NOT NULL ORDER BY next_at LIMIT :waiting
        ) d
    )
    SELECT w.id, w.url, w.events, w.batches, w.created_at, w.disabled_at, w.disabled_note,
        count(c.next_at) AS waiting, count(c.delivered_at) AS delivered,
        count(c.webhook_id) FILTER (WHERE c.next_at IS NULL AND c.delivered_at IS NULL) AS dead,
        max(c.delivered_at) AS delivered_at,
        (array_agg(c.error ORDER BY c.created_at DESC) FILTER (WHERE c.error IS NOT NULL))[1] AS error
    FROM webhooks w LEFT JOIN counted c ON c.webhook_id = w.id
    GROUP BY w.id ORDER BY w.id
""")
#: What people see of a delivery `d`.
DELIVERY = """
    d.id, d.webhook_id AS webhook, d.event, coalesce(d.data->>'job', d.data->>'batch') AS about, d.created_at, d.tries,
    d.next_at, d.delivered_at, d.error, CASE WHEN d.delivered_at IS NOT NULL THEN 'delivered'
        WHEN d.next_at IS NULL THEN 'dead' ELSE 'waiting' END AS state
"""
_DELIVERIES = text(f"""
    SELECT {DELIVERY} FROM deliveries d
    WHERE (cast(:webhook AS int) IS NULL OR webhook_id = :webhook)
      AND (NOT :dead OR (next_at IS NULL AND delivered_at IS NULL))
    ORDER BY created_at DESC LIMIT :limit
""")
# What is tried within the time of a claim may be on its way.
_RETRY = text(f"""
    UPDATE deliveries SET next_at = clock_timestamp(), tries = 0
    WHERE delivered_at IS NULL
      AND (next_at IS NULL OR (cast(:ids AS uuid[]) IS NOT NULL AND next_at > {seconds_from_now(str(CLAIM_SECONDS))}))
      AND (cast(:webhook AS int) IS NULL OR webhook_id = :webhook)
      AND (cast(:ids AS uuid[]) IS NULL OR id = ANY(:ids))
      AND EXISTS (SELECT 1 FROM webhooks w WHERE w.id = webhook_id AND w.disabled_at IS NULL)
""")
# Before everything that waits. Who sends it names it, so that it is sent once.
_TEST = text("""
    INSERT INTO deliveries (id, webhook_id, event, data, next_at)
    SELECT :id, w.id, :event, jsonb_build_object('webhook', w.id), least(clock_timestamp(), (
        SELECT next_at FROM deliveries WHERE webhook_id = w.id AND next_at IS NOT NULL ORDER BY next_at LIMIT 1
    )) - interval '1 second' FROM webhooks w WHERE w.id = :webhook AND w.disabled_at IS NULL
    ON CONFLICT (id) DO NOTHING RETURNING id
""").bindparams(bindparam("event", TEST_EVENT))
_FIND = text("""
    SELECT id, url, secrets, clock_timestamp() AS now, disabled_at IS NOT NULL AS is_off FROM webhooks WHERE id = :id
""")
_FOREIGN = text("""
    SELECT asked.id FROM unnest(cast(:ids AS uuid[])) AS asked(id)
    WHERE NOT EXISTS (SELECT 1 FROM deliveries d WHERE d.id = asked.id AND d.webhook_id = :webhook) LIMIT 1
""")
_LOCK = text("SELECT 1 FROM webhooks WHERE id = :id FOR UPDATE")
_SET_SECRETS = text("UPDATE webhooks SET secrets = :secrets WHERE id = :id")
_SWITCH_ON = text("UPDATE webhooks SET disabled_at = NULL, disabled_note = NULL WHERE id = :id")
_REMOVE = text("DELETE FROM webhooks WHERE id = :id")


class UnknownWebhookError(LookupError):
    """No webhook has that number."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number

    def __str__(self) -> str:
        return f"webhook {self.number} does not exist; {hint('webhooks list')} shows all"


@dataclass(frozen=True, slots=True)
class Receiver:
    """Where one webhook's messages go, and by which secrets (sealed) they are signed."""

    id: int
    url: str
    secrets: bytes
    #: The database's clock.
    now: datetime
    is_off: bool


@dataclass(frozen=True, slots=True)
class WebhookStatus:
    """A webhook, how many deliveries wait for it, were given up and arrived, and the latest error."""

    id: int
    url: str
    events: Sequence[str]
    batches: Sequence[str]
    created_at: datetime
    disabled_at: datetime | None
    disabled_note: str | None
    waiting: int
    dead: int
    delivered: int
    delivered_at: datetime | None
    error: str | None


@dataclass(frozen=True, slots=True)
class DeliveryStatus:
    """One event for one webhook; `state` is ``waiting``, ``delivered`` or ``dead`` (given up)."""

    id: uuid.UUID
    webhook: int
    event: str
    #: The job's id, or the batch's name.
    about: str | None
    created_at: datetime
    tries: int
    next_at: datetime | None
    delivered_at: datetime | None
    error: str | None
    state: str


def add(session: Session, url: str, events: Sequence[str], batches: Sequence[str], secrets: bytes) -> int:
    """Add a webhook that receives `events` of `batches` (of all, if none is named), and return its number."""
    values = {"url": url, "events": list(events), "batches": list(batches), "secrets": secrets}
    return int(session.execute(_INSERT, values).scalar_one())


def listed(session: Session, *, exact: bool = True) -> list[WebhookStatus]:
    """All webhooks, by number; with `exact`, every delivery is counted, and the latest ones only without."""
    limits = {"waiting": None if exact else COUNTED, "ended": None if exact else LOOKED_AT}
    return [WebhookStatus(**row._mapping) for row in session.execute(_LIST, limits)]


def deliveries(session: Session, webhook: int | None, limit: int, *, dead: bool = False) -> list[DeliveryStatus]:
    """The latest deliveries, newest first: to one webhook or to all, and with `dead` only those that were given up."""
    rows = session.execute(_DELIVERIES, {"webhook": webhook, "dead": dead, "limit": limit})
    return [DeliveryStatus(**row._mapping) for row in rows]


def retry(session: Session, webhook: int | None, ids: Sequence[uuid.UUID] | None) -> int:
    """Make deliveries due that were given up, and have all their tries before them again; how many.

    Args:
        session: a transaction.
        webhook: only those to this one.
        ids: only these; those of them that wait for a later try are due now, too.
    """
    result = session.execute(_RETRY, {"webhook": webhook, "ids": ids and list(ids)})
    return int(result.rowcount)  # type: ignore[attr-defined]


def foreign(session: Session, webhook: int, ids: Sequence[uuid.UUID]) -> uuid.UUID | None:
    """One of these deliveries that is none of this webhook, or is not kept any more."""
    found: uuid.UUID | None = session.execute(_FOREIGN, {"webhook": webhook, "ids": list(ids)}).scalar()
    return found


def send_test(session: Session, webhook: int, delivery: uuid.UUID) -> bool:
    """Make a test message due; False if the webhook is off, or the message is there already."""
    return session.execute(_TEST, {"webhook": webhook, "id": delivery}).first() is not None


def find(session: Session, webhook: int) -> Receiver:
    """The webhook of this number.

    Raises:
        UnknownWebhookError: there is none.
    """
    row = session.execute(_FIND, {"id": webhook}).first()
    if row is None:
        raise UnknownWebhookError(webhook)
    return Receiver(row.id, row.url, bytes(row.secrets), row.now, row.is_off)


def rotate(session: Session, settings: Settings, webhook: int, secret: str, old_until: float) -> None:
    """Sign a webhook's messages by `secret`, and until `old_until` (Unix time) by the former secrets too.

    Raises:
        UnknownWebhookError: no webhook has this number.
        SettingsError: RECAST_SECRET_KEY is not set.
    """
    session.execute(_LOCK, {"id": webhook})
    found = find(session, webhook)
    try:
        kept = unseal(settings, found.secrets)
    except UnsealedError:
        kept = []  # with another key, the old ones are lost
    old = [(former, min(until or old_until, old_until)) for former, until in kept]
    session.execute(_SET_SECRETS, {"id": webhook, "secrets": seal(settings, [(secret, None), *old])})


def switch_on(session: Session, webhook: int) -> None:
    """Send a webhook events again.

    Raises:
        UnknownWebhookError: no webhook has this number.
    """
    find(session, webhook)
    session.execute(_SWITCH_ON, {"id": webhook})


def remove(session: Session, webhook: int) -> None:
    """Remove a webhook with all its deliveries.

    Raises:
        UnknownWebhookError: no webhook has this number.
    """
    find(session, webhook)
    session.execute(_REMOVE, {"id": webhook})
