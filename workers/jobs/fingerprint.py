"""The fingerprint: a digest of everything that decides a picture."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from json.encoder import encode_basestring
from operator import attrgetter
from typing import Any

from models.jobs import ROLES
from workers.jobs.request import JobRequest


def canonical(options: Mapping[str, Any]) -> str:
    """Options in the one way of writing them that fingerprints are made of."""
    return _CANONICAL.encode(options) if options else "{}"


def fingerprint(ask: JobRequest, options: str | None = None) -> str:
    """A digest of everything that decides the picture. Made otherwise, it would have every job paid for again.

    Args:
        ask: the job.
        options: its options in canonical form, where the caller has them.
    """
    # As JSON, written by hand where there are only texts: a catalog asks for a million fingerprints.
    written = ", ".join(["null" if part is None else encode_basestring(part) for part in _PARTS(ask)])
    text_form = f"[{written}, {canonical(ask.options) if options is None else options}]"
    return hashlib.sha256(text_form.encode("utf-8", "surrogatepass")).hexdigest()


_PARTS = attrgetter("kind", *ROLES, "prompt", "account", "provider", "operation")
_CANONICAL = json.JSONEncoder(sort_keys=True, ensure_ascii=False, default=str)
