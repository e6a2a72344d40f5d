"""Bulk statements' rows: many rows as one array for each column, which is how a statement takes them fastest."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Generic, TypeVar

T = TypeVar("T")

#: PostgreSQL's type of a column, and what a row has in it.
Column = tuple[str, Callable[[T], Any]]


class Bulk(Generic[T]):
    """The columns of rows that one statement takes many of: the only place that names them.

    In the statement, `table` is what to select from, with the alias `w`; `names` are its columns. `of` gives the
    parameters for some rows: an array for each column, called as the column with an ``s`` behind it.

        _PAUSES = Bulk[Pause](id=("text", attrgetter("job_id")), seconds=("float8", attrgetter("seconds")))
        _PAUSE = text(f"UPDATE jobs SET ... FROM {_PAUSES.table} WHERE jobs.id = w.id AND jobs.id = ANY(:ids)")
        session.execute(_PAUSE, _PAUSES.of(pauses))
    """

    def __init__(self, alias: str = "w", /, **columns: Column[T]) -> None:
        self._columns = columns
        self.names = ", ".join(columns)
        arrays = ", ".join(f"cast(:{name}s AS {kind}[])" for name, (kind, _) in columns.items())
        self.table = f"unnest({arrays}) AS {alias}({self.names})"

    def of(self, rows: Iterable[T]) -> dict[str, list[Any]]:
        """The statement's parameters for these rows."""
        every = list(rows)
        return {f"{name}s": [value(row) for row in every] for name, (_, value) in self._columns.items()}
