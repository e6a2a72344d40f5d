"""What runs of catalogs need."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Forward."""
    op.add_column("batches", sa.Column("max_in_flight", sa.Integer(), nullable=True))


def downgrade() -> None:
    """Back."""
    op.drop_column("batches", "max_in_flight")
