"""How often a job's claim ran out."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Forward."""
    op.add_column("jobs", sa.Column("lapses", sa.SmallInteger(), server_default="0", nullable=False))


def downgrade() -> None:
    """Back."""
    op.drop_column("jobs", "lapses")
