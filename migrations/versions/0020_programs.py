"""Programs that use the API: tokens, quotes, and answers that are kept for repeated requests."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

MONEY = sa.Numeric(14, 4)


def _time(name: str, *, now: bool = False, nullable: bool = False) -> sa.Column[object]:
    default = sa.text("now()") if now else None
    return sa.Column(name, sa.DateTime(timezone=True), server_default=default, nullable=nullable)


def _token(table: str) -> tuple[sa.Column[object], sa.ForeignKeyConstraint]:
    return (
        sa.Column("token_id", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["token_id"], ["tokens.id"], name=f"fk_{table}_token_id_tokens", ondelete="CASCADE"),
    )


def upgrade() -> None:
    """Forward."""
    op.create_table(
        "tokens",
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("spend_per_day", MONEY, nullable=True),
        sa.Column("spent", MONEY, server_default="0", nullable=False),
        sa.Column("spent_on", sa.Date(), nullable=True),
        _time("created_at", now=True),
        _time("revoked_at", nullable=True),
        sa.CheckConstraint("role IN ('viewer', 'reviewer', 'operator')", name=op.f("ck_tokens_role")),
        sa.PrimaryKeyConstraint("id", name="pk_tokens"),
        sa.UniqueConstraint("digest", name="uq_tokens_digest"),
    )
    op.create_index(
        "uq_tokens_name", "tokens", [sa.text("lower(name)")], unique=True,
        postgresql_where=sa.text("revoked_at IS NULL"),
    )  # fmt: skip
    op.create_table(
        "quotes",
        sa.Column("id", sa.Text(), nullable=False),
        *_token("quotes"),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("batch", sa.Text(), nullable=True),
        sa.Column("terms", JSONB(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=True),
        sa.Column("ceiling", MONEY, nullable=False),
        _time("created_at", now=True),
        _time("expires_at"),
        _time("used_at", nullable=True),
        sa.CheckConstraint("kind IN ('run', 'retry')", name=op.f("ck_quotes_kind")),
        sa.PrimaryKeyConstraint("id", name="pk_quotes"),
    )
    op.create_index("ix_quotes_expires_at", "quotes", ["expires_at"])
    op.create_table(
        "kept_answers",
        *_token("kept_answers"),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("body", JSONB(), nullable=True),
        _time("created_at", now=True),
        sa.PrimaryKeyConstraint("token_id", "key", name="pk_kept_answers"),
    )
    op.create_index("ix_kept_answers_created_at", "kept_answers", ["created_at"])


def downgrade() -> None:
    """Back."""
    for table in ("kept_answers", "quotes", "tokens"):
        op.drop_table(table)
