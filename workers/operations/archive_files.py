"""The files of archived jobs: Parquet with a row for each job, and with all that belongs to it as JSON.

pyarrow is optional: it comes with the extra `parquet`.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from workers.config.extras import missing

#: Columns that are whole rows of tables, as PostgreSQL's `to_jsonb` has them.
ROWS = ("job", "attempts", "results", "versions", "redos", "verdicts", "announcements")


class ArchiveError(Exception):
    """Rows cannot be archived; the message says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Totals:
    """What a file has."""

    jobs: int
    attempts: int
    results: int
    cost: Decimal


def require() -> None:
    """Refuse where Parquet cannot be written.

    Raises:
        ArchiveError: it cannot.
    """
    if missing(("pyarrow",)):
        raise ArchiveError("a package for writing Parquet is missing: pip install 'recast-server[parquet]'")


def totals(rows: Sequence[Mapping[str, Any]]) -> Totals:
    """The totals of rows, as they were read or as a file has them."""
    return Totals(
        len(rows),
        sum(len(row["attempts"]) for row in rows),
        sum(len(row["results"]) for row in rows),
        sum((row["cost"] for row in rows), Decimal(0)),
    )


def parquet_of(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """The rows as a file; equal rows make equal files."""
    import pyarrow as pa  # noqa: PLC0415 - loads slowly and is optional
    from pyarrow import parquet  # noqa: PLC0415

    times = {name: pa.timestamp("us", tz="UTC") for name in ("created_at", "started_at", "finished_at")}
    texts = ("id", "batch", "key", "kind", "state", "reason", *ROWS)
    schema = pa.schema([*dict.fromkeys(texts, pa.string()).items(), ("cost", pa.decimal128(14, 4)), *times.items()])
    packed = [{**row, **{name: json.dumps(row[name], sort_keys=True) for name in ROWS}} for row in rows]
    file = io.BytesIO()
    parquet.write_table(pa.Table.from_pylist(packed, schema), file, compression="zstd")
    return file.getvalue()


def read(data: bytes) -> list[dict[str, Any]]:
    """The rows of a file."""
    from pyarrow import parquet  # noqa: PLC0415

    rows = parquet.read_table(io.BytesIO(data)).to_pylist()
    return [{**row, **{name: json.loads(row[name]) for name in ROWS}} for row in rows]


def verify(data: bytes, sha256: str, expected: Totals, key: str) -> None:
    """Hold a file that was read back against what was written.

    Raises:
        ArchiveError: it differs.
    """
    if hashlib.sha256(data).hexdigest() != sha256 or totals(read(data)) != expected:
        raise ArchiveError(f"{key}: the file is not as it was written; its rows stay. Check the storage")
