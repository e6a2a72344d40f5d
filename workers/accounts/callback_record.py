"""How reliably an operation's callbacks come, so that jobs whose provider calls back need hardly be looked at. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from workers.accounts.kept import is_amount

MEMORY: Final = 30.0  # results that are remembered; older ones fade
ENOUGH: Final = 10.0  # results with a callback before these are relied on
MISSING_SHARE: Final = 0.08  # share of the results remembered without one, from which on callbacks are not relied on


class CallbackRecord:
    """How many of the latest results were told by a callback, and how many a look found before any came."""

    def __init__(self, came: float = 0.0, missed: float = 0.0) -> None:
        self._came, self._missed = came, missed

    @classmethod
    def read(cls, document: Any) -> CallbackRecord:
        """What was kept; nothing where that makes no sense."""
        values = (document.get("came"), document.get("missed")) if isinstance(document, Mapping) else (None, None)
        return cls(*(float(value) if is_amount(value) else 0.0 for value in values))

    def add(self, *, came: bool) -> None:
        """Count a result."""
        if self._came + self._missed >= MEMORY:
            fade = 1 - 1 / MEMORY
            self._came, self._missed = self._came * fade, self._missed * fade
        self._came, self._missed = self._came + came, self._missed + (not came)

    def __bool__(self) -> bool:
        return self._came + self._missed > 0

    @property
    def reliable(self) -> bool:
        """Whether a job may be left alone until its callback comes."""
        return self._came >= ENOUGH and self._missed < MISSING_SHARE * (self._came + self._missed)

    def as_document(self) -> dict[str, float]:
        """What to keep in the account's row."""
        return {"came": round(self._came, 3), "missed": round(self._missed, 3)}
