"""An index for the grid's newest pictures: of a batch, what ended last."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None

ENDED = "ix_jobs_batch_finished_at"


def upgrade() -> None:
    """Forward."""
    # A large table must not wait for its new index.
    with op.get_context().autocommit_block():
        op.create_index(
            ENDED, "jobs", ["batch_id", "finished_at", "seq"], postgresql_where=sa.text("finished_at IS NOT NULL"),
            postgresql_concurrently=True, if_not_exists=True,
        )  # fmt: skip


def downgrade() -> None:
    """Back."""
    with op.get_context().autocommit_block():
        op.drop_index(ENDED, table_name="jobs", postgresql_concurrently=True, if_exists=True)
