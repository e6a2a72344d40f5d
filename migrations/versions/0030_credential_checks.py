"""Checks of credentials that people ask for on a page, and workers make."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None

VERDICTS = "verdict IN ('good', 'refused', 'unknown', 'silent')"


def upgrade() -> None:
    """Forward."""
    op.create_table(
        "credential_checks",
        sa.Column("account", sa.Text(), sa.ForeignKey("accounts.name", ondelete="CASCADE"), nullable=False),
        sa.Column("asked_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("answered_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("verdict", sa.Text(), nullable=True),
        sa.Column("message", sa.Text(), nullable=True),
        sa.CheckConstraint(VERDICTS, name=op.f("ck_credential_checks_verdict")),
        sa.PrimaryKeyConstraint("account", name="pk_credential_checks"),
    )


def downgrade() -> None:
    """Back."""
    op.drop_table("credential_checks")
