"""What schedules need: their runs, and how far back they are made up for."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

OPEN = "state IN ('due', 'running')"


def upgrade() -> None:
    """Forward."""
    op.add_column("schedules", sa.Column("catch_up_seconds", sa.Integer(), server_default="86400", nullable=False))
    op.create_table(
        "schedule_runs",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("schedule", sa.Text(), nullable=False),
        sa.Column("planned_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("by_hand", sa.Boolean(), server_default="false", nullable=False),
        sa.Column("missed", sa.Integer(), server_default="0", nullable=False),
        sa.Column("overlap", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), server_default="due", nullable=False),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("claimed_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("tries", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("batch_id", sa.Integer(), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("spent_before", sa.Numeric(precision=14, scale=4), nullable=True),
        sa.Column("cost", sa.Numeric(precision=14, scale=4), nullable=True),
        sa.Column("enqueued", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("outcome", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "state IN ('due', 'running', 'done', 'skipped', 'failed', 'canceled')",
            name=op.f("ck_schedule_runs_state"),
        ),
        sa.CheckConstraint("overlap IN ('skip', 'queue', 'cancel')", name=op.f("ck_schedule_runs_overlap")),
        sa.ForeignKeyConstraint(
            ["schedule"], ["schedules.name"], name=op.f("fk_schedule_runs_schedule_schedules"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["batch_id"], ["batches.id"], name=op.f("fk_schedule_runs_batch_id_batches"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_schedule_runs")),
        sa.UniqueConstraint("schedule", "planned_at", name=op.f("uq_schedule_runs_schedule_planned_at")),
    )
    op.create_index(
        "ix_schedule_runs_open", "schedule_runs", ["schedule", "planned_at"], postgresql_where=sa.text(OPEN)
    )


def downgrade() -> None:
    """Back."""
    op.drop_index("ix_schedule_runs_open", table_name="schedule_runs", postgresql_where=sa.text(OPEN))
    op.drop_table("schedule_runs")
    op.drop_column("schedules", "catch_up_seconds")
