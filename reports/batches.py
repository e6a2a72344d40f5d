"""The list of batches: searched, filtered and sorted, a page by its key, with what people and checks said of each.

How many batches are on a page decides what a page costs, whatever the number of their jobs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from sqlalchemy import text
from sqlalchemy.orm import Session

from models.fragments import is_flag, seconds_ago, since
from models.spend import spent_by
from models.verdicts import Verdict
from reports.batch import IS_OPEN, BatchReport, batches_sql, report_of
from reports.reviews import PARTS, Part, Progress, progress

FLAGS_COUNTED = 200  # flags of one batch that a list counts: enough to choose where to look first
LATEST_ENDS = 2_000  # ends of jobs from which is told when batches end: read in 2 ms
RECENT_SECONDS = 600.0  # within which these ends count; what ended before says little of now
PACE_JOBS = 5  # ends of one batch that make a rate; fewer say nothing
LABELS = 12  # that a page offers, those used last

_JUDGED = "coalesce((SELECT sum(c.number) FROM verdict_counts c WHERE c.batch_id = b.id), 0)"
_UNREVIEWED = f"greatest(b.succeeded - {_JUDGED}, 0)"


class BatchesSort(StrEnum):
    """The order of a list; all but names have the largest first."""

    NEWEST = "newest"
    NAME = "name"
    SPEND = "spend"
    NEEDS_YOU = "needs_you"
    UNREVIEWED = "unreviewed"


class Only(StrEnum):
    """Which batches a list has: those with such jobs or pictures, or those that are paused."""

    OPEN = "open"
    NEEDS_YOU = "needs_you"
    WAITING = "waiting"
    REJECTED = "rejected"
    UNREVIEWED = "unreviewed"
    PAUSED = "paused"


def _number_of(part: Part) -> str:
    return "(" + " + ".join(f"b.{state}" for state in PARTS[part]) + ")"


#: What each order compares, and the same of the value that a page begins after.
_KEYS: Mapping[BatchesSort, tuple[str, str]] = {
    BatchesSort.NAME: ("lower(b.name)", "lower(cast(:past AS text))"),
    BatchesSort.SPEND: (spent_by("b.id"), "cast(cast(:past AS text) AS numeric)"),
    BatchesSort.NEEDS_YOU: (_number_of(Part.NEEDS_YOU), "cast(cast(:past AS text) AS numeric)"),
    BatchesSort.UNREVIEWED: (_UNREVIEWED, "cast(cast(:past AS text) AS numeric)"),
}
_ONLY: Mapping[Only | None, str] = {
    None: "true",
    Only.OPEN: IS_OPEN,
    Only.NEEDS_YOU: f"{_number_of(Part.NEEDS_YOU)} > 0",
    Only.WAITING: f"{_number_of(Part.WAITING)} > 0",
    Only.REJECTED: f"{_number_of(Part.REJECTED)} > 0",
    Only.UNREVIEWED: f"{_UNREVIEWED} > 0",
    Only.PAUSED: "b.paused_at IS NOT NULL",
}


def _list(sort: BatchesSort, only: Only | None) -> str:
    beyond, order = "b.id < :after", "b.id DESC"
    if sort is not BatchesSort.NEWEST:
        key, past = _KEYS[sort]
        sign, way = (">", "ASC") if sort is BatchesSort.NAME else ("<", "DESC")
        beyond, order = f"({key}, b.id) {sign} ({past}, :after)", f"{key} {way}, b.id {way}"
    condition = f"""
        (cast(:after AS int) IS NULL OR {beyond}) AND {_ONLY[only]}
        AND (cast(:label AS text) IS NULL OR b.label = :label)
        AND (cast(:search AS text) IS NULL OR strpos(lower(b.name), lower(:search)) > 0
            OR strpos(lower(b.label), lower(:search)) > 0)
    """
    return batches_sql(condition, order)


_LISTS = {sort: {only: text(_list(sort, only)) for only in (None, *Only)} for sort in BatchesSort}
_MARKS = text(f"""
    SELECT b.id, judged.approved, judged.needs_work, flags.pictures, flags.number
    FROM unnest(cast(:ids AS int[])) AS b(id) CROSS JOIN LATERAL (
        SELECT coalesce(sum(c.number) FILTER (WHERE c.verdict = 'approved'), 0)::int AS approved,
            coalesce(sum(c.number) FILTER (WHERE c.verdict = 'needs_work'), 0)::int AS needs_work
        FROM verdict_counts c WHERE c.batch_id = b.id
    ) judged CROSS JOIN LATERAL (
        SELECT count(DISTINCT seq) AS pictures, count(*) AS number FROM (
            SELECT seq FROM checks WHERE checks.batch_id = b.id AND {is_flag()} ORDER BY seq LIMIT {FLAGS_COUNTED}
        ) few
    ) flags
