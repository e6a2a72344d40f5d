"""Pictures that are asked for again, and samples of batches that are sent before the rest."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

DECISION = "decision IN ('went_on', 'stopped')"


def _time(name: str, *, now: bool = True) -> sa.Column[object]:
    default = sa.text("now()") if now else None
    return sa.Column(name, sa.DateTime(timezone=True), server_default=default, nullable=not now)


def upgrade() -> None:
    """Forward."""
    op.add_column("jobs", sa.Column("kept_attempt", sa.SmallInteger(), nullable=True))
    op.create_table(
        "redos",
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("person", sa.Text(), nullable=False),
        sa.Column("via", sa.Text(), nullable=False),
        _time("at"),
        sa.Column("at_most", sa.Numeric(precision=14, scale=4), nullable=False),
        sa.Column("after_attempt", sa.SmallInteger(), nullable=False),
        sa.Column("lane", sa.Text(), nullable=False),
        sa.Column("verdict", sa.Text(), nullable=True),
        sa.Column("verdict_id", sa.BigInteger(), nullable=True),
        sa.Column("chosen", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_redos_job_id_jobs", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", "version", name="pk_redos"),
    )
    op.create_index("ix_redos_person", "redos", ["person", "at"])
    op.create_table(
        "pilots",
        sa.Column("batch_id", sa.Integer(), nullable=False),
        sa.Column("size", sa.Text(), nullable=False),
        _time("created_at"),
        sa.Column("decision", sa.Text(), nullable=True),
        _time("decided_at", now=False),
        sa.Column("decided_by", sa.Text(), nullable=True),
        sa.CheckConstraint(DECISION, name=op.f("ck_pilots_decision")),
        sa.ForeignKeyConstraint(["batch_id"], ["batches.id"], name="fk_pilots_batch_id_batches", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("batch_id", name="pk_pilots"),
    )
    op.create_table(
        "pilot_jobs",
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("batch_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_pilot_jobs_job_id_jobs", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", name="pk_pilot_jobs"),
    )
    op.create_index("ix_pilot_jobs_batch_id", "pilot_jobs", ["batch_id"])


def downgrade() -> None:
    """Back."""
    for table in ("pilot_jobs", "pilots", "redos"):
        op.drop_table(table)
    op.drop_column("jobs", "kept_attempt")
