"""Quotes for the rest of a pilot."""

from __future__ import annotations

from alembic import op

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None

CHECK = "ck_quotes_kind"
BEFORE = ("run", "retry", "redo", "job", "resolve")


def _kinds(*kinds: str) -> None:
    listed = ", ".join(f"'{kind}'" for kind in kinds)
    op.drop_constraint(op.f(CHECK), "quotes", type_="check")
    op.create_check_constraint(op.f(CHECK), "quotes", f"kind IN ({listed})")


def upgrade() -> None:
    """Forward."""
    _kinds(*BEFORE, "pilot")


def downgrade() -> None:
    """Back."""
    op.execute("DELETE FROM quotes WHERE kind = 'pilot'")
    _kinds(*BEFORE)
