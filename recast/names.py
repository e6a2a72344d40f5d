"""Names on the wire: producers' tasks, the arguments of each in order, and the queue they go to.

Messages with these names wait in brokers, so none of them changes its meaning.
"""

from __future__ import annotations

from collections.abc import Mapping

SWAP = "swap"
GENERATE = "generate"
JOBS_QUEUE = "jobs"

_OPTIONS = ("account", "provider", "operation", "options", "priority", "dedupe_key", "consent")

#: The arguments of each task, in the order in which they may be given by position.
ARGUMENTS: Mapping[str, tuple[str, ...]] = {
    SWAP: ("source", "target", "prompt", *_OPTIONS),
    GENERATE: ("image", "prompt", *_OPTIONS),
}
#: Those that no job can do without.
REQUIRED: Mapping[str, frozenset[str]] = {SWAP: frozenset({"source", "target"}), GENERATE: frozenset({"image"})}
