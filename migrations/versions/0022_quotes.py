"""Quotes of redos, of single jobs and of decisions about held jobs; and what ended or was decided since."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

CHECK = "ck_quotes_kind"
ENDED, JUDGED = "ix_jobs_finished_at", "ix_verdicts_at"


def _kinds(*kinds: str) -> None:
    listed = ", ".join(f"'{kind}'" for kind in kinds)
    op.drop_constraint(op.f(CHECK), "quotes", type_="check")
    op.create_check_constraint(op.f(CHECK), "quotes", f"kind IN ({listed})")


def upgrade() -> None:
    """Forward."""
    _kinds("run", "retry", "redo", "job", "resolve")
    # A large table must not wait for its new index.
    with op.get_context().autocommit_block():
        op.create_index(JUDGED, "verdicts", ["at", "id"], postgresql_concurrently=True, if_not_exists=True)
        op.create_index(
            ENDED, "jobs", ["finished_at", "id"], postgresql_where=sa.text("finished_at IS NOT NULL"),
            postgresql_concurrently=True, if_not_exists=True,
        )  # fmt: skip


def downgrade() -> None:
    """Back."""
    with op.get_context().autocommit_block():
        op.drop_index(ENDED, table_name="jobs", postgresql_concurrently=True, if_exists=True)
        op.drop_index(JUDGED, table_name="verdicts", postgresql_concurrently=True, if_exists=True)
    op.execute("DELETE FROM quotes WHERE kind NOT IN ('run', 'retry')")
    _kinds("run", "retry")
