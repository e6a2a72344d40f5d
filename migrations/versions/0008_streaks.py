"""What several answers of one kind in a row need."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Forward."""
    op.add_column("accounts", sa.Column("streak", JSONB(), nullable=True))
    op.add_column("accounts", sa.Column("proven_key", sa.Text(), nullable=True))


def downgrade() -> None:
    """Back."""
    op.drop_column("accounts", "proven_key")
    op.drop_column("accounts", "streak")
