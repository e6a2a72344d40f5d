"""Two deployments on one broker: the second is refused at its start, and a restored or moved one goes on."""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url

import migrations
from models.connection import make_engine
from sandbox import SandboxConfig
from tests.stack import ROOT, Stack, running, wait_for
from tests.words import unsaid
from workers.messaging.claim import KEY


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    home = tmp_path_factory.mktemp("shared")
    with running(home, SandboxConfig(home=home / "sandbox", pictures="cheap")) as made:
        made.only("sandbox-zhiqite")
        yield made


@pytest.fixture(scope="module")
def second(stack: Stack) -> Mapping[str, str]:
    """The environment of another deployment, with a database of its own, and the broker of the first one."""
    name = f"other_{uuid.uuid4().hex[:8]}"
    with stack.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    url = make_url(stack.env["RECAST_DATABASE_URL"]).set(database=name).render_as_string(hide_password=False)
    engine = make_engine(url)
    migrations.upgrade(engine)
    engine.dispose()
    return {**stack.env, "RECAST_DATABASE_URL": url, "RECAST_HOME": str(stack.home / "second")}


def recast(env: Mapping[str, str], *words: str, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "cli", *words]
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=300, check=False)


@pytest.mark.timeout(900)
def test_the_second_deployment_is_refused_and_may_take_over(stack: Stack, second: Mapping[str, str]) -> None:
    first = stack.worker()
    first.wait_ready()
    claimed = stack.redis.get(KEY)
    assert isinstance(claimed, bytes)

    for words in (("worker", "--name", "second"), ("beat",)):
        refused = recast(second, *words)
        assert refused.returncode == 2, refused.stderr
        assert unsaid(refused.stderr, "RECAST_BROKER_URL", claimed.decode(), "recast db take-broker") == []
        assert "Traceback" not in refused.stderr
    found = json.loads(recast(second, "doctor", "--json").stdout)["findings"]
    assert {item["state"] for item in found if item["name"] == "deployment"} == {"bad"}

    # A flushed broker is claimed again by the worker that runs.
    stack.redis.flushdb()
    wait_for(lambda: stack.redis.get(KEY) == claimed, message="the broker is claimed again")

    # The first one is gone for good.
    first.kill()
    assert recast(second, "db", "take-broker").returncode == 0
    assert stack.redis.get(KEY) not in {None, claimed}
    refused = recast(stack.env, "worker", "--name", "first")
    assert refused.returncode == 2


@pytest.mark.timeout(900)
def test_a_worker_that_notices_it_later_ends(stack: Stack) -> None:
    stack.redis.delete(KEY)
    worker = stack.worker("late")
    worker.wait_ready()
    stack.redis.set(KEY, str(uuid.uuid4()))
    assert worker.process is not None
    assert worker.process.wait(120) == 2
