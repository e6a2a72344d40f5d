"""The columns of a catalog, and one row of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from catalog.errors import CatalogError

#: The columns that mean something; all others are metadata.
COLUMNS = ("key", "kind", "source", "target", "image", "prompt", "account", "provider", "operation", "options")


REQUIRED = ("key", "kind")


@dataclass(slots=True)  # not frozen, as there are millions: making one would take five times as long
class Row:
    """What one row says, by column. Values of CSV are text, those of other formats anything JSON has."""

    #: The line of the file it begins on; in a table that has no lines, its number from 1.
    line: int
    values: Mapping[str, Any]


def miswritten_column(names: Iterable[str]) -> str | None:
    """The first of `names` that is one of our columns in other letters."""
    return next((name for name in names if name not in COLUMNS and name.lower() in COLUMNS), None)


def check_columns(where: str, header: list[str]) -> None:
    """Let a table's columns pass.

    Raises:
        CatalogError: one has no name, is written wrongly, stands twice or is missing.
    """
    for position, name in enumerate(header, start=1):
        if not name:
            raise CatalogError(f"{where}: column {position} has no name")
    if miswritten := miswritten_column(header):
        raise CatalogError(f"{where}: column {miswritten!r}: write it {miswritten.lower()!r}")
    if doubled := sorted({name for name in header if header.count(name) > 1}):
        raise CatalogError(f"{where}: twice in the header: {', '.join(doubled)}")
    if missing := [name for name in REQUIRED if name not in header]:
        raise CatalogError(
            f"{where}: missing in the header: {', '.join(missing)}; the columns are {', '.join(COLUMNS)}, "
            "and any others for metadata"
        )
