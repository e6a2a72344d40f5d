"""The export of a batch as CSV or JSON Lines, with the catalog's metadata; `reports.writing` writes the files."""

from __future__ import annotations

import csv
import json
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import IO, Any

from sqlalchemy import Row, Text, bindparam, text
from sqlalchemy.orm import Session

from catalog.cells import cell
from models.fragments import PLACE, flags_of, has_picture, is_paid, last_attempt, reviewed, used_attempt
from models.states import JobState
from models.transactions import Database
from models.verdicts import Verdict
from recast.money import Money, plain
from workers.images.storage import Storage

FIXED = (
    "key",
    "state",
    "reason",
    "error",
    "account",
    "operation",
    "cost",
    "currency",
    "attempts",
    "uris",
    "sizes",
    "sha256",
    "verdict",
    "reasons",
    "note",
    "reviewer",
    "reviewed_at",
    "checks",
)
PAGE = 1_000  # jobs that are read together: well under a second, and some MiB

# The index has a batch's jobs by state and then in the order of the catalog, so the states are read side by side. What
# belongs to the jobs is looked up for those of the page alone.
_SELECT = text(f"""
    WITH page AS (
        SELECT found.* FROM unnest(cast(:states AS text[])) AS each(state) CROSS JOIN LATERAL (
            SELECT jobs.id, jobs.key, jobs.state, jobs.reason, jobs.error, jobs.extra, jobs.seq, jobs.account,
                jobs.operation, jobs.kept_attempt, w.verdict, w.verdict_id, w.chosen
            FROM jobs LEFT JOIN reviews w ON w.job_id = jobs.id
            WHERE jobs.batch_id = :batch_id AND jobs.state = each.state AND jobs.seq > :after
                AND (:verdict IS NULL OR coalesce(w.verdict, 'unreviewed') = :verdict)
            ORDER BY jobs.seq LIMIT :number
        ) found ORDER BY found.seq LIMIT :number
    )
    SELECT j.key, j.state, j.reason, j.error, j.extra, j.seq, {PLACE}, coalesce(paid.cost, 0) AS cost,
        coalesce(paid.number, 0) AS attempts, coalesce(found.results, '[]'::jsonb) AS results,
        CASE WHEN j.state = 'succeeded' THEN coalesce(j.verdict, 'unreviewed') END AS verdict, said.reasons, said.note,
        said.person, said.at
    FROM page j
    LEFT JOIN verdicts said ON said.id = j.verdict_id AND said.verdict = j.verdict AND j.verdict <> 'unreviewed'
    LEFT JOIN LATERAL (
        SELECT sum(cost) FILTER (WHERE {is_paid("attempts")}) AS cost, count(*) AS number
        FROM attempts WHERE job_id = j.id
    ) paid ON true
    LEFT JOIN LATERAL {last_attempt("j.id", "account, operation")} last ON true
    LEFT JOIN LATERAL (
        SELECT jsonb_agg(jsonb_build_object('index', r.index, 'key', r.key, 'sha256', r.sha256,
            'original_sha256', r.original_sha256, 'provenance', r.provenance, 'source_type', r.source_type,
            'size', r.size, 'media_type', r.media_type, 'width', r.width, 'height', r.height, 'facts', r.facts,
            'checks', {flags_of("r.id")}, 'reviewed', {reviewed("r.id")}) ORDER BY r.index
        ) AS results
        FROM results r WHERE {has_picture("j")}
            AND r.attempt_id = {used_attempt("j.chosen", "j.id")}
            AND (:verdict IS DISTINCT FROM 'approved' OR r.id = j.chosen)
    ) found ON true
    ORDER BY j.seq
""").bindparams(bindparam("verdict", type_=Text))
_METADATA = text("""
    SELECT name, CASE
        WHEN count(DISTINCT jsonb_typeof(value)) > 1 THEN 'anything'
        WHEN min(jsonb_typeof(value)) = 'string' THEN 'text'
        WHEN min(jsonb_typeof(value)) = 'boolean' THEN 'boolean'
        WHEN min(jsonb_typeof(value)) <> 'number' THEN 'anything'
        WHEN bool_and(value::text ~ '^-?[0-9]{1,18}$') THEN 'integer'
        ELSE 'number' END AS kind
    FROM jobs, jsonb_each(extra) AS each(name, value) WHERE batch_id = :batch_id GROUP BY name ORDER BY name
""")


