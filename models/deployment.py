"""The deployment that a database belongs to: its id, which goes with the database into backups and to other servers."""

from __future__ import annotations

import uuid

from sqlalchemy import CheckConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, CreatedAt


class Deployment(Base):
    """The one row of a database, made at the first start."""

    __tablename__ = "deployments"
    __table_args__ = (CheckConstraint("single", name="single"),)

    single: Mapped[bool] = mapped_column(primary_key=True, server_default=text("true"))
    id: Mapped[uuid.UUID] = mapped_column(server_default=text("gen_random_uuid()"))
    created_at: Mapped[CreatedAt]
