"""The gallery's pages as data: few rows per page, whatever the size of the batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NamedTuple

from sqlalchemy import text
from sqlalchemy.orm import Session

from models.fragments import columns, flags_of, has_picture, last_attempt, newest_verdict, paid_for, used_attempt
from models.jobs import ROLES
from models.states import JobState
from models.verdicts import Verdict
from reports.flags import EVERY, Wanted, flag_places
from reports.undecided import undecided
from workers.images.originals import Mark

PAGE = 24  # cards per page: fills rows of two, three, four and six


#: Whether nobody has decided about a job `j`.
UNDECIDED = "NOT EXISTS (SELECT FROM reviews WHERE reviews.job_id = j.id AND reviews.verdict <> 'unreviewed')"


def in_states(beyond: str, order: str) -> str:
    """SQL: id and seq of up to `:limit` jobs of `:batch_id` in `:states`, beyond `:seq`."""
    # One short index scan for each state, so that a page of a million jobs costs the same as a page of ten.
    return f"""
        SELECT found.id, found.seq FROM unnest(cast(:states AS text[])) AS wanted(state) CROSS JOIN LATERAL (
            SELECT id, seq FROM jobs WHERE batch_id = :batch_id AND state = wanted.state AND seq {beyond} :seq
            ORDER BY seq {order} LIMIT :limit
        ) found
        ORDER BY found.seq {order} LIMIT :limit
    """


def _made(beyond: str, order: str) -> str:
    return f"""
        SELECT j.id, j.seq FROM jobs j
        WHERE j.batch_id = :batch_id AND j.state = 'succeeded' AND j.seq {beyond} :seq
        ORDER BY j.seq {order} LIMIT :limit
    """


def _judged(beyond: str, order: str, verdict: Verdict) -> str:
    return f"""
        SELECT job_id AS id, seq FROM reviews WHERE batch_id = :batch_id AND verdict = '{verdict}' AND seq {beyond} :seq
        ORDER BY seq {order} LIMIT :limit
    """


def places(verdict: Verdict | None, *, forward: bool) -> str:
    """SQL: id and seq of up to `:limit` jobs of `:batch_id` with pictures and this verdict, beyond `:seq`."""
    beyond, order = (">", "ASC") if forward else ("<", "DESC")
    if verdict is None:
        return _made(beyond, order)
    if verdict is Verdict.UNREVIEWED:
        return undecided(forward=forward)
    return _judged(beyond, order, verdict)


def _page(found: str, order: str = "j.seq") -> str:
    return f"""
        SELECT j.id, j.seq, j.key, j.kind, j.state, j.reason, j.error, {columns((*ROLES, "prompt"), "j")},
            coalesce(last.account, j.account) AS account, coalesce(last.operation, j.operation) AS operation,
            coalesce(paid.cost, 0) AS cost, result.id AS result_id, result.width, result.height,
            result.number AS pictures,
            CASE WHEN j.state = 'succeeded' THEN coalesce(w.verdict, 'unreviewed') END AS verdict,
            {flags_of("result.id")} AS flags,
            coalesce({newest_verdict("result.id", "id")}, 0) AS verdict_id
        FROM ({found}) page JOIN jobs j ON j.id = page.id
        LEFT JOIN reviews w ON w.job_id = j.id
        LEFT JOIN LATERAL {last_attempt("j.id", "account, operation")} last ON true
        LEFT JOIN LATERAL {paid_for("j.id")} paid ON true
        LEFT JOIN LATERAL (
            SELECT r.id, r.width, r.height, count(*) OVER () AS number FROM results r
            WHERE {has_picture("j")} AND r.attempt_id = {used_attempt("w.chosen", "j.id")}
            ORDER BY r.id <> coalesce(w.chosen, 0), r.index LIMIT 1
        ) result ON true
        ORDER BY {order}
    """


_FORWARD = text(_page(in_states(">", "ASC")))
_BACKWARD = text(_page(in_states("<", "DESC")))
_JUDGED = {
    forward: {verdict: text(_page(places(verdict, forward=forward))) for verdict in Verdict}
    for forward in (True, False)
}
_FLAGGED = {
    forward: {wanted: text(_page(flag_places(wanted, forward=forward), "page.place, j.seq")) for wanted in EVERY}
    for forward in (True, False)
}
_BATCH = text("SELECT name FROM batches WHERE id = :id AND id > 0")
_RESULT = text("""
    SELECT key, sha256, original_key, original_sha256, mark_start, mark_length FROM results WHERE id = :id
""")

_TO_SHRINK = text("""
    SELECT r.key, r.thumbnail_key,
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

    @property
    def before(self) -> str | None:
        """The role of the input picture that the job changes."""
        return "target" if self.target else "image" if self.image else None


class File(NamedTuple):
    """A file of the storage, and what to leave out of it."""

    key: str
    mark: Mark | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """Some cards in the order of the catalog; `after` and `before` select the next and the previous page."""

    cards: Sequence[Card]
    after: int | None
    before: int | None


def batch_name(session: Session, batch_id: int) -> str | None:
    """The name of a batch, or None if it does not exist."""
    name: str | None = session.execute(_BATCH, {"id": batch_id}).scalars().first()
    return name


def page(
    session: Session,
    batch_id: int,
    states: Sequence[JobState],
    verdict: Verdict | None = None,
    flagged: Wanted | None = None,
    *,
    after: int | None = None,
    before: int | None = None,
) -> Page:
    """A page of a batch's jobs: the first, the one after `after` or before `before`.

    Of jobs in `states`; or, where one of these is named, of those with a verdict, or of those that checks flagged.
    """
    backward = before is not None
    given: dict[str, object] = {"batch_id": batch_id, "seq": before if backward else after or 0, "limit": PAGE + 1}
    if flagged is not None:
        statement = _FLAGGED[not backward][flagged]
    elif verdict is None:
        statement, given = _BACKWARD if backward else _FORWARD, given | {"states": [state.value for state in states]}
    else:
        statement = _JUDGED[not backward][verdict]
    rows = session.execute(statement, given)
    cards = [Card(**row._mapping) for row in rows]
    more = len(cards) > PAGE
    if more:
        cards = cards[1:] if backward else cards[:PAGE]
    if not cards:
        return Page((), None, None)
    return Page(
        cards,
        after=cards[-1].seq if more or backward else None,
        before=cards[0].seq if (more if backward else after is not None) else None,
    )


def result_file(session: Session, result_id: int, size: str) -> File | None:
    """Where a result is (``full``), or the file as the provider made it (``original``); None where there is none."""
    row = session.execute(_RESULT, {"id": result_id}).first()
    if row is None or size not in {"full", "original"}:
        return None
    if size == "full" or row.original_sha256 == row.sha256:
        return File(row.key)
    if row.original_key is not None:
        return File(row.original_key)
    return None if row.mark_start is None else File(row.key, Mark(row.mark_start, row.mark_length))


def to_shrink(session: Session, result_id: int) -> Any:
    """What a result's thumbnail is made of: its `key`, `kind`, whether it is `marked`; its `thumbnail_key`, if any."""
    return session.execute(_TO_SHRINK, {"id": result_id}).first()


def keep_thumbnail(session: Session, result_id: int, key: str) -> bool:
    """Name a thumbnail in its result's row; False where there is no such row any more."""
    return session.execute(_KEEP_THUMBNAIL, {"id": result_id, "key": key}).first() is not None
