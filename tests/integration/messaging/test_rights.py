"""A broker's user who loses rights under a running worker: each is told once, and with them back the worker goes on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from sandbox import SandboxConfig
from tests.faults.producers import Producers
from tests.integration.producer import SOURCE, TARGET
from tests.stack import Stack, Worker, running, wait_for
from tests.words import unsaid
from workers.heartbeats import file_of

ALL = ("on", ">password-of-app", "~*", "&*", "+@all", "-@dangerous")
#: What a person takes away, and what must be named then.
TAKEN = {
    "a command": (("-brpop",), ("BRPOP", "+brpop")),
    "the wait for jobs": (("-blmove",), ("BLMOVE", "+blmove")),
    "keys": (
        (
            "resetkeys",
            *(f"~{name}*" for name in ("recast", "_kombu", "jobs", "pumps", "files", "beat", "worker", "unacked_")),
        ),
        ("unacked", "~*"),
    ),
}


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    config = SandboxConfig(home=tmp_path / "sandbox", pictures="cheap", latency=0.1)
    with running(tmp_path, config, RECAST_PUBLIC_URL="http://127.0.0.1:9") as made:
        made.only("sandbox-zhiqite")
        yield made


def told(worker: Worker) -> list[str]:
    lines = (line for line in worker.log.read_text().splitlines() if '"broker_does_not_permit"' in line)
    return [json.loads(line)["error"] for line in lines]


def is_told(worker: Worker, facts: tuple[str, ...]) -> bool:
    return any(unsaid(line, *facts) == [] for line in told(worker))


def parts(stack: Stack) -> Any:
    return json.loads(file_of(Path(stack.env["RECAST_HOME"]), "worker@test").read_text())["parts"]


@pytest.mark.long
@pytest.mark.timeout(600)
def test_a_worker_whose_user_loses_rights_tells_each_and_goes_on(stack: Stack) -> None:
    client: Any = stack.redis

    def allow(*less: str) -> None:
        client.execute_command("ACL", "SETUSER", "app", "reset", *ALL, *less)
        # A connection that waits has been asked before.
        client.execute_command("CLIENT", "KILL", "USER", "app")

    allow()
    user = stack.env["RECAST_BROKER_URL"].rpartition("@")[2]
    worker = stack.worker(RECAST_BROKER_URL=f"redis://app:password-of-app@{user}", RECAST_HEARTBEAT_EVERY="1")
    worker.wait_ready()
    producers = Producers(stack)
    try:
        for name, (less, facts) in TAKEN.items():
            allow(*less)
            producers.send("swap", source=SOURCE, target=TARGET, provider="zhiqite")
            wait_for(partial(is_told, worker, facts), message=name)
            assert worker.process is not None
            assert worker.process.poll() is None, name
            allow()
            job = producers.send("swap", source=SOURCE, target=TARGET, provider="zhiqite")
            assert producers.get(job)["state"] == "succeeded", name
        lines = told(worker)
        assert len(lines) == len(set(lines)), "each is told once"
        wait_for(lambda: all(part["ok"] for part in parts(stack).values()), message="the worker is well")
        assert "Traceback" not in worker.log.read_text()
        # As long as one is missing, health says so: here the worker works, and can note nothing.
        allow("-hset")
        producers.send("swap", source=SOURCE, target=TARGET, provider="zhiqite")
        wait_for(lambda: not parts(stack)["consumer"]["ok"], message="the consumer is not well")
    finally:
        producers.close()
