"""A broker whose own settings lose messages is told by doctor and a worker's start; so is one that may not be asked."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.engine import make_url

from sandbox import SandboxConfig
from tests.stack import ROOT, Stack, running
from tests.words import unsaid


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    with running(tmp_path, SandboxConfig(home=tmp_path / "sandbox", pictures="cheap")) as made:
        made.only("sandbox-zhiqite")
        yield made


def doctor(stack: Stack, **env: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "cli", "doctor", "--json"]
    done = subprocess.run(
        command, cwd=ROOT, env={**stack.env, **env}, capture_output=True, text=True, timeout=300, check=False
    )
    return {item["name"]: item for item in json.loads(done.stdout)["findings"]}


def test_what_loses_messages_is_told_by_doctor_and_by_a_starting_worker(stack: Stack) -> None:
    assert doctor(stack)["broker memory"]["state"] == "ok"
    stack.redis.config_set("maxmemory-policy", "allkeys-lru")
    found = doctor(stack)["broker memory"]
    assert found["state"] == "bad"
    assert unsaid(found["message"] + found["advice"], "allkeys-lru", "noeviction") == []
    worker = stack.worker()
    worker.wait_ready()
    assert unsaid(worker.log.read_text(), "broker_policy", "allkeys-lru") == []


def test_a_user_who_may_not_ask_is_told_so_and_works(stack: Stack) -> None:
    stack.redis.execute_command(  # type: ignore[no-untyped-call]
        "ACL", "SETUSER", "shy", "on", ">a-password-of-the-tests", "~*", "&*", "+@all", "-info", "-config"
    )
    url = make_url(stack.env["RECAST_BROKER_URL"]).set(username="shy", password="a-password-of-the-tests")
    found = doctor(stack, RECAST_BROKER_URL=url.render_as_string(hide_password=False))
    assert found["broker"]["state"] == "ok"
    for name in ("broker memory", "broker persistence"):
        assert (found[name]["state"], unsaid(found[name]["message"], "INFO", "CONFIG")) == ("warn", [])
