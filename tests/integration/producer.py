"""A producer: a script in a process of its own, in a shop whose own module is called `tasks`."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from celery.app.task import Context

from tests.stack import PORTRAITS, Stack
from workers.engine.runtime import Runtime
from workers.producers.accept import accept
from workers.producers.check import TaskMessage

SHOP = Path(__file__).parent / "shop"
SOURCE, TARGET = str(PORTRAITS / "astronaut.png"), str(PORTRAITS / "grace_hopper.jpg")
PREAMBLE = f"""
import json, sys, uuid
from celery import chain, chord, group
from recast import DirectCallError, InvalidJobError, JobRejectedError, app as recast_app, generate, swap
import tasks
PAIR = dict(source={SOURCE!r}, target={TARGET!r})
def answer(value):
    print(json.dumps(value, default=lambda result: result.__json__()))
"""


def produce(deployment: Stack, body: str) -> Any:
    """Run a producer's script in a process of its own; returns what it answered."""
    script = PREAMBLE + textwrap.dedent(body)
    command = [sys.executable, "-W", "error", "-c", script]
    done = subprocess.run(
        command, cwd=SHOP, env=deployment.env, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def accept_one(runtime: Runtime, task: str, arguments: Mapping[str, Any], request: Context) -> str:
    """The id of the job of one producer's message, or the error that it meets."""
    (outcome,) = accept(runtime, [TaskMessage(task, (), arguments, request)])
    if isinstance(outcome, Exception):
        raise outcome
    return outcome
