"""What addresses say by name, such as ``?state=failed``: read, or refused with what is allowed. Every page uses it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import date
from typing import TypeVar

from models.base import LAST_BIGINT

T = TypeVar("T")
E = TypeVar("E", bound=str)

MAX_CHARS = 200  # of a text that is searched for: longer than keys are
SHOWN_CHARS = 40  # of a value that is refused, in the sentence that says so


class QueryError(ValueError):
    """An address asks for what no page can show; the text names the field, the value and what is allowed."""


def said(query: Mapping[str, str], name: str, read: Callable[[str], T | None], allowed: str) -> T | None:
    """What an address says by a name; None where it says nothing, or something empty.

    Args:
        query: the address's parameters.
        name: the parameter.
        read: reads the value; it gives None, or raises ValueError, for what it does not know.
        allowed: what it knows, in words.

    Raises:
        QueryError: the value is not known.
    """
    given = query.get(name)
    if not given:
        return None
    try:
        found = read(given)
    except ValueError:
        found = None
    if found is None:
        raise QueryError(f"{name}: {given[:SHOWN_CHARS]!r} is not known; allowed: {allowed}")
    return found


def one_of(query: Mapping[str, str], name: str, known: Iterable[E]) -> E | None:
    """One of some words, such as those of an enumeration.

    Raises:
        QueryError: it is another one.
    """
    words = list(known)
    return said(query, name, lambda given: next((each for each in words if each == given), None), ", ".join(words))


def words(query: Mapping[str, str], name: str, *, most: int = MAX_CHARS) -> str | None:
    """A text to search for.

    Raises:
        QueryError: it is too long, or the database cannot compare it.
    """
    allowed = f"up to {most} characters, no NUL"
    return said(query, name, lambda given: given if len(given) <= most and "\0" not in given else None, allowed)


def whole(query: Mapping[str, str], name: str, *, least: int = 0, most: int = LAST_BIGINT) -> int | None:
    """A whole number, such as that of a row.

    Raises:
        QueryError: it is none, or not between these.
    """

    def read(given: str) -> int | None:
        known = given.isascii() and given.isdigit() and len(given) <= len(str(most))
        return int(given) if known and least <= int(given) <= most else None

    return said(query, name, read, f"a whole number from {least} to {most}")


def day(query: Mapping[str, str], name: str) -> date | None:
    """A day that has a next one.

    Raises:
        QueryError: it is none.
    """

    def read(given: str) -> date | None:
        found = date.fromisoformat(given)
        return found if found < date.max else None

    return said(query, name, read, "a day such as 2026-11-30")
