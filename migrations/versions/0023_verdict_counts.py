"""Counts of verdicts, kept by whatever writes what counts for jobs, so that a page need not count a million of them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

#: Of all rows that a statement wrote, one sum for each batch and verdict. Rows are only added, so nobody waits for it.
COUNT = """
    CREATE FUNCTION count_verdicts() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF TG_OP = 'INSERT' THEN
            INSERT INTO verdict_counts (batch_id, verdict, number)
            SELECT batch_id, verdict, count(*) FROM fresh WHERE verdict <> 'unreviewed' GROUP BY batch_id, verdict;
        ELSIF TG_OP = 'DELETE' THEN
            INSERT INTO verdict_counts (batch_id, verdict, number)
            SELECT batch_id, verdict, -count(*) FROM gone WHERE verdict <> 'unreviewed' GROUP BY batch_id, verdict;
        ELSE
            INSERT INTO verdict_counts (batch_id, verdict, number)
            SELECT batch_id, verdict, sum(number) FROM (
                SELECT batch_id, verdict, 1 AS number FROM fresh UNION ALL SELECT batch_id, verdict, -1 FROM gone
            ) changed
            WHERE verdict <> 'unreviewed' GROUP BY batch_id, verdict HAVING sum(number) <> 0;
        END IF;
        RETURN NULL;
    END $$
"""
#: What a statement wrote, by what it did.
WRITTEN = {
    "INSERT": "NEW TABLE AS fresh", "DELETE": "OLD TABLE AS gone", "UPDATE": "OLD TABLE AS gone NEW TABLE AS fresh"
}  # fmt: skip


def upgrade() -> None:
    """Forward. Verdicts wait for a tenth of a second while a million of them are counted."""
    op.create_table(
        "verdict_counts",
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("batch_id", sa.Integer(), nullable=False),
        sa.Column("verdict", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.CheckConstraint(
            "verdict IN ('unreviewed', 'approved', 'needs_work')", name=op.f("ck_verdict_counts_verdict")
        ),
        sa.PrimaryKeyConstraint("id", name="pk_verdict_counts"),
    )
    op.create_index("ix_verdict_counts_batch_id", "verdict_counts", ["batch_id"])
    op.execute(COUNT)
    op.execute("LOCK TABLE reviews IN SHARE ROW EXCLUSIVE MODE")
    for what, rows in WRITTEN.items():
        op.execute(
            f"CREATE TRIGGER count_verdicts_{what.lower()} AFTER {what} ON reviews REFERENCING {rows}"
            " FOR EACH STATEMENT EXECUTE FUNCTION count_verdicts()"
        )
    op.execute(
        "INSERT INTO verdict_counts (batch_id, verdict, number)"
        " SELECT batch_id, verdict, count(*) FROM reviews WHERE verdict <> 'unreviewed' GROUP BY batch_id, verdict"
    )


def downgrade() -> None:
    """Back."""
    for what in WRITTEN:
        op.execute(f"DROP TRIGGER count_verdicts_{what.lower()} ON reviews")
    op.execute("DROP FUNCTION count_verdicts()")
    op.drop_table("verdict_counts")
