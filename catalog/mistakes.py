"""The mistakes in a catalog's rows, as a file for programs and spreadsheets."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable
from pathlib import Path

from catalog.cells import cell
from catalog.errors import CatalogError, Mistake
from workers import private
from workers.failures import is_full

COLUMNS = ("line", "key", "column", "message")


def write_mistakes(path: Path, mistakes: Iterable[Mistake]) -> None:
    """Write mistakes to a ``.csv`` or ``.jsonl`` file, one per row; without mistakes, no rows.

    Raises:
        CatalogError: the file has another extension, or cannot be written.
    """
    ending = path.suffix.lower()
    if ending not in {".csv", ".jsonl"}:
        raise CatalogError(
            f"--errors: {path}: cannot write {path.suffix or 'a file without an extension'!r}; use .csv or .jsonl"
        )
    try:
        with private.persons(), path.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
            if ending == ".csv":
                writer = csv.writer(file)
                writer.writerow(COLUMNS)
                writer.writerows([cell(getattr(each, name)) for name in COLUMNS] for each in mistakes)
            else:
                for each in mistakes:
                    file.write(json.dumps({name: getattr(each, name) for name in COLUMNS}, ensure_ascii=False) + "\n")
    except OSError as error:
        if is_full(error):
            raise
        raise CatalogError(f"--errors: {path}: cannot be written: {error.strerror or error}") from None
