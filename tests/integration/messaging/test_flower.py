"""Flower, a real process, shows each job under its own id as any task."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy.orm import Session

from devstack.ports import pick_port
from models.states import Closure
from tests.integration.producer import produce
from tests.stack import PORTRAITS, ROOT, Stack, wait_for
from tests.words import unsaid
from workers.accounts import admission
from workers.jobs.request import JobRequest
from workers.messaging.task_events import GATHER_SECONDS

AUTH = "flower:secret"


@pytest.fixture(scope="module")
def flower(deployment: Stack) -> Iterator[str]:
    port = pick_port(None)
    log = deployment.home / "flower.log"
    command = [
        sys.executable, "-m", "celery", "-A", "tasks.main", "flower", "--address=127.0.0.1", f"--port={port}",
        f"--basic-auth={AUTH}",
    ]  # fmt: skip
    with log.open("wb") as file:
        process = subprocess.Popen(command, cwd=ROOT, env=deployment.env, stdout=file, stderr=subprocess.STDOUT)
    try:
        url = f"http://127.0.0.1:{port}"
        # Flower must have heard from the worker before it can follow its tasks.
        known = "/api/workers?refresh=1"
        wait_for(lambda: "worker@test" in (ask(url, known) or {}), message=f"flower is up; see {log}")
        yield url
    finally:
        process.terminate()
        process.wait(30)


def ask(url: str, path: str) -> Any:
    request = urllib.request.Request(url + path)  # noqa: S310 - loopback
    request.add_header("Authorization", "Basic " + base64.b64encode(AUTH.encode()).decode())
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
            return json.load(answer)
    except OSError:
        return None


def sweep(deployment: Stack) -> None:
    """Have pumps woken for rows that the test wrote itself."""
    command = [sys.executable, "-m", "celery", "-A", "tasks.main", "call", "sweep"]
    subprocess.run(command, cwd=ROOT, env=deployment.env, check=True, capture_output=True, timeout=240)


def test_a_job_that_succeeds(deployment: Stack, flower: str) -> None:
    got = produce(
        deployment,
        """
        made = swap.delay(**PAIR, provider="zhiqite")
        made.get(timeout=240)
        answer(made.id)
        """,
    )

    told = ask(flower, f"/api/task/result/{got}")
    assert (told["state"], told["result"]["job"]) == ("SUCCESS", got)
    task = wait_for(lambda: _ended(flower, got), message="flower shows the end")
    assert task["state"] == "SUCCESS"
    assert task["name"] == "swap"
    assert "astronaut.png" in task["kwargs"]
    true = deployment.sql(
        "SELECT extract(epoch FROM finished_at - created_at)::float8 AS seconds FROM jobs WHERE id = :id", id=got
    )[0].seconds
    assert task["runtime"] == pytest.approx(true, abs=0.01)
    assert task["runtime"] > 0.3  # the sandbox's latency: not the milliseconds that the task's body took


def test_a_job_that_waits_for_its_account(deployment: Stack, flower: str) -> None:
    """Given a stopped account, when a job comes for it, then it is shown, and as started once it is sent."""
    with Session(deployment.engine) as session, session.begin():
        admission.stop(session, "sandbox-zhiqite", Closure.PAUSED)
    got = produce(deployment, "answer(swap.delay(**PAIR, account='sandbox-zhiqite').id)")
    wait_for(lambda: ask(flower, f"/api/task/info/{got}"), message="flower shows that it waits")
    wait_for(lambda: deployment.sql("SELECT FROM jobs WHERE id = :id", id=got), message="the job is accepted")
    time.sleep(2 * GATHER_SECONDS)
    waiting = ask(flower, f"/api/task/info/{got}")
    assert (waiting["state"], waiting["started"]) == ("RECEIVED", None)

    with Session(deployment.engine) as session, session.begin():
        admission.resume(session, "sandbox-zhiqite")
    sweep(deployment)

    task = wait_for(lambda: _ended(flower, got), message="flower shows the end")
    assert task["state"] == "SUCCESS"
    (true,) = deployment.sql(
        "SELECT extract(epoch FROM started_at)::float8 AS started FROM jobs WHERE id = :id", id=got
    )
    assert task["started"] == pytest.approx(true.started, abs=0.05), "when it was sent"


def test_a_job_that_fails(deployment: Stack, flower: str) -> None:
    deployment.sandbox.add_fault("fail", where={"provider": "zhiqite", "call": "submit"}, error="no_face", times=1)
    got = produce(
        deployment,
        """
        made = swap.delay(**PAIR, provider="zhiqite")
        made.get(timeout=240, propagate=False)
        answer(made.id)
        """,
    )

    task = wait_for(lambda: _ended(flower, got), message="flower shows the end")
    assert task["state"] == "FAILURE"
    assert "no_face" in task["exception"]


def _ended(url: str, task_id: str) -> Any:
    task = ask(url, f"/api/task/info/{task_id}")
    return task if task and task["state"] in {"SUCCESS", "FAILURE"} else None


def test_it_is_closed_without_the_password(flower: str) -> None:
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(flower + "/api/tasks", timeout=60)  # noqa: S310 - loopback
    assert caught.value.code == 401
    caught.value.close()


def test_upkeep_does_not_push_out_the_jobs(deployment: Stack, flower: str) -> None:
    """Given a beat that sends upkeep, when a job has ended after it, then Flower knows the job and no upkeep."""
    beat, log = deployment.beat(), deployment.home / "beat.log"
    try:
        wait_for(lambda: all(name in log.read_text() for name in ("sweep", "tick")), message="the beat sends both")
        got = produce(
            deployment,
            """
            made = swap.delay(**PAIR, provider="zhiqite")
            made.get(timeout=240)
            answer(made.id)
            """,
        )
        wait_for(lambda: _ended(flower, got), message="flower shows the end")
        assert {"sweep", "tick"}.isdisjoint(task["name"] for task in (ask(flower, "/api/tasks") or {}).values())
    finally:
        beat.terminate()
        beat.wait(30)


def test_jobs_of_a_catalog(deployment: Stack, flower: str) -> None:
    swap = JobRequest("swap", source=str(PORTRAITS / "astronaut.png"), target=str(PORTRAITS / "grace_hopper.jpg"))
    deployment.insert([swap, replace(swap, target=str(deployment.home / "missing.jpg"))], batch="flowers")
    sweep(deployment)

    good = wait_for(lambda: _ended(flower, "flowers-0"), message="flower shows the end")
    bad = wait_for(lambda: _ended(flower, "flowers-1"), message="flower shows the end")

    assert (good["state"], good["name"]) == ("SUCCESS", "swap")
    assert "'batch': 'flowers', 'key': '0'" in good["kwargs"]
    assert unsaid(good["result"], "zhiqite.swap", "sandbox-zhiqite") == []
    assert good["runtime"] > 0.2
    times = [good["received"], good["started"], good["succeeded"]]
    true = deployment.sql(
        "SELECT extract(epoch FROM created_at)::float8, extract(epoch FROM started_at)::float8,"
        " extract(epoch FROM finished_at)::float8 FROM jobs WHERE key = '0'"
    )[0]
    assert times == pytest.approx(list(true), abs=0.01), "as it happened, although all was told at the end"
    assert bad["state"] == "FAILURE"
    assert bad["started"] is None, "nothing was sent"
    assert "missing.jpg" in bad["exception"]
