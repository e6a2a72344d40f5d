"""Verdicts of people about results, the people themselves, and what was done by whom."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

VERDICTS = "verdict IN ('unreviewed', 'approved', 'needs_work')"


def _time(name: str, *, now: bool = True, nullable: bool = False) -> sa.Column[object]:
    default = sa.text("now()") if now else None
    return sa.Column(name, sa.DateTime(timezone=True), server_default=default, nullable=nullable)


def _parent(
    name: str, column: str, kind: sa.BigInteger | sa.Text, table: str, *, nullable: bool = False
) -> tuple[sa.Column[object], sa.ForeignKeyConstraint]:
    key = f"fk_{table}_{name}_{column.partition('.')[0]}"
    return (
        sa.Column(name, kind, nullable=nullable),
        sa.ForeignKeyConstraint([name], [column], name=key, ondelete="CASCADE"),
    )


def upgrade() -> None:
    """Forward."""
    op.create_table(
        "verdicts",
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        *_parent("result_id", "results.id", sa.BigInteger(), "verdicts"),
        *_parent("job_id", "jobs.id", sa.Text(), "verdicts"),
        sa.Column("batch_id", sa.Integer(), nullable=False),
        sa.Column("person", sa.Text(), nullable=False),
        sa.Column("verdict", sa.Text(), nullable=False),
        sa.Column("reasons", JSONB(), server_default="[]", nullable=False),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("area", JSONB(), nullable=True),
        sa.Column("undoes", sa.BigInteger(), nullable=True),
        sa.Column("request", sa.Text(), nullable=True),
        _time("at"),
        sa.CheckConstraint(VERDICTS, name=op.f("ck_verdicts_verdict")),
        sa.PrimaryKeyConstraint("id", name="pk_verdicts"),
        sa.UniqueConstraint("request", name="uq_verdicts_request"),
    )
    op.create_index("ix_verdicts_result_id", "verdicts", ["result_id", "id"])
    op.create_index("ix_verdicts_job_id", "verdicts", ["job_id"])
    op.create_index("ix_verdicts_person", "verdicts", ["batch_id", "person", "id"])
    op.create_index(
        "ix_verdicts_undoes", "verdicts", ["undoes"], unique=True, postgresql_where=sa.text("undoes IS NOT NULL")
    )
    op.create_table(
        "reviews",
        *_parent("job_id", "jobs.id", sa.Text(), "reviews"),
        sa.Column("batch_id", sa.Integer(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("verdict", sa.Text(), server_default="unreviewed", nullable=False),
        *_parent("verdict_id", "verdicts.id", sa.BigInteger(), "reviews", nullable=True),
        *_parent("chosen", "results.id", sa.BigInteger(), "reviews", nullable=True),
        sa.CheckConstraint(VERDICTS, name=op.f("ck_reviews_verdict")),
        sa.PrimaryKeyConstraint("job_id", name="pk_reviews"),
    )
    op.create_index("ix_reviews_batch_verdict", "reviews", ["batch_id", "verdict", "seq"])
    op.create_index("ix_reviews_verdict_id", "reviews", ["verdict_id"])
    op.create_index("ix_reviews_chosen", "reviews", ["chosen"], postgresql_where=sa.text("chosen IS NOT NULL"))
    op.create_table(
        "picture_claims",
        *_parent("job_id", "jobs.id", sa.Text(), "picture_claims"),
        sa.Column("person", sa.Text(), nullable=False),
        _time("until", now=False),
        sa.PrimaryKeyConstraint("job_id", name="pk_picture_claims"),
    )
    op.create_index("ix_picture_claims_person", "picture_claims", ["person"])
    _people()


def _people() -> None:
    op.create_table(
        "people",
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("password", sa.Text(), nullable=False),
        _time("created_at"),
        _time("disabled_at", now=False, nullable=True),
        sa.CheckConstraint("role IN ('viewer', 'reviewer', 'operator')", name=op.f("ck_people_role")),
        sa.PrimaryKeyConstraint("id", name="pk_people"),
    )
    op.create_index("uq_people_name", "people", [sa.text("lower(name)")], unique=True)
    op.create_table(
        "sign_ins",
        sa.Column("digest", sa.Text(), nullable=False),
        *_parent("person_id", "people.id", sa.BigInteger(), "sign_ins"),
        _time("created_at"),
        _time("expires_at", now=False),
        sa.PrimaryKeyConstraint("digest", name="pk_sign_ins"),
    )
    op.create_index("ix_sign_ins_person_id", "sign_ins", ["person_id"])
    op.create_table(
        "audit",
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        _time("at"),
        sa.Column("person", sa.Text(), nullable=False),
        sa.Column("via", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("detail", JSONB(), server_default="{}", nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_audit"),
    )
    op.create_index("ix_audit_at", "audit", ["at"])


def downgrade() -> None:
    """Back."""
    for table in ("audit", "sign_ins", "people", "picture_claims", "reviews", "verdicts"):
        op.drop_table(table)
