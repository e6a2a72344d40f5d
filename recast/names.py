"""Names in messages: the producers' tasks, the arguments of each in order, and the queue of both.

Messages with them wait in brokers, so no name may change its meaning.
"""

from __future__ import annotations

from collections.abc import Mapping

SWAP = "swap"
GENERATE = "generate"
JOBS_QUEUE = "jobs"
#: The task that calls a new-style errback in a producer's worker.
ERRBACK = "recast.errback"

_OPTIONS = ("account", "provider", "operation", "options", "priority", "dedupe_key", "consent")

#: The arguments of each task, in the order of positional arguments.
ARGUMENTS: Mapping[str, tuple[str, ...]] = {
    SWAP: ("source", "target", "prompt", *_OPTIONS),
    GENERATE: ("image", "prompt", *_OPTIONS),
}
#: The required arguments of each task.
REQUIRED: Mapping[str, frozenset[str]] = {SWAP: frozenset({"source", "target"}), GENERATE: frozenset({"image"})}
