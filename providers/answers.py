"""Readers of providers' answers, whatever their form.

`read` turns bytes into an `Answer`, and an `Answer` is walked without a single check: a key that is missing, a value of
another type, an answer that was no JSON at all lead to an empty `Answer`, whose getters all give None.

    answer = read(reply.body)
    url = answer["data"]["outputImageUrl"].url

Everything a getter gives is safe to store: finite numbers, and text of bounded length without NUL and lone surrogates,
of which PostgreSQL takes neither.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from providers.protocol import MAX_ANSWER_BYTES

MAX_TEXT_CHARS: Final = 2_000  # of a provider's message for people; a longer one is a page of HTML or a stack trace
MAX_HANDLE_CHARS: Final = 256  # the longest known handle is a UUID; a longer text is not one
MAX_URL_CHARS: Final = 8_192  # signed object storage URLs have about 1,000
MAX_ITEMS: Final = 1_000  # no operation makes more than eight pictures; an inbox holds a few hundred events
MAX_INTEGER: Final = 10**15  # integers up to there survive JSON readers that know only doubles

_INTEGER: Final = re.compile(r"-?[0-9]{1,15}")


@dataclass(frozen=True, slots=True)
class Answer:
    """One value somewhere in a provider's answer, or nothing."""

    value: object = None
    #: Why the whole answer could not be read, in words; empty for one that could.
    problem: str = ""

    def __getitem__(self, key: str | int) -> Answer:
        """The member or item `key`, empty where there is none."""
        value = self.value
        if isinstance(key, str):
            return Answer(value.get(key)) if isinstance(value, dict) else _NOTHING
        if isinstance(value, list) and 0 <= key < min(len(value), MAX_ITEMS):
            return Answer(value[key])
        return _NOTHING

    def __iter__(self) -> Iterator[Answer]:
        """The items of a list, `MAX_ITEMS` at most; nothing for any other value."""
        if isinstance(self.value, list):
            for item in self.value[:MAX_ITEMS]:
                yield Answer(item)

    def first(self, *keys: str) -> Answer:
        """The first of the members `keys` that has a value, for fields that documents spell differently."""
        return next((found for key in keys if (found := self[key]).value not in (None, "")), _NOTHING)

    @property
    def is_object(self) -> bool:
        """Whether this is a JSON object."""
        return isinstance(self.value, dict)

    @property
    def is_list(self) -> bool:
        """Whether this is a JSON list."""
        return isinstance(self.value, list)

    @property
    def text(self) -> str | None:
        """A text for people, cleaned and cut to `MAX_TEXT_CHARS`; None for any other type and for an empty one."""
        if not isinstance(self.value, str):
            return None
        return clean(self.value).strip() or None

    @property
    def code(self) -> str | None:
        """A code that providers write as a number or as a text: ``200`` and ``"200"`` are both ``"200"``."""
        if isinstance(self.value, str):
            return self.value.strip()[:MAX_HANDLE_CHARS] if self.value.isprintable() else None
        number = self.integer
        return None if number is None else str(number)

    @property
    def integer(self) -> int | None:
        """A whole number, also one written as ``1.0`` or ``"1"``; a truth value is none."""
        value = self.value
        if isinstance(value, str) and _INTEGER.fullmatch(value):
            value = int(value)
        if isinstance(value, float) and math.isfinite(value) and value == int(value):
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            return None
        return value if abs(value) < MAX_INTEGER else None

    @property
    def number(self) -> float | None:
        """A finite number; a truth value is none."""
        value = self.value
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        try:
            return float(value) if math.isfinite(value) else None
        except OverflowError:
            return None

    @property
    def flag(self) -> bool | None:
        """A truth value; ``1``, ``"true"`` and the like are none."""
        return self.value if isinstance(self.value, bool) else None

    @property
    def handle(self) -> str | None:
        """A provider's name for something, which we must be able to send back as it came; numbers become text."""
        text = self.code
        return text if text and len(text) < MAX_HANDLE_CHARS and text.isascii() and " " not in text else None

    @property
    def secret(self) -> str | None:
        """A token to be sent back in a header: visible ASCII, of the length that headers may have."""
        value = self.value
        fits = isinstance(value, str) and len(value) <= MAX_URL_CHARS and value.isascii() and value.isprintable()
        return value if isinstance(value, str) and fits and value and " " not in value else None

    @property
    def url(self) -> str | None:
        """An absolute http(s) URL without blanks and control characters."""
        value = self.value
        if not isinstance(value, str) or len(value) > MAX_URL_CHARS:
            return None
        value = value.strip()
        if not value.lower().startswith(("https://", "http://")) or not value.isprintable() or " " in value:
            return None
        return value if "\ufffd" not in value and len(value) > len("https://") else None

    def dump(self) -> bytes:
        """This value as JSON again, to be kept; empty if it is nested too deeply."""
        try:
            return json.dumps(self.value).encode()
        except RecursionError:
            return b""


_NOTHING: Final = Answer()


def read(body: bytes) -> Answer:
    """`body` as JSON; an answer that is none is empty and says why in its `problem`. Never raises.

    A byte that is not UTF-8 is replaced and NaN or Infinity read as null: neither may cost a handle that was paid for
    and is in the same answer.
    """
    if len(body) > MAX_ANSWER_BYTES:
        return Answer(problem=f"the answer has {len(body)} bytes, more than any valid one")
    try:
        value = json.loads(body.decode("utf-8-sig", "replace"), parse_constant=lambda _name: None)
    except RecursionError:
        return Answer(problem="the answer is JSON nested too deeply")
    except ValueError:
        return Answer(problem=f"the answer is not JSON but {_glimpse(body)}")
    if not isinstance(value, dict | list):
        return Answer(problem="the answer is JSON but not an object")
    return Answer(value)


def clean(text: str) -> str:
    """`text` as PostgreSQL and a terminal can take it: no NUL, no control characters, no lone surrogates; cut."""
    sound = text[:MAX_TEXT_CHARS].encode("utf-8", "replace").decode("utf-8")
    return "".join(char if char.isprintable() or char in "\n\t" else "\ufffd" for char in sound)


def facts(**values: str | float | bool | list[bool] | None) -> Mapping[str, object]:
    """A provider's facts about an output, without the missing ones."""
    return {name: value for name, value in values.items() if value is not None}


def _glimpse(body: bytes) -> str:
    """What an unreadable answer looks like, for the message about it."""
    start = body[:512].lstrip().lower()
    if not start:
        return "empty"
    if start.startswith((b"<!doctype html", b"<html", b"<head", b"<body")):
        return "a page of HTML"
    if start.startswith((b"{", b"[")):
        return "truncated or damaged JSON"
    return "something else"
