"""A batch as a table, CSV or JSON Lines, with its metadata back; and its pictures as files that bear its keys."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import re
import shutil
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import IO, Any, Protocol

from sqlalchemy import text
from sqlalchemy.orm import Session

from catalog.errors import CatalogError
from workers.storage import Storage

FIXED = ("key", "state", "reason", "error", "account", "operation", "cost", "attempts", "uris", "sizes", "sha256")
FETCHED_AT_ONCE = 1_000  # rows; the rest waits in the database's cursor
MAX_FILE_NAME = 150  # bytes of a key in a file's name: file systems allow 255, and index and ending follow

# What spreadsheets take for the beginning of a formula (OWASP, "CSV Injection"); plain numbers are none.
_FORMULA = re.compile(r"[=+\-@\t\r]")
_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?")
_UNSAFE = re.compile(r"[^\w.@+-]")

_SELECT = text("""
    SELECT j.key, j.state, j.reason, j.error, j.extra, j.seq, coalesce(last.account, j.account) AS account,
        coalesce(last.operation, j.operation) AS operation, coalesce(paid.cost, 0) AS cost,
        coalesce(paid.number, 0) AS attempts, coalesce(found.results, '[]'::jsonb) AS results
    FROM jobs j
    LEFT JOIN LATERAL (
        SELECT sum(cost) FILTER (WHERE state NOT IN ('refused', 'not_sent')) AS cost, count(*) AS number
        FROM attempts WHERE job_id = j.id
    ) paid ON true
    LEFT JOIN LATERAL (
        SELECT account, operation FROM attempts WHERE job_id = j.id ORDER BY number DESC LIMIT 1
    ) last ON true
    -- Of a job that was begun anew, the pictures are those of its latest finished attempt.
    LEFT JOIN LATERAL (
        SELECT jsonb_agg(jsonb_build_object('index', r.index, 'key', r.key, 'sha256', r.sha256, 'size', r.size,
            'media_type', r.media_type, 'width', r.width, 'height', r.height, 'facts', r.facts) ORDER BY r.index
        ) AS results
        FROM results r WHERE j.state = 'succeeded' AND r.attempt_id = (
            SELECT id FROM attempts WHERE job_id = j.id AND state = 'done' ORDER BY number DESC LIMIT 1
        )
    ) found ON true
    WHERE j.batch_id = :batch_id ORDER BY j.seq
""")
_METADATA = text("""
    SELECT DISTINCT name FROM jobs, jsonb_object_keys(extra) AS name WHERE batch_id = :batch_id ORDER BY name
""")


@dataclass(frozen=True, slots=True)
class Exported:
    """One job as it is exported."""

    key: str
    state: str
    reason: str | None
    error: str | None
    account: str | None
    operation: str | None
    cost: Decimal
    attempts: int
    results: tuple[Mapping[str, Any], ...]
    extra: Mapping[str, Any]


class Writer(Protocol):
    """Writes jobs in one format."""

    def __call__(self, file: IO[str], jobs: Iterator[Exported], metadata: list[str]) -> None:
        """Write them all."""
        ...


def jobs_of(session: Session, batch_id: int, storage: Storage) -> Generator[Exported]:
    """The jobs of a batch in the order of its catalog, read in portions."""
    rows = session.execute(_SELECT, {"batch_id": batch_id}, execution_options={"yield_per": FETCHED_AT_ONCE})
    for row in rows:
        results = tuple({**result, "uri": storage.url(result["key"])} for result in row.results)
        yield Exported(
            row.key, row.state, row.reason, row.error, row.account, row.operation, row.cost, row.attempts, results,
            row.extra,
        )  # fmt: skip


def metadata_of(session: Session, batch_id: int) -> list[str]:
    """The names of a batch's metadata columns."""
    return list(session.execute(_METADATA, {"batch_id": batch_id}).scalars())


def writer_for(path: Path) -> Writer:
    """The writer for `path`, by the end of its name.

    Raises:
        CatalogError: there is none for it.
    """
    writer = _WRITERS.get(path.suffix.lower())
    if writer is None:
        raise CatalogError(f"{path}: {path.suffix or 'no ending'!r} is unknown; allowed: {', '.join(_WRITERS)}")
    return writer


