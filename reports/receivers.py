"""Webhooks as the pages list them: what waits and what was given up is counted so far only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.orm import Session

COUNTED = 1_000  # deliveries of a webhook that are counted; of more, "1,000 and more"
LOOKED_AT = 2_000  # deliveries that ended last, among which those that were given up are looked for

_LIST = text(f"""
    WITH ended AS MATERIALIZED (
        SELECT webhook_id, delivered_at, error FROM deliveries WHERE next_at IS NULL
        ORDER BY created_at DESC LIMIT {LOOKED_AT}
    )
    SELECT w.id, w.url, w.events, w.batches, w.created_at, w.disabled_at, w.disabled_note,
        (SELECT count(*) FROM (
            SELECT FROM deliveries d WHERE d.webhook_id = w.id AND d.next_at IS NOT NULL LIMIT {COUNTED}
        ) few) AS waiting,
        (SELECT count(*) FROM ended WHERE webhook_id = w.id AND delivered_at IS NULL) AS dead,
        (SELECT max(delivered_at) FROM ended WHERE webhook_id = w.id) AS delivered_at,
        (SELECT error FROM deliveries d WHERE d.webhook_id = w.id AND d.next_at IS NOT NULL AND error IS NOT NULL
            LIMIT 1) AS error
    FROM webhooks w ORDER BY w.id
""")


@dataclass(frozen=True, slots=True)
class Receiver:
    """A webhook, and how its latest deliveries went."""

    id: int
    url: str
    events: Sequence[str]
    batches: Sequence[str]
    created_at: datetime
    disabled_at: datetime | None
    disabled_note: str | None
    waiting: int
    dead: int
    delivered_at: datetime | None
    error: str | None


def receivers(session: Session) -> Sequence[Receiver]:
    """All webhooks, by number."""
    return [Receiver(**row._mapping) for row in session.execute(_LIST)]
