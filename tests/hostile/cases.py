"""What a case of hostile input is: data, from which both the tests and the table in the docs are made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Fate(StrEnum):
    """What becomes of hostile input. Whatever it is, nothing beside it is harmed."""

    REFUSED = "refused"  # with a message that says why
    SURVIVED = "survived"  # taken for what it is, and harmless


@dataclass(frozen=True)
class Case:
    """One piece of hostile input."""

    name: str
    fate: Fate
    #: Makes the input; what it takes and gives is its area's business.
    make: Callable[..., Any]
    #: What the message that refuses it must name, with commas between; or what is made of it.
    says: str = ""

    @property
    def facts(self) -> list[str]:
        """What the message that refuses it must name, whatever its words."""
        return self.says.split(", ") if self.says else []


@dataclass(frozen=True)
class Area:
    """Cases that come in by the same door."""

    title: str
    #: How they are put to the test, for the docs.
    door: str
    cases: Sequence[Case]


def refused(name: str, make: Any, says: str) -> Case:
    """Input that must be refused with a message that names what `says` lists; `make` is the input, or makes it."""
    return Case(name, Fate.REFUSED, make if callable(make) else lambda: make, says)


def survived(name: str, make: Any, says: str = "") -> Case:
    """Input that must be taken without harm."""
    return Case(name, Fate.SURVIVED, make if callable(make) else lambda: make, says)
