"""A callback brings the result within a second, and whatever happens to callbacks, the outcome is the same."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, quantiles
from typing import Any

import pytest
from PIL import Image

from devstack.ports import pick_port
from sandbox import SandboxConfig
from tests import http
from tests.invariants import check_all
from tests.stack import PORTRAITS, ROOT, Stack, crowding, running
from tests.words import unsaid
from workers.jobs import request

ACCOUNT = "sandbox-hidream"


@contextmanager
def deployment(home: Path, **limits: Any) -> Iterator[Stack]:
    """A deployment whose provider calls back, with a web process to be called, and no worker yet."""
    port = pick_port(None)
    config = SandboxConfig(home=home / "sandbox", pictures="cheap", latency=2.0, callback_scale=0.1)
    with running(home, config, RECAST_PUBLIC_URL=f"http://127.0.0.1:{port}") as stack:
        stack.only(ACCOUNT)
        stack.configure(**{ACCOUNT: {"max_in_flight": 500, "deadline": "60s", **limits}})
        stack.web(port)
        yield stack


def variation(folder: Path) -> request.JobRequest:
    """A job on a picture of exactly 3:4."""
    path = folder / "model.jpg"
    with Image.open(PORTRAITS / "grace_hopper.jpg") as portrait:
        portrait.crop((0, 0, 450, 600)).save(path)
    return request.JobRequest("generate", image=str(path), options={"template_id": 3})


@dataclass(frozen=True, slots=True)
class Round:
    """What 300 jobs came to: 95th percentiles of seconds since the provider was done, and polls a job."""

    noticed: float
    stored: float
    polls: float


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_a_result_is_noticed_and_stored_at_once_and_with_hardly_more_than_one_poll(tmp_path: Path) -> None:
    # Other work on a shared machine can only add to a delay: the best of three rounds says what Recast does.
    rounds: list[Round] = []
    while len(rounds) < 3:
        rounds.append(_round(tmp_path / str(len(rounds))))
        assert rounds[-1].polls <= 1.1
        if rounds[-1].noticed <= 0.3 * crowding() and rounds[-1].stored <= 1.0 * crowding():
            return
    pytest.fail(f"too late in each round: {rounds}")


def _round(home: Path) -> Round:
    home.mkdir()
    with deployment(home, poll_every="1s", rate="20/s") as stack:
        stack.insert([variation(home)] * 300)
        stack.worker().wait_ready()
        states = stack.wait_settled(timeout=90)

        assert states == {"succeeded": 300}
        check_all(stack)
        ready = {job["handle"]: job["ready_at"] for job in stack.sandbox.jobs()}
        rows = stack.sql(
            "SELECT a.handle, a.polls, extract(epoch FROM a.finished_at)::float8 AS noticed,"
            " extract(epoch FROM (SELECT max(r.created_at) FROM results r WHERE r.attempt_id = a.id))::float8 AS stored"
            " FROM attempts a"
        )
        noticed, stored = (
            quantiles([getattr(row, what) - ready[row.handle] for row in rows], n=20)[-1]
            for what in ("noticed", "stored")
        )
        return Round(noticed, stored, polls=mean(row.polls for row in rows))


@pytest.fixture(scope="module")
def called(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with deployment(tmp_path_factory.mktemp("called"), poll_every="1s") as stack:
        stack.worker().wait_ready()
        stack.beat()
        yield stack


def test_a_token_nobody_has_is_told_nothing(called: Stack) -> None:
    before = called.sql("SELECT count(*) AS kept FROM callbacks")
    answer = http.post(f"{called.env['RECAST_PUBLIC_URL']}/callbacks/nobody", content=b"{}")

    assert answer.status_code == 404
    assert called.sql("SELECT count(*) AS kept FROM callbacks") == before


@pytest.mark.parametrize("fault", ["callback_late", "callback_dropped", "callback_forged", "callback_duplicated"])
def test_the_outcome_does_not_depend_on_callbacks(called: Stack, fault: str) -> None:
    late: dict[str, Any] = {"seconds": 5.0} if fault == "callback_late" else {}
    called.sandbox.clear_faults()
    called.sandbox.add_fault(fault, **late)
    called.insert([variation(called.home)] * 20, batch=fault)
    states = called.wait_settled(timeout=60)

    assert states.keys() == {"succeeded"}
    assert called.sql("SELECT succeeded FROM batches WHERE name = :name", name=fault)[0].succeeded == 20
    pictures = {job["handle"]: job["pictures"] for job in called.sandbox.bill()}
    stored = called.sql(
        "SELECT a.handle, count(*) AS n FROM attempts a JOIN results r ON r.attempt_id = a.id GROUP BY a.handle"
    )
    assert {row.handle: row.n for row in stored} == pictures
    check_all(called)


@pytest.mark.long
def test_a_held_job_whose_callback_came_says_that_it_was_accepted(tmp_path: Path) -> None:
    """No page of HiDream's says that a callback names the task: what it proves must not be lost on whoever decides."""
    with deployment(tmp_path, poll_every="1s", deadline="10s") as stack:
        stack.sandbox.add_fault("reset", where={"provider": "hidream", "call": "submit"}, times=1, stage="after")
        stack.insert([variation(tmp_path)])
        stack.beat()
        stack.worker().wait_ready()
        assert stack.wait_settled(timeout=60) == {"held": 1}
        (job,) = stack.sql("SELECT id FROM jobs")

        shown, listed = recast(stack, "show", job.id), recast(stack, "resolve", "--json")
        refused = recast(stack, "resolve", job.id, "--not-accepted")

        assert unsaid(shown.stdout, "callback", f"recast resolve {job.id} --accepted") == []
        assert json.loads(listed.stdout)["jobs"][0]["callback_at"]
        assert refused.returncode == 2
        assert unsaid(refused.stderr, "--not-accepted", "--accepted", "--give-up") == []
        assert stack.states() == {"held": 1}
        (line,) = stack.sandbox.jobs()
        assert recast(stack, "resolve", job.id, "--accepted", line["handle"]).returncode == 0
        assert stack.wait_settled() == {"succeeded": 1}
        check_all(stack)


def recast(stack: Stack, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "cli", *words]
    return subprocess.run(command, cwd=ROOT, env=stack.env, capture_output=True, text=True, check=False)
