"""Deterministic ids: of a catalog's job, and of each submission of a job.

The ids of a batch's jobs begin alike, and so do those of their attempts. Otherwise each job that moves would touch
pages of its own in three indexes, which with millions of finished jobs do not fit into PostgreSQL's memory.
"""

from __future__ import annotations

import hashlib
import uuid
from functools import lru_cache
from typing import Final

#: Namespace of client references and bulk job ids; changing it would make every retry a new payment.
NAMESPACE: Final = uuid.UUID("6ad3b5f0-6a1e-4f0e-9d0b-7c0f6f1f2a55")
SHORT: Final = 13  # characters of an id that lists show: four of the batch, eight random ones, and a hyphen

_NAMESPACE = NAMESPACE.bytes
_LENGTH = len(str(NAMESPACE))
_ALIKE = 4  # hexadecimal digits: 65,536 beginnings
_VERSION_AT = 14  # where an id has the digit of its version
_VERSION = "8"  # of the ids that begin alike, as RFC 9562 has it for ids of one's own making


def client_reference(job_id: str, number: int) -> uuid.UUID:
    """The attempt's id: the same job and number always give the same reference, on any machine.

    It is a uuid5, which begins like the job's id if that begins like those of its batch. Its version stays 5, as
    providers may know no later ones.
    """
    reference = uuid.uuid5(NAMESPACE, f"{job_id}#{number}")
    return uuid.UUID(job_id[:_ALIKE] + str(reference)[_ALIKE:]) if _begins_alike(job_id) else reference


def bulk_job_id(batch: str, key: str) -> str:
    """The id of a catalog's row: the same row of the same catalog is the same job."""
    # By hand: `uuid.UUID` makes an object on the way, which a million rows feel.
    digest = hashlib.sha1(_NAMESPACE + f"{batch}/{key}".encode(), usedforsecurity=False).hexdigest()
    variant = "89ab"[int(digest[16], 16) & 3]
    return (
        f"{_beginning(batch)}{digest[_ALIKE:8]}-{digest[8:12]}-{_VERSION}{digest[13:16]}"
        f"-{variant}{digest[17:20]}-{digest[20:32]}"
    )


@lru_cache(maxsize=64)
def _beginning(batch: str) -> str:
    return hashlib.sha1(_NAMESPACE + batch.encode(), usedforsecurity=False).hexdigest()[:_ALIKE]


def _begins_alike(job_id: str) -> bool:
    """Whether it is one of `bulk_job_id`. Earlier ones have version 5; producers' own need not even be UUIDs."""
    if len(job_id) != _LENGTH or job_id[_VERSION_AT] != _VERSION:
        return False
    try:
        return str(uuid.UUID(job_id)) == job_id
    except ValueError:
        return False
