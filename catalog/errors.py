"""What can be wrong with a catalog or with what is asked of a batch.

CatalogError             the catalog cannot be read or used at all
+-- BadRowsError         rows of it cannot be enqueued; nothing was
+-- UnknownBatchError    there is no batch of that name
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

MAX_SHOWN = 100  # mistakes in a message; whoever has more needs a list


@dataclass(frozen=True, slots=True)
class Mistake:
    """What is wrong with one row; `column` is empty where the whole row is meant, `key` where it is not known."""

    line: int
    column: str
    message: str
    key: str = ""

    def __str__(self) -> str:
        return f"line {self.line}: {self.column + ': ' if self.column else ''}{self.message}"


class CatalogError(Exception):
    """The catalog cannot be used; the message says where and what is allowed."""


class BadRowsError(CatalogError):
    """Rows that cannot be enqueued. `total` counts them all, `mistakes` holds the first ones."""

    def __init__(self, file: str, mistakes: Sequence[Mistake], total: int) -> None:
        super().__init__(file, tuple(mistakes), total)
        self.file = file
        self.mistakes = tuple(mistakes)
        self.total = total

    def __str__(self) -> str:
        shown = self.mistakes[:MAX_SHOWN]
        lines = [f"{self.file}:{mistake.line}: {_where(mistake)}{mistake.message}" for mistake in shown]
        if self.total > len(shown):
            lines.append(f"... and {self.total - len(shown):,} more; --errors FILE.csv lists them")
        count = "1 mistake" if self.total == 1 else f"{self.total:,} mistakes"
        return "\n".join([*lines, f"{self.file}: {count}; nothing was enqueued"])


class UnknownBatchError(CatalogError):
    """There is no batch of that name."""

    def __init__(self, name: str, close: Sequence[str] = ()) -> None:
        super().__init__(name, tuple(close))
        self.name = name
        self.close = tuple(close)

    def __str__(self) -> str:
        advice = f"did you mean {' or '.join(map(repr, self.close))}?" if self.close else "`recast status` lists them"
        return f"there is no batch {self.name!r}; {advice}"


class UnknownJobError(CatalogError):
    """A word means no job, or several."""

    def __init__(self, word: str, *, several: bool = False) -> None:
        super().__init__(word, several)
        self.word = word
        self.several = several

    def __str__(self) -> str:
        if self.several:
            return f"{self.word!r} means several jobs; write BATCH/KEY or the whole id (`recast jobs` lists them)"
        return f"there is no job {self.word!r}; `recast jobs` lists them"


def _where(mistake: Mistake) -> str:
    return f"{mistake.column}: " if mistake.column else ""
