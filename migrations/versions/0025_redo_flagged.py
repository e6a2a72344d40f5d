"""Pictures that are asked for again because a quality check flagged them: which, how often, and for how much."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Forward."""
    op.add_column("batches", sa.Column("redo_flagged", sa.ARRAY(sa.Text()), nullable=True))
    op.add_column("batches", sa.Column("redo_each", sa.Integer(), nullable=True))
    op.add_column("batches", sa.Column("redo_cap", sa.Numeric(14, 4), nullable=True))
    op.create_table(
        "due_redos",
        sa.Column("job_id", sa.Text(), sa.ForeignKey("jobs.id", ondelete="CASCADE"), nullable=False),
        sa.Column("batch_id", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("job_id", name="pk_due_redos"),
    )


def downgrade() -> None:
    """Back."""
    op.drop_table("due_redos")
    op.drop_column("batches", "redo_cap")
    op.drop_column("batches", "redo_each")
    op.drop_column("batches", "redo_flagged")
