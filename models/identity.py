"""Deterministic ids: of a catalog's job, and of each submission of a job."""

from __future__ import annotations

import hashlib
import uuid

#: Namespace of client references and bulk job ids; changing it would make every retry a new payment.
NAMESPACE = uuid.UUID("6ad3b5f0-6a1e-4f0e-9d0b-7c0f6f1f2a55")
_NAMESPACE = NAMESPACE.bytes


def client_reference(job_id: str, number: int) -> uuid.UUID:
    """The attempt's id: the same job and number always give the same reference, on any machine."""
    return uuid.uuid5(NAMESPACE, f"{job_id}#{number}")


def bulk_job_id(batch: str, key: str) -> str:
    """The id of a catalog's row: the same row of the same catalog is the same job."""
    # `uuid.uuid5` by hand: it makes an object on the way, which a million rows feel.
    digest = hashlib.sha1(_NAMESPACE + f"{batch}/{key}".encode(), usedforsecurity=False).hexdigest()
    variant = "89ab"[int(digest[16], 16) & 3]
    return f"{digest[:8]}-{digest[8:12]}-5{digest[13:16]}-{variant}{digest[17:20]}-{digest[20:32]}"
