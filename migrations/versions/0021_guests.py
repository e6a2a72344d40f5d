"""Verdicts about many pictures at once, and links for guests."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def _time(name: str, *, now: bool = False, nullable: bool = False) -> sa.Column[object]:
    default = sa.text("now()") if now else None
    return sa.Column(name, sa.DateTime(timezone=True), server_default=default, nullable=nullable)


def upgrade() -> None:
    """Forward."""
    op.add_column("verdicts", sa.Column("selection", sa.Text(), nullable=True))
    op.create_table(
        "guests",
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("batch_id", sa.Integer(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        _time("created_at", now=True),
        _time("expires_at"),
        _time("revoked_at", nullable=True),
        sa.CheckConstraint("role IN ('viewer', 'reviewer')", name=op.f("ck_guests_role")),
        sa.ForeignKeyConstraint(["batch_id"], ["batches.id"], name="fk_guests_batch_id_batches", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_guests"),
        sa.UniqueConstraint("digest", name="uq_guests_digest"),
    )
    op.create_index("ix_guests_batch_id", "guests", ["batch_id"])
    op.create_table(
        "visits",
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("guest_id", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        _time("created_at", now=True),
        sa.ForeignKeyConstraint(["guest_id"], ["guests.id"], name="fk_visits_guest_id_guests", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("digest", name="pk_visits"),
    )
    op.create_index("ix_visits_guest_id", "visits", ["guest_id"])


def downgrade() -> None:
    """Back."""
    op.drop_table("visits")
    op.drop_table("guests")
    op.drop_column("verdicts", "selection")
