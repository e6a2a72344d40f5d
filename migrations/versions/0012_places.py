"""The place that a batch was made from."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Forward."""
    op.add_column("batches", sa.Column("place", sa.Text(), nullable=True))


def downgrade() -> None:
    """Back."""
    op.drop_column("batches", "place")
