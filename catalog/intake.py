"""The intake of a catalog: every row is checked before any is enqueued, and kept for the database.

The rows that pass are written to a temporary file in the format of PostgreSQL's COPY. So memory does not grow with the
catalog, the file is read only once, and the rows that were checked are the rows that are enqueued. Each row takes only
eight bytes of memory: a hash of its key, which finds duplicate keys at the end.
"""

from __future__ import annotations

import json
import re
import tempfile
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import IO, Any, Self

from pydantic_core import to_json

from catalog.checks import BadRowError, Checker, Entry, Route, priced_route
from catalog.columns import Row
from catalog.errors import BadRowsError, CatalogError, Mistake
from catalog.rows import Rows, open_rows
from models.identity import bulk_job_id
from models.jobs import ROLES
from workers.config.accounts import Account
from workers.counted import counted
from workers.jobs.routing import Reach
from workers.jobs.run_options import DEFAULTS, RunOptions

MAX_NAME = 200  # characters of a batch's name, which is also the name of a folder
MAX_MISTAKES = 100_000  # kept for the report, about 30 MB; a catalog with more is wrong as a whole
CHUNK_BYTES = 1 << 18  # of the spool, written or sent to the database at once
MEMORY_BYTES = 1 << 22  # of the spool, kept in memory before it becomes a file

#: The spool's columns, in order; `catalog.enqueue` creates its staging table from them.
SPOOLED = (
    "line", "id", "key", "kind", "source", "target", "image", "prompt", "options", "account", "provider", "operation",
    "lane", "fingerprint", "extra", "least", "cost", "former",
)  # fmt: skip

#: The number of groups in which keys are compared, each by itself, so that comparing copies little.
KEY_GROUPS = 64


@dataclass(slots=True)
class Share:
    """Rows of one lane, and their cost at the cheapest and at the most expensive of its accounts."""

    rows: int = 0
    cheapest: Decimal = Decimal(0)
    dearest: Decimal = Decimal(0)

    @classmethod
    def whole(cls, shares: Iterable[Self]) -> Self:
        """All of `shares` as one."""
        made = cls()
        for share in shares:
            made.add(share.rows, share.cheapest, share.dearest)
        return made

    def add(self, rows: int, cheapest: Decimal, dearest: Decimal) -> None:
        """Count further rows, and what they cost."""
        self.rows += rows
        self.cheapest += cheapest
        self.dearest += dearest


@dataclass(slots=True)
class Costs:
    """The cost of the rows if each is submitted once."""

    #: ``account: operation`` without a price.
    unpriced: set[str] = field(default_factory=set)
    lanes: dict[str, Share] = field(default_factory=dict)

    @property
    def cheapest(self) -> Decimal:
        """At the cheapest accounts."""
        return Share.whole(self.lanes.values()).cheapest

    @property
    def dearest(self) -> Decimal:
        """At the most expensive accounts."""
        return Share.whole(self.lanes.values()).dearest

    def add(self, route: Route) -> None:
        """Count one row."""
        share = self.lanes.get(route.lane)
        if share is None:
            share = self.lanes[route.lane] = Share()
        share.add(1, route.cheapest, route.dearest)
        if route.unpriced:
            self.unpriced.update(route.unpriced)


@dataclass(frozen=True, slots=True)
class Spooled:
    """A checked row, ready to enqueue; its local pictures are absolute paths."""

    line: int
    key: str
    lane: str
    pictures: Mapping[str, str]
    options: Mapping[str, Any]


