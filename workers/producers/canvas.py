"""A task's request as text, kept while its job is open, and rebuilt when the job ends."""

from __future__ import annotations

from typing import Any

from celery.app.task import Context
from celery.canvas import Signature, maybe_signature
from kombu.utils import json

from workers.messaging.app import app

#: What Celery's tracer, backends and canvas read of a request after the body has run. Without `id` a chord hangs,
#: without `delivery_info` a link_error raises.
_KEPT = (
    "id", "args", "kwargs", "callbacks", "errbacks", "chain", "chord", "group", "group_index", "root_id", "parent_id",
    "ignore_result", "stamps", "stamped_headers", "replaced_task_nesting", "expires", "delivery_info", "correlation_id",
    "reply_to", "retries", "timelimit", "origin",
)  # fmt: skip


def keep(request: Context) -> str:
    """The request as JSON text; what it links to has fixed task ids from here on.

    A repeated completion notice runs the links again; with the same ids, a link that is a job of ours is recognized
    and not paid twice.
    """
    kept = {name: getattr(request, name, None) for name in _KEPT}
    for name in ("callbacks", "errbacks", "chain"):
        kept[name] = [_frozen(signature) for signature in kept[name] or ()] or None
    text: str = json.dumps(kept)
    return text


def rebuild(text: str) -> Context:
    """The request that `keep` kept, as the backends want it."""
    kept = json.loads(text)
    kept["chord"] = maybe_signature(kept["chord"], app=app) if kept["chord"] else None
    return Context(kept, called_directly=False)


def _frozen(signature: Any) -> dict[str, Any]:
    found: Signature = maybe_signature(signature, app=app)
    found.freeze()
    return dict(found)
