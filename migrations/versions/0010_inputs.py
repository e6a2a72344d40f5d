"""What inputs that cannot be read, and providers that ask for fewer polls, need."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Forward."""
    op.add_column("jobs", sa.Column("input_tries", sa.SmallInteger(), server_default="0", nullable=False))
    op.add_column("accounts", sa.Column("polls_after", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    """Back."""
    op.drop_column("accounts", "polls_after")
    op.drop_column("jobs", "input_tries")
