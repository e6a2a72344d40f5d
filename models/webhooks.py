"""Webhooks, and deliveries: the messages they have still to receive."""

from __future__ import annotations

import uuid

from sqlalchemy import ForeignKey, Index, SmallInteger, Text, text
from sqlalchemy.dialects.postgresql import ARRAY, BYTEA
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, CreatedAt, Document, Timestamp


class Webhook(Base):
    """An address that receives events until a person removes it or it answers 410 Gone."""

    __tablename__ = "webhooks"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    url: Mapped[str]
    #: Of which events, such as ``{job.failed,batch.done}``.
    events: Mapped[list[str]] = mapped_column(ARRAY(Text))
    #: Of which batches, by name; empty means all, single jobs included.
    batches: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default="{}")
    #: The signing secrets, newest first, encrypted by SECRET_KEY.
    secrets: Mapped[bytes] = mapped_column(BYTEA)
    created_at: Mapped[CreatedAt]
    #: Nothing is sent any more since then; `disabled_note` says why.
    disabled_at: Mapped[Timestamp | None]
    disabled_note: Mapped[str | None]


class Delivery(Base):
    """One event for one webhook; `id` goes out as ``webhook-id`` and stays the same however often it is sent."""

    __tablename__ = "deliveries"
    __table_args__ = (
        Index("ix_deliveries_due", "webhook_id", "next_at", postgresql_where=text("next_at IS NOT NULL")),
        Index("ix_deliveries_over", "created_at", postgresql_where=text("next_at IS NULL")),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, server_default=text("gen_random_uuid()"))
    webhook_id: Mapped[int] = mapped_column(ForeignKey("webhooks.id", ondelete="CASCADE"))
    event: Mapped[str]
    #: The event's `data`, as it was when the event happened.
    data: Mapped[Document]
    created_at: Mapped[CreatedAt]
    #: When it is to be sent; while it is being sent, when it may be sent again. NULL: delivered, or given up.
    next_at: Mapped[Timestamp | None] = mapped_column(server_default=text("now()"))
    tries: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    delivered_at: Mapped[Timestamp | None]
    #: What the last try came to, where that was no success.
    error: Mapped[str | None]