@dataclass(frozen=True, slots=True)
class Said:
    """What counts of people's verdicts about a job; nothing where it has no picture."""

    verdict: str | None = None
    reasons: tuple[str, ...] = ()
    note: str | None = None
    reviewer: str | None = None
    reviewed_at: datetime | None = None

    @property
    def day(self) -> str | None:
        """The time of the verdict as text (ISO 8601)."""
        return None if self.reviewed_at is None else self.reviewed_at.isoformat(timespec="seconds")


@dataclass(frozen=True, slots=True)
class Exported:
    """One exported job."""

    key: str
    state: str
    reason: str | None
    error: str | None
    account: str | None
    operation: str | None
    cost: Money
    attempts: int
    results: tuple[Mapping[str, Any], ...]
    extra: Mapping[str, Any]
    said: Said = Said()

    @property
    def checks(self) -> tuple[str, ...]:
        """The checks that flagged one of its pictures."""
        return tuple(dict.fromkeys(name for result in self.results for name in result.get("checks", ())))


def jobs_of(
    database: Database, batch_id: int, storage: Storage, currency: str, verdict: Verdict | None = None
) -> Generator[Exported]:
    """The jobs of a batch in the order of its catalog; their cost is in the deployment's currency.

    With a `verdict`, only jobs that have a picture and that verdict; of approved ones, the one picture that is used.

    They are read page by page. However long the caller takes for each, no transaction is open meanwhile.
    """
    after = -1
    while page := database.db(_page, batch_id, after, verdict):
        for row in page:
            results = tuple({**result, "uri": storage.url(result["key"])} for result in row.results)
            yield Exported(
                row.key, row.state, row.reason, row.error, row.account, row.operation, Money(row.cost, currency),
                row.attempts, results, row.extra,
                Said(row.verdict, tuple(row.reasons or ()), row.note, row.person, row.at),
            )  # fmt: skip
        after = page[-1].seq


def _page(session: Session, batch_id: int, after: int, verdict: Verdict | None) -> Sequence[Row[Any]]:
    states = [str(state) for state in (JobState if verdict is None else [JobState.SUCCEEDED])]
    wanted = {"batch_id": batch_id, "states": states, "after": after, "number": PAGE, "verdict": verdict}
    return session.execute(_SELECT, wanted).all()


def metadata_of(session: Session, batch_id: int) -> dict[str, str]:
    """A batch's metadata columns and the type of all their values: text, integer, number, boolean, or anything."""
    return {row.name: row.kind for row in session.execute(_METADATA, {"batch_id": batch_id})}


def column_of(name: str) -> str:
    """A metadata column's name in the export; a prefix separates it from a fixed column with the same name."""
    return f"catalog.{name}" if name in FIXED else name


def write_csv(file: IO[str], jobs: Iterator[Exported], metadata: Iterable[str]) -> None:
    """A header and one row per job; the pictures of a job are in one cell, one per line.

    The cost is in two cells, the amount and the currency. A leading apostrophe keeps spreadsheets from running cells as
    formulas.
    """
    names = list(metadata)
    writer = csv.writer(file)
    writer.writerow([*FIXED, *(cell(column_of(name)) for name in names)])
    for job in jobs:
        values = [
            job.key, job.state, job.reason, job.error, job.account, job.operation, plain(job.cost.amount),
            job.cost.currency, job.attempts,
            *("\n".join(str(result[name]) for result in job.results) for name in ("uri", "size", "sha256")),
            job.said.verdict, "\n".join(job.said.reasons), job.said.note, job.said.reviewer, job.said.day,
            "\n".join(job.checks),
        ]  # fmt: skip
        writer.writerow([cell(value) for value in [*values, *(job.extra.get(name) for name in names)]])


def write_json_lines(file: IO[str], jobs: Iterator[Exported], metadata: Iterable[str]) -> None:
    """One object per line; `metadata` as its own object, `results` as a list."""
    del metadata  # every object carries its own
    for job in jobs:
        line = {
            "key": job.key, "state": job.state, "reason": job.reason, "error": job.error, "account": job.account,
            "operation": job.operation, "cost": job.cost.document(), "attempts": job.attempts,
            "results": job.results, "metadata": job.extra, "verdict": job.said.verdict,
            "reasons": job.said.reasons, "note": job.said.note, "reviewer": job.said.reviewer,
            "reviewed_at": job.said.day, "checks": job.checks,
        }  # fmt: skip
        file.write(json.dumps(line, ensure_ascii=False) + "\n")
