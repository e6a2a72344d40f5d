"""The gallery's pages as data: few rows per page, whatever the size of the batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Any, NamedTuple

from sqlalchemy import text
from sqlalchemy.orm import Session

from models.fragments import PLACE, columns, flags_of, has_picture, last_attempt, newest_verdict, paid_for, used_attempt
from models.jobs import ROLES
from reports.grid import Place, find_jobs
from reports.grid_filter import GridFilter
from workers.images.originals import Mark

PAGE = 24  # cards per page: fills rows of two, three, four and six


#: Whether nobody has decided about a job `j`.
UNDECIDED = "NOT EXISTS (SELECT FROM reviews WHERE reviews.job_id = j.id AND reviews.verdict <> 'unreviewed')"

#: What a list shows of a job `j`, from `LISTED`.
LISTED_COLUMNS = f"""
    j.id, j.seq, j.state, j.reason, j.error, {columns((*ROLES, "prompt"), "j")},
    {PLACE},
    coalesce(paid.cost, 0) AS cost, result.id AS result_id, {flags_of("result.id")} AS flags,
    CASE WHEN j.state = 'succeeded' THEN coalesce(w.verdict, 'unreviewed') END AS verdict
"""
#: A job `j` with its last attempt, what it cost, what people said, and the picture that is used.
LISTED = f"""
    jobs j LEFT JOIN reviews w ON w.job_id = j.id
    LEFT JOIN LATERAL {last_attempt("j.id", "account, operation")} last ON true
    LEFT JOIN LATERAL {paid_for("j.id")} paid ON true
    LEFT JOIN LATERAL (
        SELECT r.id, r.width, r.height, count(*) OVER () AS number FROM results r
        WHERE {has_picture("j")} AND r.attempt_id = {used_attempt("w.chosen", "j.id")}
        ORDER BY r.id <> coalesce(w.chosen, 0), r.index LIMIT 1
    ) result ON true
"""
#: The claim of another person than `:person` on a job `j`.
CLAIM = "picture_claims c WHERE c.job_id = j.id AND c.person <> :person AND c.until >= clock_timestamp()"
_CARDS = text(f"""
    SELECT {LISTED_COLUMNS}, j.key, j.kind, result.width, result.height, result.number AS pictures,
        coalesce({newest_verdict("result.id", "id")}, 0) AS verdict_id, (SELECT c.person FROM {CLAIM}) AS taken
    FROM {LISTED} JOIN unnest(cast(:ids AS text[])) WITH ORDINALITY AS page(id, place) ON page.id = j.id
    ORDER BY page.place
""")
_BATCH = text("SELECT name FROM batches WHERE id = :id AND id > 0")
_RESULT = text("""
    SELECT key, sha256, original_key, original_sha256, mark_start, mark_length FROM results WHERE id = :id
""")

_TO_SHRINK = text("""
    SELECT r.key, r.thumbnail_key, r.width, r.height,
        r.provenance IS NOT NULL OR r.original_sha256 IS DISTINCT FROM r.sha256 AS marked, j.kind
    FROM results r JOIN jobs j ON j.id = r.job_id WHERE r.id = :id
""")
_KEEP_THUMBNAIL = text("UPDATE results SET thumbnail_key = :key WHERE id = :id RETURNING id")


@dataclass(frozen=True, slots=True)
class Card:
    """One job in a batch's gallery."""

    id: str
    seq: int
    key: str | None
    kind: str
    state: str
    reason: str | None
    error: str | None
    source: str | None
    target: str | None
    image: str | None
    prompt: str | None
    account: str | None
    operation: str | None
    cost: Decimal
    #: The result that is used, or the first one, and its width and height in pixels.
    result_id: int | None
    width: int | None
    height: int | None
    pictures: int | None
    #: What counts of people's verdicts, where there is a picture.
    verdict: str | None = None
    #: The checks that flagged the picture, the worst first.
    flags: Sequence[str] = ()
    #: The number of the picture's newest verdict; 0 for none.
    verdict_id: int = 0
    #: The other person who has it open.
    taken: str | None = None

    @property
    def before(self) -> str | None:
        """The role of the input picture that the job changes."""
        return "target" if self.target else "image" if self.image else None


class Rendition(StrEnum):
    """Which file of a result is meant."""

    #: As it is stored, with our mark or credentials.
    FULL = "full"
    #: Copies, for a whole window and for a tile.
    LARGE = "large"
    SMALL = "small"
    #: As its provider made it.
    ORIGINAL = "original"


class File(NamedTuple):
    """A file of the storage, and what to leave out of it."""

    key: str
    mark: Mark | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """Some cards in the order of the grid; `after` and `before` select the next and the previous page."""

    cards: Sequence[Card]
    after: Place | None = None
    before: Place | None = None
    #: Whether the search stopped before it had looked at every job.
    stopped: bool = False


def batch_name(session: Session, batch_id: int) -> str | None:
    """The name of a batch, or None if it does not exist."""
    name: str | None = session.execute(_BATCH, {"id": batch_id}).scalars().first()
    return name


def page(
    session: Session,
    batch_id: int,
    shown: GridFilter,
    *,
    after: Place | None = None,
    before: Place | None = None,
    person: str = "",
) -> Page:
    """A page of a batch's grid, as `person` sees it: the first, the one after `after` or before `before`."""
    backward, start = before is not None, before or after
    found = find_jobs(session, batch_id, shown, start, limit=PAGE + 1, forward=not backward)
    more, jobs = len(found.jobs) > PAGE, found.jobs[:PAGE]
    far = jobs[-1].place if more else found.stopped
    near = None if start is None else jobs[0].place if jobs else start
    ids = [job.id for job in (reversed(jobs) if backward else jobs)]
    cards = [Card(**row._mapping) for row in session.execute(_CARDS, {"ids": ids, "person": person})]
    after, before = (near, far) if backward else (far, near)
    return Page(cards, after, before, stopped=found.stopped is not None)


def result_file(session: Session, result_id: int, *, original: bool) -> File | None:
    """Where a result is, or the file as its provider made it; None where there is none."""
    row = session.execute(_RESULT, {"id": result_id}).first()
    return None if row is None else file_of(row._asdict(), original=original)


def file_of(result: Mapping[str, Any], *, original: bool) -> File | None:
    """Where a result is, or the file as its provider made it, which is None where it was not kept.

    Args:
        result: the columns of `results`.
        original: which of both.
    """
    if not original or result["original_sha256"] == result["sha256"]:
        return File(result["key"])
    if result["original_key"] is not None:
        return File(result["original_key"])
    if result["mark_start"] is None:
        return None
    return File(result["key"], Mark(result["mark_start"], result["mark_length"]))


def to_shrink(session: Session, result_id: int) -> Any:
    """What a result's copies are made of, whether it is `marked`, its size, and its `thumbnail_key`, if any."""
    return session.execute(_TO_SHRINK, {"id": result_id}).first()


def keep_thumbnail(session: Session, result_id: int, key: str) -> bool:
    """Name a thumbnail in its result's row; False where there is no such row any more."""
    return session.execute(_KEEP_THUMBNAIL, {"id": result_id, "key": key}).first() is not None
