"""The columns of a catalog and the type of its rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from catalog.cells import is_failed_formula
from catalog.errors import CatalogError
from workers.http.addresses import visible
from workers.jobs.request import is_storable

#: The columns that Recast reads; all others are metadata.
COLUMNS = ("key", "kind", "source", "target", "image", "prompt", "account", "provider", "operation", "options")
REQUIRED = ("key", "kind")
MAX_DIGITS = 300  # of a whole number: a float, which many readers make of it, holds no more than 308
MAX_COLUMNS = 1_000  # of a table; more are none that a person named
SHOWN_COLUMNS = 10  # of a header, in a message


@dataclass(slots=True)  # not frozen, as there are millions: making one would take five times as long
class Row:
    """One row's values by column: text from CSV, any JSON value from other formats."""

    #: The line of the file that the row begins on; in a table without lines, its number from 1.
    line: int
    values: Mapping[str, Any]
    #: Of pictures that were searched for: their names by role without the folder, so that a move of the folder changes
    #: nothing; empty where they do not lie on this machine. None for a row that a person wrote.
    named: Mapping[str, str] | None = None


def miswritten_column(names: Iterable[str]) -> str | None:
    """The first of `names` that differs from one of our columns only in upper and lower case."""
    return next((name for name in names if name not in COLUMNS and name.lower() in COLUMNS), None)


def check_columns(where: str, header: list[str]) -> None:
    """Check a table's columns.

    Raises:
        CatalogError: there are too many, or a column has no name, is misspelled, occurs twice or is missing.
    """
    if len(header) > MAX_COLUMNS:
        raise CatalogError(f"{where}: has {len(header):,} columns; allowed: {MAX_COLUMNS:,}")
    for position, name in enumerate(header, start=1):
        if not name:
            raise CatalogError(f"{where}: column {position} has no name; name each column in the header")
        if is_failed_formula(name) or not is_storable(name):
            raise CatalogError(f"{where}: column {position} cannot be called {visible(name)}; name it in the header")
    if miswritten := miswritten_column(header):
        raise CatalogError(f"{where}: column {miswritten!r} is not valid; write {miswritten.lower()!r}")
    if doubled := sorted(name for name, times in Counter(header).items() if times > 1):
        raise CatalogError(f"{where}: the header has these columns more than once: {', '.join(doubled)}")
    if missing := [name for name in REQUIRED if name not in header]:
        raise CatalogError(
            f"{where}: these columns are missing in the header: {', '.join(missing)}; it has {_shown(header)}; "
            f"allowed: {', '.join(COLUMNS)}, and any others as metadata"
        )


def _shown(names: list[str]) -> str:
    """Columns as a message shows them."""
    shown = ", ".join(visible(name) for name in names[:SHOWN_COLUMNS])
    return f"{shown} and {len(names) - SHOWN_COLUMNS:,} more" if len(names) > SHOWN_COLUMNS else shown or "none"
