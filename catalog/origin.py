"""The place that a batch was made from: two folders, or two catalogs, of one name are not one batch.

A batch is found again by its name, and the name is often only that of a folder or file. So it remembers the place, and
a run from another place has to say that it is meant (`RunOptions.moved`).
"""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlsplit

from sqlalchemy import text
from sqlalchemy.orm import Session

from catalog.errors import CatalogError
from models.states import JobState

# Parameters of signed addresses; they change with every signature, and some are secrets.
_PASSING = re.compile(r"x-(amz|goog|ms|oss)-|sig|token|expires|policy|key|credential|auth|^s[eptvr]+$", re.IGNORECASE)

# A batch without jobs has nothing that could be replaced.
_PLACE = text(f"""
    SELECT id, place FROM batches
    WHERE name = :name AND place IS NOT NULL AND place <> :place AND {" + ".join(JobState)} > 0
""")


_ARCHIVED = text("SELECT name FROM batches WHERE id = :id AND archived_at IS NOT NULL")


@dataclass(frozen=True, slots=True)
class Places:
    """Where a batch was made from, and where this run is made from."""

    batch_id: int
    before: str
    now: str


class OtherPlaceError(CatalogError):
    """The batch was made from another place; nothing was enqueued."""

    def __init__(self, name: str, places: Places) -> None:
        super().__init__(name, places)
        self.name = name
        self.places = places

    def __str__(self) -> str:
        return (
            f"batch {self.name!r} was made from {self.places.before}, and this is {self.places.now}; nothing was "
            "enqueued; to keep them apart, give this one a --name of its own; if it is to go on as the same batch, "
            "add --moved"
        )


def normalized(place: str) -> str:
    """One way to write a path or an address: absolute; without user, password, fragment and signature.

    Of other query parameters, which may say which catalog is meant, only a digest is kept.
    """
    if "://" not in place:
        return os.path.abspath(place)  # noqa: PTH100 - must not follow links, which may change
    parts = urlsplit(place)
    if parts.scheme == "file":
        return os.path.abspath(parts.path)  # noqa: PTH100
    host = parts.netloc.rpartition("@")[2]
    address = f"{parts.scheme}://{host if parts.scheme == 's3' else host.lower()}{parts.path.rstrip('/')}"
    lasting = sorted(pair for pair in parse_qsl(parts.query, keep_blank_values=True) if not _PASSING.search(pair[0]))
    return f"{address}?{hashlib.sha256(repr(lasting).encode()).hexdigest()[:12]}" if lasting else address


def elsewhere(session: Session, name: str, place: str | None) -> Places | None:
    """The two places, where the batch called `name` was made from another one than `place`; None otherwise."""
    if place is None:
        return None
    found = session.execute(_PLACE, {"name": name, "place": place}).first()
    return None if found is None else Places(found.id, found.place, place)


def refuse_archived(session: Session, batch_id: int | None) -> None:
    """Refuse rows for a batch whose jobs were archived: it could not be seen which of them are paid for.

    Raises:
        CatalogError: it is such a batch.
    """
    name = session.execute(_ARCHIVED, {"id": batch_id}).scalar_one_or_none()
    if name is not None:
        raise CatalogError(
            f"batch {name!r} is archived, so Recast cannot tell which of these rows are paid for already; nothing was "
            "enqueued; to make them again, and pay again, give this run a --name of its own"
        )
