"""Quotes of redos, of single jobs and of decisions about held jobs; and when jobs ended, in their order."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0020"
branch_labels = None
depends_on = None

CHECK = "ck_quotes_kind"
INDEX = "ix_jobs_finished_at"


def _kinds(*kinds: str) -> None:
    listed = ", ".join(f"'{kind}'" for kind in kinds)
    op.drop_constraint(op.f(CHECK), "quotes", type_="check")
    op.create_check_constraint(op.f(CHECK), "quotes", f"kind IN ({listed})")


def upgrade() -> None:
    """Forward."""
    _kinds("run", "retry", "redo", "job", "resolve")
    # A large table must not wait for its new index.
    with op.get_context().autocommit_block():
        op.create_index(
            INDEX, "jobs", ["finished_at"], postgresql_where=sa.text("finished_at IS NOT NULL"),
            postgresql_concurrently=True, if_not_exists=True,
        )  # fmt: skip


def downgrade() -> None:
    """Back."""
    with op.get_context().autocommit_block():
        op.drop_index(INDEX, table_name="jobs", postgresql_concurrently=True, if_exists=True)
    op.execute("DELETE FROM quotes WHERE kind NOT IN ('run', 'retry')")
    _kinds("run", "retry")
