"""Where in a stored file the mark lies that says what made it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Forward."""
    op.add_column("results", sa.Column("mark_start", sa.Integer(), nullable=True))
    op.add_column("results", sa.Column("mark_length", sa.Integer(), nullable=True))


def downgrade() -> None:
    """Back."""
    op.drop_column("results", "mark_length")
    op.drop_column("results", "mark_start")
