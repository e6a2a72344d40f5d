"""Deterministic ids: of a catalog's job, and of each submission of a job.

The ids of a batch's jobs begin alike, and so do those of their attempts. Otherwise each job that moves would touch
pages of its own in three indexes, which with millions of finished jobs do not fit into PostgreSQL's memory.
"""

from __future__ import annotations

import hashlib
import re
import uuid
from functools import lru_cache
from typing import Final

#: Namespace of client references and bulk job ids; changing it would make every retry a new payment.
NAMESPACE: Final = uuid.UUID("6ad3b5f0-6a1e-4f0e-9d0b-7c0f6f1f2a55")
SHORT: Final = 13  # characters of an id that lists show: four of the batch, eight random ones, and a hyphen

_NAMESPACE = NAMESPACE.bytes
_ALIKE = 4  # hexadecimal digits: 65,536 beginnings
#: An id of `bulk_job_id`, of version 8 as RFC 9562 has it for ids of one's own making. Earlier ones had version 5, and
#: producers' own need not even be UUIDs.
_BULK = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


def client_reference(job_id: str, number: int) -> uuid.UUID:
    """The attempt's id: the same job and number always give the same reference, on any machine.

    It is a uuid5, which begins like the job's id if that begins like those of its batch. Its version stays 5, as
    providers may know no later ones.
    """
    digest = hashlib.sha1(_NAMESPACE + f"{job_id}#{number}".encode(), usedforsecurity=False).digest()[:16]
    if _BULK.fullmatch(job_id):
        beginning = bytes.fromhex(job_id[:_ALIKE])
        digest = beginning + digest[len(beginning) :]
    return uuid.UUID(bytes=digest, version=5)


def bulk_job_id(batch: str, key: str) -> str:
    """The id of a catalog's row: the same row of the same catalog is the same job."""
    # By hand: `uuid.UUID` makes an object on the way, which a million rows feel.
    digest = hashlib.sha1(_NAMESPACE + f"{batch}/{key}".encode(), usedforsecurity=False).hexdigest()
    variant = "89ab"[int(digest[16], 16) & 3]
    return (
        f"{_beginning(batch)}{digest[_ALIKE:8]}-{digest[8:12]}-8{digest[13:16]}"
        f"-{variant}{digest[17:20]}-{digest[20:32]}"
    )


@lru_cache(maxsize=64)
def _beginning(batch: str) -> str:
    return hashlib.sha1(_NAMESPACE + batch.encode(), usedforsecurity=False).hexdigest()[:_ALIKE]
