"""The parts of an attempt."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Forward."""
    op.add_column("attempts", sa.Column("parts", postgresql.JSONB(), nullable=True))


def downgrade() -> None:
    """Back."""
    op.drop_column("attempts", "parts")
