"""In which role a person gave a verdict: the credentials of signed pictures say it in place of a name."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Forward."""
    op.add_column("verdicts", sa.Column("role", sa.Text))


def downgrade() -> None:
    """Back."""
    op.drop_column("verdicts", "role")
