"""The request of a job, before any check, and the limits of each part."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from models.jobs import ROLES

KINDS: Mapping[str, tuple[str, ...]] = {"swap": ("source", "target"), "generate": ("image",)}
CONSENT = "consent"  # the column for the reference of a model's release
MAX_PROMPT = 10_000  # characters; no provider takes more, and a pasted file is a mistake
MAX_CONSENT = 500  # characters
MAX_URI = 4096  # characters: as long as a path may be, and longer than URLs that servers take
MIN_PRIORITY, MAX_PRIORITY = -100, 100
MAX_KEY = 500  # characters, of a catalog's key and of a `dedupe_key`

_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(slots=True)  # not frozen, as catalogs have millions: making one would take five times as long
class JobRequest:
    """A requested job, before any check."""

    kind: str
    source: str | None = None
    target: str | None = None
    image: str | None = None
    prompt: str | None = None
    account: str | None = None
    provider: str | None = None
    operation: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    #: The reference of the release that the person shown has signed. It decides nothing of the picture.
    consent: str | None = None

    def pictures(self) -> dict[str, str]:
        """The input pictures by role."""
        return {role: uri for role in ROLES if (uri := getattr(self, role))}


def is_storable(value: Any) -> bool:
    """Whether PostgreSQL takes the text, or everything in the document: no NUL, no half of a surrogate pair, no NaN."""
    if isinstance(value, str):
        return "\x00" not in value and (value.isascii() or _SURROGATE.search(value) is None)
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, Mapping):
        return all(is_storable(name) and is_storable(item) for name, item in value.items())
    if isinstance(value, list | tuple):
        return all(map(is_storable, value))
    return True
