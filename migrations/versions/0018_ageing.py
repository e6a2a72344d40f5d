"""What tables that age need: room for changes, early vacuuming, counts that are verified once, and archives."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

#: A fifth of millions of rows, as by default, is vacuumed too late: the queues' indexes, which are small parts of their
#: tables, would be full of what left them, and the planner's statistics as old.
EARLY = {
    "autovacuum_vacuum_scale_factor": "0.01",
    "autovacuum_vacuum_threshold": "5000",
    "autovacuum_vacuum_insert_scale_factor": "0.05",
    "autovacuum_analyze_scale_factor": "0.01",
    "autovacuum_analyze_threshold": "5000",
}
#: By table. A claim changes no indexed column: where its page has room, it is written there and into no index.
SETTINGS = {"jobs": {"fillfactor": "80", **EARLY}, "attempts": EARLY, "announcements": EARLY}


def upgrade() -> None:
    """Forward. None of it rewrites a table, or waits for who reads and writes it."""
    for name in ("counted_at", "archived_at"):
        op.add_column("batches", sa.Column(name, sa.DateTime(timezone=True), nullable=True))
    op.create_table(
        "archives",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("month", sa.Text(), nullable=False),
        *(sa.Column(name, sa.Integer(), nullable=False) for name in ("batch_id", "jobs", "attempts", "results")),
        sa.Column("cost", sa.Numeric(14, 4), nullable=False),
        sa.Column("paid", postgresql.JSONB(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("finished_until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_archives"),
    )
    op.create_index("ix_archives_batch_id", "archives", ["batch_id"])
    for table, settings in SETTINGS.items():
        op.execute(f"ALTER TABLE {table} SET ({', '.join(f'{name} = {value}' for name, value in settings.items())})")


def downgrade() -> None:
    """Back."""
    for table, settings in SETTINGS.items():
        op.execute(f"ALTER TABLE {table} RESET ({', '.join(settings)})")
    op.drop_table("archives")
    for name in ("archived_at", "counted_at"):
        op.drop_column("batches", name)