class Intake:
    """A checked catalog; a context manager, because it holds a temporary file."""

    def __init__(self, name: str, place: str | None = None, accounts: Mapping[str, Account] | None = None) -> None:
        self.name = name
        #: The accounts at whose prices the rows are.
        self._accounts: Mapping[str, Account] = accounts or {}
        #: Where the catalog lies, as `catalog.origin` writes it; None if that is not known.
        self.place = place
        #: The keys of rows that would put a picture onto itself, where nobody has agreed to that.
        self.same: list[str] = []
        self.rows = 0
        self.costs = Costs()
        self._keys = tuple(array("q") for _ in range(KEY_GROUPS))
        self._spool = _new_spool()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._spool.close()

    def add(self, entry: Entry) -> None:
        """Keep one row."""
        ask, place, route = entry.ask, entry.places.get, entry.route
        self._spool.write(_copied((
            str(entry.line), bulk_job_id(self.name, entry.key), entry.key, ask.kind,
            place("source") or ask.source or "", place("target") or ask.target or "", place("image") or ask.image or "",
            ask.prompt or "", _json(entry.options), ask.account or "", ask.provider or "", ask.operation or "",
            route.lane, entry.fingerprint, _json(entry.extra), *route.written, entry.former or "",
        )))  # fmt: skip
        self.rows += 1
        self.costs.add(route)
        if entry.same:
            self.same.append(entry.key)
        hashed = hash(entry.key)
        self._keys[hashed % KEY_GROUPS].append(hashed)

    def chunks(self) -> Iterator[bytes]:
        """The rows in the text format of COPY, from the beginning."""
        self._spool.seek(0)
        while chunk := self._spool.read(CHUNK_BYTES):
            yield chunk

    def prices(self) -> Iterator[Decimal]:
        """What each row costs at its most expensive account, one by one."""
        return (Decimal(row["cost"]) for row in self._read())

    def samples(self) -> Iterator[tuple[str, str, Decimal]]:
        """The picture, the lane and the cost of each row, of which a pilot takes its sample."""
        for row in self._read():
            yield row["target"] or row["image"] or row["source"], row["lane"], Decimal(row["cost"])

    def price_at(self, accounts: Mapping[str, Account]) -> None:
        """Price the rows at what these accounts take, where that is not what they were checked with."""
        if {name: each.prices for name, each in accounts.items()} == {
            name: each.prices for name, each in self._accounts.items()
        }:
            return
        routes: dict[tuple[str, str], Route] = {}
        costs, spool = Costs(), _new_spool()
        for row in self._read():
            kind = row["lane"], row["options"]
            if kind not in routes:
                routes[kind] = priced_route(row["lane"], json.loads(row["options"]), accounts)
            costs.add(routes[kind])
            row["least"], row["cost"] = routes[kind].written
            spool.write(_copied(row.values()))
        self._spool.close()
        self._accounts, self.costs, self._spool = accounts, costs, spool

    def _read(self) -> Iterator[dict[str, str]]:
        self._spool.seek(0)
        for raw in self._spool:
            yield dict(zip(SPOOLED, map(_read_back, raw.decode().rstrip("\n").split("\t")), strict=True))

    def spooled(self) -> Iterator[Spooled]:
        """The rows again, one by one."""
        for row in self._read():
            pictures = {role: uri for role in ROLES if (uri := row[role])}
            yield Spooled(int(row["line"]), row["key"], row["lane"], pictures, json.loads(row["options"]))

    def require_prices(self, options: RunOptions) -> None:
        """Reject a spending limit if any row has no price.

        Raises:
            CatalogError: an operation has no price; the message names it.
        """
        limit = "--max-cost" if options.max_cost is not None else "--redo-cap" if options.redo_cap is not None else None
        if limit is not None and self.costs.unpriced:
            raise CatalogError(
                f"{limit}: there is no price for {', '.join(sorted(self.costs.unpriced))} in the accounts file; "
                "add prices there, because unpriced operations cannot be limited"
            )

    def doubles(self) -> Iterator[Mistake]:
        """A mistake for each row whose key occurs in an earlier row, in the order of the rows."""
        twice = {hashed for group in self._keys for hashed in _repeated(group)}
        if not twice:
            return
        self._spool.seek(0)
        first_lines: dict[str, str] = {}
        for raw in self._spool:
            line, _, written, *_ = raw.decode().split("\t", 3)
            key = _read_back(written)
            if hash(key) in twice:
                first = first_lines.setdefault(key, line)
                if first != line:
                    message = f"{key!r} is already the key of line {first}; give each row its own key"
                    yield Mistake(int(line), "key", message, key)


