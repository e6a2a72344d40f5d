"""Checking a whole catalog before anything of it is enqueued, and keeping what the database will take of it.

The rows that pass are written to a temporary file in the form of PostgreSQL's COPY, so that memory does not grow with
the catalog, the file is read once only, and what was checked is what gets enqueued.
"""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import IO, Any, Self

from catalog.checks import BadRowError, Checker, Defaults, Entry
from catalog.errors import BadRowsError, CatalogError, Mistake
from catalog.rows import Row, open_rows
from models.jobs import bulk_job_id
from workers.accounts import Account
from workers.routing import Reach

MAX_NAME = 200  # characters of a batch's name, which is also a folder's
MAX_MISTAKES = 10_000  # kept to be shown; a catalog with more is wrong as a whole
CHUNK_BYTES = 1 << 18  # of the spool, handed to the database at once
MEMORY_BYTES = 1 << 22  # of the spool, kept in memory before it becomes a file

#: The spool's columns, in order; `catalog.enqueue` makes its staging table of them.
SPOOLED = (
    "line", "id", "key", "kind", "source", "target", "image", "prompt", "options", "account", "provider", "operation",
    "lane", "fingerprint", "extra", "cost",
)  # fmt: skip

_ESCAPES = str.maketrans({"\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"})


@dataclass(slots=True)
class Estimate:
    """What the rows would cost if all were submitted once, at the cheapest and at the dearest of their accounts."""

    cheapest: Decimal = Decimal(0)
    dearest: Decimal = Decimal(0)
    #: ``account: operation`` without a price.
    unpriced: set[str] = field(default_factory=set)
    #: Rows by lane.
    lanes: Counter[str] = field(default_factory=Counter)

    def add(self, entry: Entry) -> None:
        """Count one row."""
        self.cheapest += entry.way.cheapest
        self.dearest += entry.way.dearest
        self.unpriced.update(entry.way.unpriced)
        self.lanes[entry.way.lane] += 1


class Intake:
    """A catalog that has been checked; a context manager, since it holds a temporary file."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.rows = 0
        self.estimate = Estimate()
        self._spool: IO[bytes] = tempfile.SpooledTemporaryFile(MEMORY_BYTES)  # noqa: SIM115 - closed by __exit__

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._spool.close()

    def add(self, entry: Entry) -> None:
        """Keep one row."""
        ask = entry.ask
        values = (
            str(entry.line), bulk_job_id(self.name, entry.key), entry.key, ask.kind, ask.source, ask.target, ask.image,
            ask.prompt, _json(ask.options), ask.account, ask.provider, ask.operation, entry.way.lane, entry.fingerprint,
            _json(entry.extra), str(entry.way.dearest),
        )  # fmt: skip
        self._spool.write(("\t".join(map(_escaped, values)) + "\n").encode())
        self.rows += 1
        self.estimate.add(entry)

    def chunks(self) -> Iterator[bytes]:
        """The rows in the text form of COPY, from the beginning."""
        self._spool.seek(0)
        while chunk := self._spool.read(CHUNK_BYTES):
            yield chunk


def take_in(
    path: Path,
    accounts: Mapping[str, Account],
    reach: Reach,
    *,
    name: str | None = None,
    defaults: Defaults | None = None,
) -> Intake:
    """Check every row of the catalog at `path`.

    Args:
        path: a file that `catalog.rows` can read.
        accounts: those that may be used.
        reach: how providers can fetch local files.
        name: of the batch; the file's name without its ending where none is given.
        defaults: account and provider of rows that name neither.

    Raises:
        CatalogError: the file cannot be read, or has no rows.
        BadRowsError: rows are wrong; it holds every mistake.
    """
    rows = open_rows(path)
    intake = Intake(batch_name(path, name))
    try:
        _check(path, rows, Checker(accounts, reach, path.parent, defaults or Defaults()), intake)
    except BaseException:
        intake.__exit__()
        raise
    return intake


def batch_name(path: Path, name: str | None) -> str:
    """The name of the batch of the catalog at `path`.

    Raises:
        CatalogError: `name` cannot be one.
    """
    found = path.stem if name is None else name.strip()
    if not found or len(found) > MAX_NAME or not found.isprintable():
        raise CatalogError(f"--name: {found[:80]!r} is not allowed; allowed: 1 to {MAX_NAME} printable characters")
    return found


def _check(path: Path, rows: Any, checker: Checker, intake: Intake) -> None:
    mistakes: list[Mistake] = []
    total = 0
    lines_of_keys: dict[str, int] = {}
    for row in rows:
        found = _judged(row, checker, lines_of_keys)
        if isinstance(found, Entry):
            if not total:
                intake.add(found)
        else:
            total += len(found)
            mistakes += found[: MAX_MISTAKES - len(mistakes)]
    if total:
        raise BadRowsError(str(path), mistakes, total)
    if not intake.rows:
        raise CatalogError(f"{path}: has no rows")


def _judged(row: Row | Mistake, checker: Checker, lines_of_keys: dict[str, int]) -> Entry | list[Mistake]:
    if isinstance(row, Mistake):
        return [row]
    try:
        entry = checker.check(row)
    except BadRowError as error:
        return error.mistakes
    first = lines_of_keys.setdefault(entry.key, row.line)
    if first != row.line:
        return [Mistake(row.line, "key", f"{entry.key!r} is the key of line {first} already; a key names one row")]
    return entry


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")) if value else "{}"


def _escaped(value: str | None) -> str:
    return r"\N" if value is None else value.translate(_ESCAPES)
