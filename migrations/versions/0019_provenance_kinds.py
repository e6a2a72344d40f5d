"""How a stored picture says what made it, and the digital source type that it states; both digests can be looked up."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

DIGESTS = ("sha256", "original_sha256")


def upgrade() -> None:
    """Forward."""
    op.add_column("results", sa.Column("provenance", sa.Text(), nullable=True))
    op.add_column("results", sa.Column("source_type", sa.Text(), nullable=True))
    # A large table must not wait for its new indexes.
    with op.get_context().autocommit_block():
        for column in DIGESTS:
            op.create_index(
                f"ix_results_{column}",
                "results",
                [column],
                postgresql_using="hash",
                postgresql_concurrently=True,
                if_not_exists=True,
            )


def downgrade() -> None:
    """Back."""
    with op.get_context().autocommit_block():
        for column in DIGESTS:
            op.drop_index(f"ix_results_{column}", table_name="results", postgresql_concurrently=True, if_exists=True)
    op.drop_column("results", "source_type")
    op.drop_column("results", "provenance")