""")
_PACES = text(f"""
    SELECT batch_id, count(*) AS jobs, {since("min(finished_at)")} AS seconds FROM (
        SELECT batch_id, finished_at FROM jobs WHERE finished_at > {seconds_ago(":seconds")}
        ORDER BY finished_at DESC, id DESC LIMIT {LATEST_ENDS}
    ) latest
    WHERE batch_id = ANY(:ids) GROUP BY batch_id HAVING count(*) >= {PACE_JOBS}
""")
_LABELS = text("""
    SELECT label FROM batches WHERE id > 0 AND label IS NOT NULL GROUP BY label ORDER BY max(id) DESC LIMIT :limit
""")


@dataclass(frozen=True, slots=True)
class BatchesFilter:
    """Which batches a page has: the first ones of a list, or those beyond the batch `after`."""

    search: str | None = None
    label: str | None = None
    only: Only | None = None
    sort: BatchesSort = BatchesSort.NEWEST
    after: int | None = None
    #: What that batch was sorted by when it was listed; its name, or a number.
    past: str | None = None


@dataclass(frozen=True, slots=True)
class ListedBatch:
    """A batch with what a list says of it."""

    report: BatchReport
    numbers: Progress
    #: Its pictures by verdict.
    verdicts: Mapping[Verdict, int]
    #: Pictures that checks flagged; with `more`, there are more flags than were counted.
    flagged: int
    more: bool
    #: When its last job would end, as jobs end now; None where that cannot be told.
    ends_at: datetime | None

    def place(self, sort: BatchesSort) -> str | None:
        """What the batch is sorted by, for the page after it."""
        places = {
            BatchesSort.NAME: self.report.name, BatchesSort.SPEND: str(self.report.spent),
            BatchesSort.NEEDS_YOU: str(self.numbers.needs_you),
            BatchesSort.UNREVIEWED: str(self.verdicts[Verdict.UNREVIEWED]),
        }  # fmt: skip
        return places.get(sort)


def listed(session: Session, asked: BatchesFilter, limit: int) -> list[BatchReport]:
    """Up to `limit` batches."""
    given: dict[str, object] = {
        "search": asked.search, "label": asked.label, "after": asked.after, "limit": limit
    }  # fmt: skip
    if asked.sort is not BatchesSort.NEWEST:
        given["past"] = asked.past
    return [report_of(row) for row in session.execute(_LISTS[asked.sort][asked.only], given)]


def described(session: Session, reports: Sequence[BatchReport]) -> list[ListedBatch]:
    """What a list says of these batches."""
    marks = {row.id: row for row in session.execute(_MARKS, {"ids": [report.id for report in reports]})}
    ends, found = ends_of(session, reports), []
    for report in reports:
        numbers, mark = progress(report.counts), marks[report.id]
        verdicts = {
            Verdict.UNREVIEWED: max(0, numbers.made - mark.approved - mark.needs_work),
            Verdict.APPROVED: mark.approved, Verdict.NEEDS_WORK: mark.needs_work,
        }  # fmt: skip
        more = mark.number == FLAGS_COUNTED
        found.append(ListedBatch(report, numbers, verdicts, mark.pictures, more, ends.get(report.id)))
    return found


def ends_of(session: Session, reports: Sequence[BatchReport]) -> Mapping[int, datetime]:
    """When the last jobs of these batches would end, as jobs end now, where that can be told."""
    waiting = {each.id: progress(each.counts).waiting for each in reports if each.paused_reason is None}
    going = {batch_id: number for batch_id, number in waiting.items() if number}
    paces = session.execute(_PACES, {"ids": list(going), "seconds": RECENT_SECONDS})
    now = datetime.now(UTC)
    return {row.batch_id: now + timedelta(seconds=going[row.batch_id] * row.seconds / row.jobs) for row in paces}


def labels(session: Session) -> Sequence[str]:
    """The labels that were used last."""
    return session.execute(_LABELS, {"limit": LABELS}).scalars().all()
