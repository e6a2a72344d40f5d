"""The export of a batch as CSV or JSON Lines, with the catalog's metadata; `reports.writing` writes the files."""

from __future__ import annotations

import csv
import json
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Any

from sqlalchemy import Row, text
from sqlalchemy.orm import Session

from catalog.cells import cell
from models.fragments import finished_attempt, is_paid, last_attempt
from models.states import JobState
from models.transactions import Database
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
)
PAGE = 1_000  # jobs that are read together: well under a second, and some MiB

# The index has a batch's jobs by state and then in the order of the catalog, so the states are read side by side. What
# belongs to the jobs is looked up for those of the page alone.
_SELECT = text(f"""
    WITH page AS (
        SELECT found.* FROM unnest(cast(:states AS text[])) AS each(state) CROSS JOIN LATERAL (
            SELECT id, key, state, reason, error, extra, seq, account, operation FROM jobs
            WHERE batch_id = :batch_id AND state = each.state AND seq > :after ORDER BY seq LIMIT :number
        ) found ORDER BY found.seq LIMIT :number
    )
    SELECT j.key, j.state, j.reason, j.error, j.extra, j.seq, coalesce(last.account, j.account) AS account,
        coalesce(last.operation, j.operation) AS operation, coalesce(paid.cost, 0) AS cost,
        coalesce(paid.number, 0) AS attempts, coalesce(found.results, '[]'::jsonb) AS results
    FROM page j
    LEFT JOIN LATERAL (
        SELECT sum(cost) FILTER (WHERE {is_paid("attempts")}) AS cost, count(*) AS number
        FROM attempts WHERE job_id = j.id
    ) paid ON true
    LEFT JOIN LATERAL {last_attempt("j.id", "account, operation")} last ON true
    LEFT JOIN LATERAL (
        SELECT jsonb_agg(jsonb_build_object('index', r.index, 'key', r.key, 'sha256', r.sha256,
            'original_sha256', r.original_sha256, 'size', r.size, 'media_type', r.media_type, 'width', r.width,
            'height', r.height, 'facts', r.facts) ORDER BY r.index
        ) AS results
        FROM results r WHERE j.state = 'succeeded' AND r.attempt_id = {finished_attempt("j.id")}
    ) found ON true
    ORDER BY j.seq
""")
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


def jobs_of(database: Database, batch_id: int, storage: Storage, currency: str) -> Generator[Exported]:
    """The jobs of a batch in the order of its catalog; their cost is in the deployment's currency.

    They are read page by page. However long the caller takes for each, no transaction is open meanwhile.
    """
    after = -1
    while page := database.db(_page, batch_id, after):
        for row in page:
            results = tuple({**result, "uri": storage.url(result["key"])} for result in row.results)
            yield Exported(
                row.key, row.state, row.reason, row.error, row.account, row.operation, Money(row.cost, currency),
                row.attempts, results, row.extra,
            )  # fmt: skip
        after = page[-1].seq


def _page(session: Session, batch_id: int, after: int) -> Sequence[Row[Any]]:
    wanted = {"batch_id": batch_id, "states": [str(state) for state in JobState], "after": after, "number": PAGE}
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
        ]  # fmt: skip
        writer.writerow([cell(value) for value in [*values, *(job.extra.get(name) for name in names)]])


def write_json_lines(file: IO[str], jobs: Iterator[Exported], metadata: Iterable[str]) -> None:
    """One object per line; `metadata` as its own object, `results` as a list."""
    del metadata  # every object carries its own
    for job in jobs:
        line = {
            "key": job.key, "state": job.state, "reason": job.reason, "error": job.error, "account": job.account,
            "operation": job.operation, "cost": job.cost.document(), "attempts": job.attempts,
            "results": job.results, "metadata": job.extra,
        }  # fmt: skip
        file.write(json.dumps(line, ensure_ascii=False) + "\n")
