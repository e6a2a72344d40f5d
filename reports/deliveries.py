"""Deliveries of one webhook: what waits, and what was delivered or given up, newest first, a page at a time.

An index has those that wait by webhook, and the others by age only. Of the others, a page looks at so many, of whatever
webhook, and says where it stopped.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.orm import Session

from reports.queries import QueryError
from workers.webhooks.service import DELIVERY, DeliveryStatus

PAGE = 50  # deliveries of one page
LOOKED = 10_000  # deliveries that a page looks at: some 10 ms

_WAITING = text(f"""
    SELECT {DELIVERY} FROM deliveries d
    WHERE webhook_id = :webhook AND next_at IS NOT NULL ORDER BY next_at LIMIT :limit
""")
_PLACE = text("SELECT created_at FROM deliveries WHERE id = :id")
#: Those that are over, before a place: the newest first.
_OVER = """deliveries WHERE next_at IS NULL
    AND (created_at, id) < (coalesce(cast(:at AS timestamptz), 'infinity'), cast(:id AS uuid))
    ORDER BY created_at DESC, id DESC"""
_ENDED = text(f"""
    WITH looked AS MATERIALIZED (SELECT id, webhook_id, created_at, delivered_at FROM {_OVER} LIMIT {LOOKED})
    SELECT {DELIVERY} FROM (
        SELECT id FROM looked WHERE webhook_id = :webhook AND (NOT :dead OR delivered_at IS NULL)
        ORDER BY created_at DESC, id DESC LIMIT :limit
    ) found JOIN deliveries d ON d.id = found.id ORDER BY d.created_at DESC, d.id DESC
""")
_STOPPED = text(f"SELECT id FROM {_OVER} OFFSET {LOOKED} - 1 LIMIT 1")
_LAST = uuid.UUID(int=0)  # nothing is as new as `infinity`, so that it stands for every id
_TRIED = text("SELECT next_at IS NULL OR error IS NOT NULL FROM deliveries WHERE id = :id")


@dataclass(frozen=True, slots=True)
class DeliveriesPage:
    """Some deliveries; `before` selects the next ones, which may be needed to find any."""

    deliveries: Sequence[DeliveryStatus]
    before: uuid.UUID | None


def waiting(session: Session, webhook: int) -> Sequence[DeliveryStatus]:
    """The deliveries that are sent next."""
    rows = session.execute(_WAITING, {"webhook": webhook, "limit": PAGE})
    return [DeliveryStatus(**row._mapping) for row in rows]


def ended(session: Session, webhook: int, before: uuid.UUID | None, *, dead: bool) -> DeliveriesPage:
    """The latest deliveries that are over, or those before another one; with `dead`, only those that were given up.

    Raises:
        QueryError: the other one is not there any more.
    """
    at = None if before is None else session.execute(_PLACE, {"id": before}).scalar()
    if before is not None and at is None:
        raise QueryError(f"before: the delivery {before} is not there any more; begin with the latest ones")
    place = {"at": at, "id": before or _LAST}
    rows = session.execute(_ENDED, {**place, "webhook": webhook, "dead": dead, "limit": PAGE + 1})
    found = [DeliveryStatus(**row._mapping) for row in rows]
    if len(found) > PAGE:
        return DeliveriesPage(found[:PAGE], found[PAGE - 1].id)
    return DeliveriesPage(found, session.execute(_STOPPED, place).scalar())


def is_tried(session: Session, delivery: uuid.UUID) -> bool:
    """Whether a new delivery was sent once, or cannot be."""
    return session.execute(_TRIED, {"id": delivery}).scalar() is not False
