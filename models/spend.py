"""Spend: money committed, by scope and period, and the SQL that names a scope."""

from __future__ import annotations

from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, Money


class Spend(Base):
    """Money committed so far within a scope and a period; locked in the transaction that inserts an attempt.

    `scope` is ``account:NAME`` or ``batch:ID``; `period` is ``day:2026-01-31``, ``month:2026-01`` (UTC) or ``all``.
    """

    __tablename__ = "spend"

    scope: Mapped[str] = mapped_column(primary_key=True)
    period: Mapped[str] = mapped_column(primary_key=True)
    amount: Mapped[Money] = mapped_column(server_default="0")


_ACCOUNT, _BATCH = "account:", "batch:"

#: The one period of a batch: its life.
ALL = "all"

#: SQL: whether a row of `spend` is an account's, and of which.
OF_AN_ACCOUNT = f"scope LIKE '{_ACCOUNT}%'"
ACCOUNT_NAME = f"substr(scope, {len(_ACCOUNT) + 1})"


def account_scope(name: str) -> str:
    """The scope of an account's spend."""
    return f"{_ACCOUNT}{name}"


def batch_scope(batch_id: int) -> str:
    """The scope of a batch's spend."""
    return f"{_BATCH}{batch_id}"


def of_batch(batch_id: str, row: str = "spend") -> str:
    """SQL: whether `row` of `spend` is that of the batch whose id the SQL `batch_id` gives."""
    return f"{row}.scope = '{_BATCH}' || {batch_id} AND {row}.period = '{ALL}'"


def spent_by(batch_id: str) -> str:
    """SQL: what the batch whose id the SQL `batch_id` gives has spent, 0 where that is nothing."""
    return f"coalesce((SELECT amount FROM spend WHERE {of_batch(batch_id)}), 0)"
