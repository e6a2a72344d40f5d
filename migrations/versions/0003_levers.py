"""What levers, live settings and metrics need."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Forward."""
    op.add_column("attempts", sa.Column("passed_over", sa.Text(), nullable=True))
    op.create_table(
        "tallies",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("labels", sa.Text(), nullable=False),
        sa.Column("value", sa.Float(), nullable=False),
        sa.Column("last_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("name", "labels", name=op.f("pk_tallies")),
    )
    # The table may hold millions of jobs, and nobody waits for this.
    with op.get_context().autocommit_block():
        op.create_index(
            "ix_jobs_expiring",
            "jobs",
            ["expires_at"],
            postgresql_where=sa.text("state = 'queued' AND expires_at IS NOT NULL"),
            postgresql_concurrently=True,
            if_not_exists=True,
        )


def downgrade() -> None:
    """Back."""
    with op.get_context().autocommit_block():
        op.drop_index("ix_jobs_expiring", table_name="jobs", postgresql_concurrently=True, if_exists=True)
    op.drop_table("tallies")
    op.drop_column("attempts", "passed_over")