def write_csv(file: IO[str], jobs: Iterator[Exported], metadata: list[str]) -> None:
    """A header and one row a job; a job's several pictures stand in one cell, one a line.

    Cells that a spreadsheet would run as a formula are made text by a leading apostrophe.
    """
    writer = csv.writer(file)
    # A metadata column may be called like one of ours, "cost" above all; its values must not be taken for ours.
    writer.writerow([*FIXED, *(_cell(f"catalog.{name}" if name in FIXED else name) for name in metadata)])
    for job in jobs:
        values = [
            job.key, job.state, job.reason, job.error, job.account, job.operation, _amount(job.cost), job.attempts,
            *("\n".join(str(result[name]) for result in job.results) for name in ("uri", "size", "sha256")),
        ]  # fmt: skip
        writer.writerow([_cell(value) for value in [*values, *(job.extra.get(name) for name in metadata)]])


def write_json_lines(file: IO[str], jobs: Iterator[Exported], metadata: list[str]) -> None:
    """One object a line; `metadata` as its own object, `results` as a list."""
    del metadata  # every object carries its own
    for job in jobs:
        line = {
            "key": job.key, "state": job.state, "reason": job.reason, "error": job.error, "account": job.account,
            "operation": job.operation, "cost": _amount(job.cost), "attempts": job.attempts,
            "results": job.results, "metadata": job.extra,
        }  # fmt: skip
        file.write(json.dumps(line, ensure_ascii=False) + "\n")


_WRITERS: Mapping[str, Writer] = {".csv": write_csv, ".jsonl": write_json_lines, ".ndjson": write_json_lines}


@dataclass(frozen=True, slots=True)
class Pictures:
    """Where the pictures of a batch were put."""

    folder: Path
    files: int


def write_pictures(jobs: Iterator[Exported], storage: Storage, folder: Path) -> Pictures:
    """Put every picture into `folder` as ``KEY_INDEX.ENDING``; those that are there already stay.

    Of pictures in local storage these are hard links, read-only, where the file system allows it: they take no room.

    Raises:
        CatalogError: the folder cannot be written.
        StorageError: a picture cannot be read.
    """
    files = 0
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for job in jobs:
            for result in job.results:
                name = f"{safe_name(job.key)}_{result['index']}{Path(result['key']).suffix}"
                _place(storage, result["key"], folder / name)
                files += 1
    except OSError as error:
        raise CatalogError(f"{folder}: the pictures cannot be written there: {error.strerror or error}") from error
    return Pictures(folder, files)


def safe_name(key: str) -> str:
    """A file's name for `key`: itself where that is harmless, else changed and told apart by a digest."""
    name = _UNSAFE.sub("_", key).lstrip(".")
    if len(name.encode()) > MAX_FILE_NAME:
        name = name.encode()[:MAX_FILE_NAME].decode(errors="ignore")
    return name if name == key else f"{name}-{hashlib.sha256(key.encode()).hexdigest()[:8]}"


def _place(storage: Storage, key: str, target: Path) -> None:
    """Make `target` the picture, in one step, so that nobody sees half of it."""
    url = storage.url(key)
    source = Path(url.removeprefix("file://")) if url.startswith("file://") else None
    if source is not None and target.exists() and source.exists() and target.samefile(source):
        return
    partial = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        if source is None or not _linked(source, partial):
            with storage.open(key) as file, partial.open("wb") as copy:
                shutil.copyfileobj(file, copy)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def _linked(source: Path, target: Path) -> bool:
    """Whether a hard link could be made; not so across file systems, or where there are none."""
    target.unlink(missing_ok=True)
    try:
        target.hardlink_to(source)
    except OSError:
        return False
    # It is the stored file itself: whoever wants to edit it shall edit a copy.
    target.chmod(0o444)
    return True


def _cell(value: Any) -> str:
    if value is None:
        return ""
    written = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return f"'{written}" if _FORMULA.match(written) and not _NUMBER.fullmatch(written) else written


def _amount(cost: Decimal) -> str:
    return f"{cost.normalize():f}"
