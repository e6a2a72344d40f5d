"""Releases: their end and their scope, and the pictures that were made under one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time

from sqlalchemy import DateTime, bindparam, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Session

from desk.actors import Actor
from desk.audit import note
from models.people import Role
from models.states import JobState
from recast.hints import hint
from reports.text import moment
from workers.jobs.request import CONSENT, KINDS, MAX_CONSENT

_END_OF_DAY = time(23, 59, 59, 999_999)

_TYPES = (
    bindparam("ends_at", type_=DateTime(timezone=True)),
    bindparam("kinds", type_=JSONB(none_as_null=True)),
    bindparam("labels", type_=JSONB(none_as_null=True)),
)
_SET = text("""
    INSERT INTO releases (reference, ends_at, kinds, labels) VALUES (:reference, :ends_at, :kinds, :labels)
    ON CONFLICT (reference) DO UPDATE
    SET ends_at = excluded.ends_at, kinds = excluded.kinds, labels = excluded.labels
""").bindparams(*_TYPES)
_END = text("""
    INSERT INTO releases (reference, ends_at) VALUES (:reference, clock_timestamp())
    ON CONFLICT (reference) DO UPDATE SET ends_at = least(releases.ends_at, excluded.ends_at)
""")
_ALL = text("SELECT reference, ends_at, kinds, labels FROM releases ORDER BY ends_at NULLS LAST, reference")
_ONE = text("SELECT reference, ends_at, kinds, labels FROM releases WHERE reference = :reference")
_MADE = text(f"""
    SELECT j.id AS job_id, b.name AS batch, j.key, j.state, j.finished_at, count(r.id) AS pictures
    FROM jobs j JOIN batches b ON b.id = j.batch_id LEFT JOIN results r ON r.job_id = j.id
    WHERE j.extra ->> '{CONSENT}' = :reference GROUP BY j.id, b.name ORDER BY j.seq
""")


class ReleaseError(Exception):
    """What is said of a release is not usable; the message names it."""


@dataclass(frozen=True, slots=True)
class ListedRelease:
    """What is known of a release; None of a part means that there is no limit."""

    reference: str
    ends_at: datetime | None
    kinds: list[str] | None
    labels: list[str] | None

    @property
    def ended(self) -> bool:
        """Whether nothing is made under it any more."""
        return self.ends_at is not None and self.ends_at <= datetime.now(UTC)

    @property
    def until(self) -> str:
        """Its end, as `end_of` reads it; empty where it has none."""
        if self.ends_at is None:
            return ""
        end = self.ends_at.astimezone(UTC)
        return f"{end:%Y-%m-%d}" if end.time() == _END_OF_DAY else end.isoformat()

    @property
    def scope(self) -> str:
        """What it allows and until when, for people."""
        kinds = " and ".join(self.kinds or ()) or "all kinds of jobs"
        labels = f" in batches labeled {' or '.join(self.labels)}" if self.labels else ""
        if self.ends_at is None:
            return f"holds for {kinds}{labels}, without an end"
        return f"{'held' if self.ended else 'holds'} for {kinds}{labels} until {moment(self.ends_at)}"


@dataclass(frozen=True, slots=True)
class ReleasedJob:
    """A job that names the release, and how many pictures of it are stored."""

    job_id: str
    batch: str
    key: str | None
    state: JobState
    finished_at: datetime | None
    pictures: int


def put(
    session: Session,
    actor: Actor,
    reference: str,
    *,
    ends_at: datetime | None = None,
    kinds: Sequence[str] = (),
    labels: Sequence[str] = (),
) -> None:
    """Write down what a release allows, in place of what was written before.

    Args:
        session: a transaction.
        actor: who says so.
        reference: as jobs name it in `consent`.
        ends_at: from then on no job is sent under it.
        kinds: of jobs that it allows; none: all.
        labels: of batches that it allows; none: all, and single jobs too.

    Raises:
        ForbiddenError: `actor` is not an operator.
        ReleaseError: a value is not usable.
    """
    actor.need(Role.OPERATOR, "change releases")
    reference = _usable(reference)
    for kind in kinds:
        if kind not in KINDS:
            raise ReleaseError(f"kind: {kind!r} is unknown; allowed: {', '.join(KINDS)}")
    values = {"ends_at": ends_at, "kinds": sorted(set(kinds)) or None, "labels": sorted(set(labels)) or None}
    session.execute(_SET, {"reference": reference, **values})
    said = {**values, "ends_at": ends_at and ends_at.isoformat()}
    note(session, actor, "releases set", f"release {reference}", **said)


def end(session: Session, actor: Actor, reference: str) -> None:
    """End a release now, whether anything was written of it or not.

    Raises:
        ForbiddenError: `actor` is not an operator.
        ReleaseError: the reference is not usable.
    """
    actor.need(Role.OPERATOR, "end releases")
    reference = _usable(reference)
    session.execute(_END, {"reference": reference})
    note(session, actor, "releases end", f"release {reference}")


def everything(session: Session) -> Sequence[ListedRelease]:
    """All releases of which something is written, those that end first at the top."""
    return [ListedRelease(**row._mapping) for row in session.execute(_ALL)]


def find(session: Session, reference: str) -> ListedRelease | None:
    """What is written of a release, if anything is."""
    row = session.execute(_ONE, {"reference": reference}).first()
    return ListedRelease(**row._mapping) if row is not None else None


def end_of(until: str) -> datetime:
    """The instant from which a release no longer holds; a date means the end of that day.

    Raises:
        ReleaseError: it is not a date.
    """
    try:
        found = datetime.fromisoformat(until.strip())
    except ValueError:
        raise ReleaseError(
            f"until: {until[:80]!r} is not a date; write it such as 2027-06-30 or 2027-06-30T18:00Z"
        ) from None
    if len(until.strip()) <= len("2027-06-30"):
        found = datetime.combine(found, _END_OF_DAY)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def made(session: Session, reference: str) -> tuple[ListedRelease | None, Sequence[ReleasedJob]]:
    """What is written of a release, if anything is, and the jobs that name it, oldest first.

    Raises:
        ReleaseError: nothing is written of it, and no job names it.
    """
    release = find(session, reference)
    jobs = [ReleasedJob(**each._mapping) for each in session.execute(_MADE, {"reference": reference})]
    if release is None and not jobs:
        raise ReleaseError(
            f"reference: no job names the release {reference!r}, and nothing is written of it; {hint('releases list')}"
            " shows all"
        )
    return release, jobs


def _usable(reference: str) -> str:
    reference = reference.strip()
    if not reference or len(reference) > MAX_CONSENT or not reference.isprintable():
        raise ReleaseError(
            f"reference: {reference[:80]!r} is not usable; allowed: 1 to {MAX_CONSENT} printable characters"
        )
    return reference