def take_in(
    catalog: str | Path | Rows,
    accounts: Mapping[str, Account],
    reach: Reach,
    *,
    name: str | None = None,
    options: RunOptions = DEFAULTS,
) -> Intake:
    """Check every row of a catalog.

    Args:
        catalog: a file or an address that `catalog.rows` can read, or rows themselves.
        accounts: the accounts that rows may use.
        reach: how providers can fetch local files.
        name: the batch's name; by default the file's name without its extension.
        options: the run's options: account and provider of rows that name neither, and whether each needs a consent.

    Raises:
        CatalogError: the catalog cannot be read, or has no rows.
        BadRowsError: rows are wrong; it holds the mistakes.
    """
    rows = open_rows(catalog, reach.roots, options) if isinstance(catalog, str | Path) else catalog
    intake = Intake(batch_name(rows.name, name), rows.place, accounts)
    try:
        _check(rows, Checker(accounts, reach, rows.base, options), intake)
    except BaseException:
        intake.__exit__()
        raise
    return intake


def batch_name(default: str, name: str | None) -> str:
    """The name of a catalog's batch, or `default` if none is given.

    Raises:
        CatalogError: the name is not valid.
    """
    found = default if name is None else name.strip()
    if not found or len(found) > MAX_NAME or not found.isprintable():
        raise CatalogError(
            f"--name: {found[:80]!r} is not a valid batch name; use 1 to {MAX_NAME} printable characters"
        )
    return found


def _check(rows: Rows, checker: Checker, intake: Intake) -> None:
    mistakes: list[Mistake] = []
    total = 0

    def note(found: Iterable[Mistake]) -> None:
        nonlocal total
        for mistake in found:
            total += 1
            if len(mistakes) < MAX_MISTAKES:
                mistakes.append(mistake)

    for row in rows:
        if isinstance(row, Row):
            try:
                intake.add(checker.check(row))
            except BadRowError as error:
                note(error.mistakes)
        else:
            note([row])
    note(intake.doubles())
    for column, number in sorted(checker.failed_formulas.items()):
        rows.notes.append(f"{rows.where}: {column}: {counted(number, 'cell')} with a formula that failed, such as #N/A")
    if total:
        raise BadRowsError(rows.where, sorted(mistakes, key=lambda mistake: mistake.line), total)
    if not intake.rows:
        raise CatalogError(f"{rows.where}: has no rows")


def _new_spool() -> IO[bytes]:
    return tempfile.SpooledTemporaryFile(MEMORY_BYTES, buffering=CHUNK_BYTES)


def _repeated(hashes: Sequence[int]) -> Iterator[int]:
    if len(set(hashes)) < len(hashes):
        yield from (hashed for hashed, times in Counter(hashes).items() if times > 1)


def _json(value: Mapping[str, Any]) -> str:
    # Seven times as fast as the standard library, which creates an encoder for each value.
    return to_json(value).decode() if value else "{}"


def _copied(values: Iterable[str]) -> bytes:
    """A row in the text format of COPY, with nothing for NULL: no value is empty, and none has a NUL character."""
    # Replaced over the whole row, and as bytes: value by value, or as text, would take longer than all the checks.
    row = "\x00".join(values).encode()
    row = row.replace(b"\\", b"\\\\").replace(b"\t", b"\\t").replace(b"\n", b"\\n").replace(b"\r", b"\\r")
    return row.replace(b"\x00", b"\t") + b"\n"


def _read_back(written: str) -> str:
    """The value that `_copied` wrote."""
    return _ESCAPE.sub(lambda found: _PLAIN.get(found[1], found[1]), written)


_ESCAPE = re.compile(r"\\(.)")
_PLAIN = {"n": "\n", "r": "\r", "t": "\t"}
