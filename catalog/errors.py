"""Errors of catalogs, batches and jobs that a person named.

CatalogError             the catalog cannot be read or used at all
+-- BadRowsError         rows cannot be enqueued; nothing was enqueued
+-- SamePictureError     rows put a picture onto itself; nothing was enqueued
+-- OtherPlaceError      (`catalog.origin`) the batch was made from another place; nothing was enqueued
+-- UnknownBatchError    there is no batch with that name
+-- UnknownJobError      a name matches no job, or several
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from recast.hints import hint, meant
from workers.counted import counted

SHOWN_KEYS = 5  # rows that an error names
MAX_SHOWN = 100  # different mistakes in a message; a longer list belongs in a file
SHOWN_LINES = 5  # further lines that an equal mistake names


@dataclass(frozen=True, slots=True)
class Mistake:
    """One mistake in a row; `column` is empty if it concerns the whole row, `key` if the key is not known."""

    line: int
    column: str
    message: str
    key: str = ""

    def __str__(self) -> str:
        return f"line {self.line}: {self.column + ': ' if self.column else ''}{self.message}"


class CatalogError(Exception):
    """The catalog cannot be used; the message says where and what is allowed."""


class BadRowsError(CatalogError):
    """Rows cannot be enqueued. `total` counts all mistakes, `mistakes` holds the first ones."""

    def __init__(self, file: str, mistakes: Sequence[Mistake], total: int) -> None:
        super().__init__(file, tuple(mistakes), total)
        self.file = file
        self.mistakes = tuple(mistakes)
        self.total = total

    def __str__(self) -> str:
        alike: dict[tuple[str, str], list[int]] = {}
        for mistake in self.mistakes:
            alike.setdefault((mistake.column, mistake.message), []).append(mistake.line)
        shown = list(islice(alike.items(), MAX_SHOWN))
        lines = [
            f"{self.file}:{numbers[0]}: {column + ': ' if column else ''}{message}{_also(numbers[1:])}"
            for (column, message), numbers in shown
        ]
        told = sum(len(numbers) for _, numbers in shown)
        if self.total > told:
            lines.append(f"... and {self.total - told:,} more; add --errors FILE.csv to list them all")
        count = counted(self.total, "mistake")
        return "\n".join([*lines, f"{self.file}: {count}; nothing was enqueued"])


class SamePictureError(CatalogError):
    """Rows to queue have the same picture as source and target, by name or by content; nothing was enqueued."""

    def __init__(self, name: str, keys: Sequence[str]) -> None:
        super().__init__(name, tuple(keys))
        self.name = name
        self.keys = tuple(keys)

    def __str__(self) -> str:
        return (
            f"{self.name}: {self.what}; nothing was enqueued; remove the picture from the targets, or add "
            "--same-picture to pay for it"
        )

    @property
    def what(self) -> str:
        """What is the matter, in words."""
        shown = ", ".join(self.keys[:SHOWN_KEYS])
        more = f" and {len(self.keys) - SHOWN_KEYS:,} more" if len(self.keys) > SHOWN_KEYS else ""
        return f"source and target are the same picture in {shown}{more}"


class UnknownBatchError(CatalogError):
    """There is no batch with that name."""

    def __init__(self, name: str, close: Sequence[str] = ()) -> None:
        super().__init__(name, tuple(close))
        self.name = name
        self.close = tuple(close)

    def __str__(self) -> str:
        advice = meant(self.close) or f"list batches with {hint('status')}"
        return f"there is no batch {self.name!r}; {advice}"


class UnknownJobError(CatalogError):
    """A name matches no job, or several."""

    def __init__(self, word: str, *, several: bool = False) -> None:
        super().__init__(word, several)
        self.word = word
        self.several = several

    def __str__(self) -> str:
        if self.several:
            return f"{self.word!r} matches several jobs; use BATCH/KEY or the whole id (list them with {hint('jobs')})"
        return f"there is no job {self.word!r}; list jobs with {hint('jobs')}"


def _also(lines: Sequence[int]) -> str:
    """The further lines of which the same is said."""
    if not lines:
        return ""
    named = ", ".join(map(str, lines[:SHOWN_LINES]))
    more = f" and {len(lines) - SHOWN_LINES:,} more" if len(lines) > SHOWN_LINES else ""
    return f" (also in line{'' if len(lines) == 1 else 's'} {named}{more})"
