"""Where the provider's own file of a result is kept, and its digest."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("results", sa.Column("original_key", sa.Text(), nullable=True))
    op.add_column("results", sa.Column("original_sha256", sa.Text(), nullable=True))


def downgrade() -> None:
    op.drop_column("results", "original_sha256")
    op.drop_column("results", "original_key")
