"""The writers of exported tables: CSV, JSON Lines (both also gzipped) or Parquet, on disk or at an ``s3://`` address.

A local file gets its name only when it is complete.
"""

from __future__ import annotations

import codecs
import gzip
import io
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import islice
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

import fsspec

from catalog.cells import as_json
from catalog.errors import CatalogError
from catalog.files import PACKED, catalog_file
from reports.export import FIXED, Exported, column_of, write_csv, write_json_lines
from workers import private
from workers.failures import is_full

PORTION = 5_000  # rows of a Parquet row group

Writer = Callable[[BinaryIO, Iterable[Exported], Mapping[str, str]], None]


def writer_for(place: str | Path, *, excel: bool = False) -> Writer:
    """The writer for `place`, chosen by its extension.

    With `excel`, a byte order mark shows Excel that the text is UTF-8; other programs may take it for a part of the
    first column's name.

    Raises:
        CatalogError: the format is not supported, or has no such mark.
    """
    file = catalog_file(place)
    writer = _WRITERS.get(file.ending)
    if writer is None or (file.packed and writer is write_parquet):
        given = file.ending + (PACKED if file.packed else "")
        allowed = ", ".join([*_WRITERS, ".csv.gz", ".jsonl.gz"])
        raise CatalogError(f"{file.where}: cannot write {given or 'no extension'!r} files; supported: {allowed}")
    if excel:
        if file.ending != ".csv":
            raise CatalogError(f"{file.where}: --excel is for .csv files only")
        return partial(_marked, writer)
    return writer


def _marked(write: Writer, file: BinaryIO, jobs: Iterable[Exported], metadata: Mapping[str, str]) -> None:
    file.write(codecs.BOM_UTF8)
    write(file, jobs, metadata)


def write_table(
    place: str | Path, jobs: Iterable[Exported], metadata: Mapping[str, str], *, excel: bool = False
) -> None:
    """Write `jobs` to `place`, a path or an address, in the format of its extension.

    Args:
        place: where to.
        jobs: its rows.
        metadata: the catalog's columns.
        excel: as for `writer_for`.

    Raises:
        CatalogError: the format is not supported, or `place` cannot be written.
    """
    writer = writer_for(place, excel=excel)
    with _created(place) as file:
        writer(file, jobs, metadata)


def write_parquet(file: BinaryIO, jobs: Iterable[Exported], metadata: Mapping[str, str]) -> None:
    """Write one row per job. A metadata column whose values all have one type keeps it; others become JSON."""
    try:
        import pyarrow as pa  # noqa: PLC0415 - loads slowly and is optional
        from pyarrow import parquet  # noqa: PLC0415
    except ImportError:
        raise CatalogError("a package for writing Parquet is missing: pip install 'recast-server[parquet]'") from None
    types = {"text": pa.string(), "integer": pa.int64(), "number": pa.float64(), "boolean": pa.bool_()}
    ours = {
        **dict.fromkeys(FIXED, pa.string()), "cost": pa.decimal128(14, 4), "attempts": pa.int64(),
        "uris": pa.list_(pa.string()), "sizes": pa.list_(pa.int64()), "sha256": pa.list_(pa.string()),
        "reasons": pa.list_(pa.string()), "checks": pa.list_(pa.string()), "reviewed_at": pa.timestamp("us", tz="UTC"),
    }  # fmt: skip
    theirs = {column_of(name): types.get(kind, pa.string()) for name, kind in metadata.items()}
    schema = pa.schema([*ours.items(), *theirs.items()])
    with parquet.ParquetWriter(file, schema, compression="zstd") as writer:
        for portion in _portions(jobs):
            rows = [_record(job, metadata) for job in portion]
            writer.write_table(pa.Table.from_pylist(rows, schema))


def _record(job: Exported, metadata: Mapping[str, str]) -> dict[str, Any]:
    values: dict[str, Any] = {
        "key": job.key, "state": job.state, "reason": job.reason, "error": job.error, "account": job.account,
        "operation": job.operation, "cost": job.cost.amount, "currency": job.cost.currency, "attempts": job.attempts,
        "uris": [result["uri"] for result in job.results], "sizes": [result["size"] for result in job.results],
        "sha256": [result["sha256"] for result in job.results],
        "verdict": job.said.verdict, "reasons": list(job.said.reasons), "note": job.said.note,
        "reviewer": job.said.reviewer, "reviewed_at": job.said.reviewed_at, "checks": list(job.checks),
    }  # fmt: skip
    for name, kind in metadata.items():
        value = job.extra.get(name)
        values[column_of(name)] = as_json(value) if kind == "anything" and value is not None else value
    return values


def _portions(jobs: Iterable[Exported]) -> Iterator[list[Exported]]:
    rest = iter(jobs)
    while portion := list(islice(rest, PORTION)):
        yield portion


def _text(write: Callable[[IO[str], Iterator[Exported], Iterable[str]], None]) -> Writer:
    def written(file: BinaryIO, jobs: Iterable[Exported], metadata: Mapping[str, str]) -> None:
        text = io.TextIOWrapper(file, encoding="utf-8", newline="")
        write(text, iter(jobs), metadata)
        text.flush()
        text.detach()

    return written


_WRITERS: Mapping[str, Writer] = {
    ".csv": _text(write_csv),
    ".jsonl": _text(write_json_lines),
    ".ndjson": _text(write_json_lines),
    ".parquet": write_parquet,
}


@contextmanager
def _created(place: str | Path) -> Iterator[BinaryIO]:
    described = catalog_file(place)
    try:
        with ExitStack() as stack:
            file = stack.enter_context(_remote_file(str(place)) if "://" in str(place) else _local_file(Path(place)))
            yield cast("BinaryIO", stack.enter_context(gzip.open(file, "wb"))) if described.packed else file
    except ImportError:
        raise CatalogError(f"{described.where}: a package is missing: pip install 'recast-server[s3]'") from None
    except OSError as error:
        if is_full(error):
            raise
        raise CatalogError(f"{described.where}: cannot be written: {error.strerror or error}") from None


@contextmanager
def _remote_file(place: str) -> Iterator[BinaryIO]:
    # Object stores publish an object when its upload is complete.
    with fsspec.open(place, "wb") as file:
        yield file


@contextmanager
def _local_file(path: Path) -> Iterator[BinaryIO]:
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with private.persons():
            file = unfinished.open("wb")
        with file:
            yield file
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
