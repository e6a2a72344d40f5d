"""The tasks and queues that the documents name are those there are."""

from __future__ import annotations

import re

from recast.names import JOBS_QUEUE
from tests.stack import ROOT
from workers.messaging.app import QUEUES, ROUTES

_QUEUE = re.compile(r"`(\w+)` \((?:the producers' )?([^)]*)\)")


def test_the_architecture_names_each_queue_with_its_tasks() -> None:
    text = " ".join((ROOT / "ARCHITECTURE.md").read_text().split())
    worker = text[text.index("- **worker** runs all tasks") : text.index("- **beat** sends")]
    told = {queue: set(re.findall(r"`(\w+)`", tasks)) for queue, tasks in _QUEUE.findall(worker)}
    routed = {queue: {task for task, to in ROUTES.items() if to == queue} for queue in QUEUES}
    assert told == routed | {JOBS_QUEUE: {"swap", "generate"}}
