"""Copies of signed results whose credentials also say what people decided, made when they are handed out.

A stored file never changes, and a verdict may, so none of them is stored: the next copy says what counts then. Results
without credentials of ours are handed out as they are stored, and so are those about which nobody has decided.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import astuple, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from models.fragments import reviewed
from models.results import Provenance
from workers.images.storage import Storage
from workers.images.verifier import Reviewed, judged

if TYPE_CHECKING:
    from workers.images.signing import Signer

_HANDED_OUT = text(f"""
    SELECT r.key, r.index, r.sha256, r.media_type, r.provenance, r.source_type, {reviewed("r.id")} AS reviewed,
        coalesce(j.key, j.id) AS name
    FROM results r JOIN jobs j ON j.id = r.job_id WHERE r.id = :id
""")


@dataclass(frozen=True, slots=True)
class ReviewedCopy:
    """A copy that is to be made."""

    key: str
    media_type: str
    source_type: str
    said: Reviewed

    @property
    def digest(self) -> str:
        """What distinguishes it from copies that say something else; two of one verdict differ in their bytes."""
        return hashlib.sha256("\n".join(map(str, astuple(self.said))).encode()).hexdigest()

    def made(self, storage: Storage, signer: Signer) -> bytes:
        """Its bytes.

        Raises:
            StorageError: the stored file cannot be read.
            SigningError: it cannot be signed now.
        """
        return signer.reviewed(storage.get(self.key), self.media_type, self.source_type, self.said)

    def is_in(self, data: bytes) -> bool:
        """Whether a file already is such a copy, whole and unchanged."""
        found = judged(data, self.media_type)
        return found is not None and found.valid and found.reviewed == self.said


def copy_of(result: Mapping[str, Any]) -> ReviewedCopy | None:
    """The copy of a result that says what people decided; None where it is handed out as it is stored.

    Args:
        result: columns of `results`, and `reviewed`.
    """
    said = result["reviewed"]
    if said is None or result["provenance"] != Provenance.SIGNED:
        return None
    at = datetime.fromisoformat(said["at"]).astimezone(UTC).isoformat(timespec="seconds")
    stated = Reviewed(result["sha256"], said["verdict"], at, said["role"])
    return ReviewedCopy(result["key"], result["media_type"], result["source_type"], stated)


def handed_out(session: Session, result_id: int) -> Mapping[str, Any] | None:
    """A result as `copy_of` reads it, and the `name` of its job; None where there is none."""
    row = session.execute(_HANDED_OUT, {"id": result_id}).mappings().first()
    return None if row is None else dict(row)
