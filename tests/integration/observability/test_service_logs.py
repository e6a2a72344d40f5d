"""What a whole deployment logs while everything goes wrong: every line is JSON, and each trouble is told once."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, get_args

import pytest
from PIL import Image

from devstack.ports import pick_port
from models.states import JobState
from sandbox import SandboxConfig
from sandbox.faults import Kind
from tests import http
from tests.stack import PORTRAITS, ROOT, Stack, running, wait_for
from workers.accounts.intervals import SILENT_LOOKS
from workers.jobs.request import JobRequest

pytestmark = pytest.mark.timeout(600)

FLOWER_AUTH = ("people", "a password for Flower")
#: A job that Zhiqite loses is given up after its deadline of 10 s and eight looks past it, 10 s apart.
SETTLED_SECONDS = 10 + SILENT_LOOKS * 10 + 60.0
#: A fault, and the batch that meets it; each gets a job or more.
FAULTS: Mapping[str, Mapping[str, Any]] = {
    "throttle": {"where": {"call": "submit"}, "times": 1, "retry_after": 1},
    "latency": {"where": {"call": "poll"}, "times": 1, "seconds": 1.0},
    "error5xx": {"where": {"call": "submit"}, "times": 1, "stage": "before"},
    "reset": {"where": {"call": "poll"}, "times": 2},
    "malformed": {"where": {"call": "file"}, "times": 1},
    "expired_url": {"times": 1},
    "fail": {"times": 1},
    "lost": {"times": 1},
    "late": {"times": 1, "seconds": 1.0},
    "withhold": {"times": 1, "pictures": 1},
    "damaged": {"times": 1, "damage": "html"},
    "callback_dropped": {"times": 1},
    "callback_late": {"times": 1, "seconds": 0.5},
    "callback_forged": {"times": 1},
    "callback_duplicated": {"times": 1},
}
#: Those that end a process or stop an account for good, which come last.
LASTING = {"accept_then_hang", "auth", "out_of_credit"}


class Services:
    """The four services of a deployment, as people start them; all of one kind write into one log."""

    def __init__(self, stack: Stack, web: int, flower: int) -> None:
        self.stack, self._processes = stack, list[subprocess.Popen[bytes]]()
        self._words = {
            "worker": ["worker", "--loglevel=debug"],
            "beat": ["beat", "--loglevel=debug"],
            "web": ["web", f"--port={web}", "--loglevel=debug"],
            "flower": ["flower", "--loglevel=info"],
        }
        self.flower = f"http://127.0.0.1:{flower}"

    def start(self, name: str) -> subprocess.Popen[bytes]:
        with self.log(name).open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "cli", *self._words[name]], cwd=ROOT, env=self.stack.env, stdout=log, stderr=log
            )
        self._processes.append(process)
        return process

    def log(self, name: str) -> Path:
        return self.stack.home / f"{name}.jsonl"

    def told(self, name: str, event: str) -> list[dict[str, Any]]:
        """The lines of a service with this event, so far."""
        lines = [json.loads(line) for line in self.log(name).read_text().splitlines() if event in line]
        return [line for line in lines if line["event"] == event]

    def stop(self) -> None:
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            process.wait(60)


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    home = tmp_path_factory.mktemp("logs")
    web, flower = pick_port(None), pick_port(None)
    config = SandboxConfig(home=home / "sandbox", pictures="cheap", latency=0.2, callback_scale=0.1)
    settings = {
        "RECAST_PUBLIC_URL": f"http://127.0.0.1:{web}",
        "RECAST_FLOWER_AUTH": ":".join(FLOWER_AUTH),
        "RECAST_FLOWER_PORT": str(flower),
    }
    with running(home, config, **settings) as stack:
        stack.only("sandbox-zhiqite", "sandbox-hidream", "sandbox-qolaba")
        limits: dict[str, dict[str, Any]] = {
            "sandbox-zhiqite": {"poll_every": "0.5s", "deadline": "10s", "submit_timeout": "3s"},
            "sandbox-hidream": {"poll_every": "0.5s", "deadline": "20s"},
            "sandbox-qolaba": {"budget": {"day": "0.05 USD"}, "on_unknown": "hold"},
        }
        stack.configure(**limits)
        made = Services(stack, web, flower)
        try:
            worker = made.start("worker")
            for name in ("beat", "web", "flower"):
                made.start(name)
            _live(made, worker)
        finally:
            made.stop()
        yield made


def _live(services: Services, worker: subprocess.Popen[bytes]) -> None:
    """Meet every fault, lose the worker by force, and stop everything in good order."""
    stack = services.stack
    pair = JobRequest("swap", source=str(PORTRAITS / "astronaut.png"), target=str(PORTRAITS / "grace_hopper.jpg"))
    swap = JobRequest("swap", source=pair.source, target=pair.target, account="sandbox-zhiqite")
    variation = JobRequest(
        "generate", image=_portrait(stack.home), options={"template_id": 3}, account="sandbox-hidream"
    )
    wait_for(lambda: services.told("worker", "recast@" + _host() + " ready."), timeout=90, message="the worker is up")
    for fault, how in FAULTS.items():
        stack.sandbox.clear_faults()
        stack.sandbox.add_fault(fault, **how)
        stack.insert([variation if fault.startswith("callback") else swap] * 2, batch=fault)
        stack.wait_settled(timeout=SETTLED_SECONDS)
    stack.sandbox.clear_faults()
    # A picture that is none, and an account that runs out of budget.
    broken = stack.home / "broken.jpg"
    broken.write_bytes(b"no picture")
    stack.insert(
        [JobRequest("swap", source=str(broken), target=pair.target, account="sandbox-zhiqite")], batch="broken"
    )
    knight = JobRequest("generate", image=pair.source, prompt="a knight", operation="qolaba.consistency")
    # A submission whose answer is lost, and with it the worker: where nothing can be searched, the job is held.
    stack.sandbox.add_fault("accept_then_hang", times=1)
    stack.insert([knight], batch="lost worker")
    wait_for(lambda: any(job["operation"] for job in stack.sandbox.jobs()), message="a submission is accepted")
    wait_for(lambda: stack.sql("SELECT 1 FROM attempts WHERE state = 'sending'"), timeout=30)
    worker.send_signal(signal.SIGKILL)
    worker.wait(30)
    stack.sandbox.clear_faults()
    services.start("worker")
    wait_for(lambda: stack.states()[JobState.HELD.value], timeout=120, message="a job is held")
    stack.insert([knight] * 3, batch="budget")
    wait_for(lambda: _stopped(services, "budget"), timeout=60, message="the budget is spent")
    stack.sandbox.add_fault("auth", where={"provider": "hidream"})
    stack.insert([variation] * 3, batch="auth")
    wait_for(lambda: _stopped(services, "auth"), timeout=60, message="the credentials are refused")
    stack.sandbox.add_fault("out_of_credit", where={"provider": "zhiqite"})
    stack.insert([swap] * 2, batch="credit")
    wait_for(lambda: _stopped(services, "credit"), timeout=60, message="the credit is spent")
    http.get(services.flower, auth=FLOWER_AUTH, timeout=10, follow_redirects=True)
    http.post(f"{stack.env['RECAST_PUBLIC_URL']}/callbacks/nobody", content=b"{}", timeout=10)


def _stopped(services: Services, reason: str) -> list[dict[str, Any]]:
    return [line for line in services.told("worker", "account_stopped") if line["reason"] == reason]


def _host() -> str:
    import socket  # noqa: PLC0415

    return socket.gethostname()


def _portrait(folder: Path) -> str:
    path = folder / "portrait.jpg"
    with Image.open(PORTRAITS / "grace_hopper.jpg") as image:
        image.crop((0, 0, 450, 600)).save(path)
    return str(path)


def test_a_fault_of_each_kind_is_met() -> None:
    assert {*FAULTS, *LASTING} == set(get_args(Kind))


@pytest.mark.parametrize("name", ["worker", "beat", "web", "flower"])
def test_every_line_is_one_object_with_a_time_a_level_and_an_event(services: Services, name: str) -> None:
    lines = services.log(name).read_text().splitlines()
    assert lines, f"{name} logged nothing"
    for line in lines:
        found = json.loads(line)
        assert datetime.fromisoformat(found["time"]).tzinfo is not None
        assert found["level"] in {"debug", "info", "warning", "error", "critical"}
        assert isinstance(found["event"], str)
        assert found["logger"]


def test_the_lines_tell_a_jobs_way(services: Services) -> None:
    for event in ("claimed", "submitted", "polled", "stored", "woken", "slice_started", "slice_ended", "not_submitted"):
        assert services.told("worker", event), event


def test_each_trouble_is_a_warning_once(services: Services) -> None:
    stops = Counter((line["account"], line["reason"]) for line in services.told("worker", "account_stopped"))
    assert stops["sandbox-qolaba", "budget"] == 1
    assert stops["sandbox-hidream", "auth"] == 1
    held = services.told("worker", "job_held")
    assert len(held) == 1
    assert (held[0]["level"], held[0]["account"]) == ("warning", "sandbox-qolaba")
    for line in services.told("worker", "account_stopped"):
        assert line["level"] == "warning"
        assert (line["until"] is None) is (line["reason"] in {"auth", "credit"})


def test_nothing_went_wrong_that_nobody_knows_of(services: Services) -> None:
    for name in ("worker", "beat", "web", "flower"):
        defects = [
            line for line in map(json.loads, services.log(name).read_text().splitlines()) if line["level"] == "critical"
        ]
        assert defects == [], name
