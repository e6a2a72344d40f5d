"""People who sign in, where they are signed in, and what was done by whom."""

from __future__ import annotations

from enum import StrEnum

from sqlalchemy import ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, CreatedAt, Document, Serial, Timestamp, one_of


class Role(StrEnum):
    """What a person may do; each role may do what the ones before it may."""

    VIEWER = "viewer"
    REVIEWER = "reviewer"
    OPERATOR = "operator"


#: What a guest may be; an operator is never one.
GUEST_ROLES = (Role.VIEWER, Role.REVIEWER)


class Person(Base):
    """Someone with a name and a password of their own."""

    __tablename__ = "people"
    __table_args__ = (one_of("role", Role), Index("uq_people_name", text("lower(name)"), unique=True))

    id: Mapped[Serial]
    name: Mapped[str]
    role: Mapped[str]
    #: Argon2id, in the PHC form that names its own parameters.
    password: Mapped[str]
    created_at: Mapped[CreatedAt]
    disabled_at: Mapped[Timestamp | None]


class SignIn(Base):
    """One browser in which a person is signed in. Without its row, its cookie opens nothing."""

    __tablename__ = "sign_ins"
    __table_args__ = (Index("ix_sign_ins_person_id", "person_id"),)

    #: SHA-256 of the cookie's value, which is nowhere else.
    digest: Mapped[str] = mapped_column(primary_key=True)
    person_id: Mapped[int] = mapped_column(ForeignKey("people.id", ondelete="CASCADE"))
    created_at: Mapped[CreatedAt]
    expires_at: Mapped[Timestamp]


class Guest(Base):
    """A link to one batch, for people without an account. Without its row, it opens nothing."""

    __tablename__ = "guests"
    __table_args__ = (one_of("role", GUEST_ROLES), UniqueConstraint("digest"), Index("ix_guests_batch_id", "batch_id"))

    id: Mapped[Serial]
    batch_id: Mapped[int] = mapped_column(ForeignKey("batches.id", ondelete="CASCADE"))
    role: Mapped[str]
    #: SHA-256 of the link's token, which is nowhere else.
    digest: Mapped[str]
    created_at: Mapped[CreatedAt]
    expires_at: Mapped[Timestamp]
    revoked_at: Mapped[Timestamp | None]


class Visit(Base):
    """One browser in which a guest link was opened and a name given. It lasts no longer than the link."""

    __tablename__ = "visits"
    __table_args__ = (Index("ix_visits_guest_id", "guest_id"),)

    #: SHA-256 of the cookie's value, which is nowhere else.
    digest: Mapped[str] = mapped_column(primary_key=True)
    guest_id: Mapped[int] = mapped_column(ForeignKey("guests.id", ondelete="CASCADE"))
    #: As it stands beside the verdicts of this guest; nobody else of the batch has it.
    name: Mapped[str]
    created_at: Mapped[CreatedAt]


class AuditEntry(Base):
    """One thing that a person did: never a password, a note, or the address of a picture."""

    __tablename__ = "audit"
    __table_args__ = (Index("ix_audit_at", "at"),)

    id: Mapped[Serial]
    at: Mapped[CreatedAt]
    #: The name of the person, or of the system's user who typed a command.
    person: Mapped[str]
    #: `page`, `command`, `program`, `api` or `mcp`.
    via: Mapped[str]
    action: Mapped[str]
    #: What it was done to, such as ``job 3f0c...``.
    subject: Mapped[str]
    detail: Mapped[Document] = mapped_column(server_default="{}")
