"""The declarative base: naming of constraints and the column types that every table shares."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any

from sqlalchemy import BigInteger, CheckConstraint, DateTime, Identity, MetaData, Numeric, Text, func
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, mapped_column

Timestamp = Annotated[datetime, mapped_column(DateTime(timezone=True))]
CreatedAt = Annotated[datetime, mapped_column(DateTime(timezone=True), server_default=func.now())]
Serial = Annotated[int, mapped_column(BigInteger, Identity(), primary_key=True)]
#: Money: four decimals hold a hundredth of a cent, the finest price any provider publishes.
Money = Annotated[Decimal, mapped_column(Numeric(14, 4))]
Document = Annotated[dict[str, Any], mapped_column(JSONB)]

LAST_INTEGER = 2**31 - 1  # of batches, webhooks and entries of the record, as the database numbers them
LAST_BIGINT = 2**63 - 1  # of jobs, results and verdicts


class Base(DeclarativeBase):
    """Base of every table; constraint names are fixed so that migrations can name them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {str: Text}  # noqa: RUF012 - SQLAlchemy declares it as a plain class attribute


def one_of(column: str, values: type[StrEnum] | Iterable[str]) -> CheckConstraint:
    """A check that `column` holds one of `values`; text with a check is easier to widen than a native enum."""
    listed = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(f"{column} IN ({listed})", name=column)
