"""Quality checks of results: those that are due, those that were made, and the hashes that find copies."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

COUNTS = "flagged AND NOT former"
NAMES = (
    "name IN ('blank', 'no_face', 'fewer_faces', 'more_faces', 'face_unchanged', 'changed_outside', 'blurred', "
    "'other_size', 'near_duplicate')"
)


def _of(
    table: str, name: str, column: str, kind: sa.BigInteger | sa.Text
) -> tuple[sa.Column[object], sa.ForeignKeyConstraint]:
    parent = column.partition(".")[0]
    return (
        sa.Column(name, kind, nullable=False),
        sa.ForeignKeyConstraint([name], [column], name=f"fk_{table}_{name}_{parent}", ondelete="CASCADE"),
    )


def upgrade() -> None:
    """Forward."""
    op.create_table(
        "due_checks",
        *_of("due_checks", "result_id", "results.id", sa.BigInteger()),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("tries", sa.SmallInteger(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("result_id", name="pk_due_checks"),
    )
    op.create_index("ix_due_checks_at", "due_checks", ["at"])
    op.create_table(
        "checks",
        *_of("checks", "result_id", "results.id", sa.BigInteger()),
        sa.Column("name", sa.Text(), nullable=False),
        *_of("checks", "job_id", "jobs.id", sa.Text()),
        sa.Column("batch_id", sa.Integer(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("score", sa.Float(), nullable=False),
        sa.Column("threshold", sa.Float(), nullable=False),
        sa.Column("flagged", sa.Boolean(), nullable=False),
        sa.Column("rank", sa.Float(), nullable=False),
        sa.Column("former", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.CheckConstraint(NAMES, name=op.f("ck_checks_name")),
        sa.PrimaryKeyConstraint("result_id", "name", name="pk_checks"),
    )
    op.create_index("ix_checks_job_id", "checks", ["job_id"])
    for name, columns in {
        "ix_checks_seq": ["batch_id", "seq"],
        "ix_checks_rank": ["batch_id", "rank", "seq"],
        "ix_checks_name_seq": ["batch_id", "name", "seq"],
        "ix_checks_name_rank": ["batch_id", "name", "rank", "seq"],
    }.items():
        op.create_index(name, "checks", columns, postgresql_where=sa.text(COUNTS))
    op.create_table(
        "hash_bands",
        *_of("hash_bands", "result_id", "results.id", sa.BigInteger()),
        sa.Column("band", sa.SmallInteger(), nullable=False),
        sa.Column("batch_id", sa.Integer(), nullable=False),
        sa.Column("value", sa.Integer(), nullable=False),
        sa.Column("hash", sa.BigInteger(), nullable=False),
        sa.Column("target_hash", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("result_id", "band", name="pk_hash_bands"),
    )
    op.create_index("ix_hash_bands_value", "hash_bands", ["batch_id", "band", "value", "result_id"])


def downgrade() -> None:
    """Back."""
    for table in ("hash_bands", "checks", "due_checks"):
        op.drop_table(table)
