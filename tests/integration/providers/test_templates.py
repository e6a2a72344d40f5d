"""HiDream's templates: listed by a command, and checked before a job is paid for."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from sandbox import SandboxConfig
from tests.stack import PORTRAITS, ROOT, Stack, running
from tests.unit.catalog.catalogs import write_csv
from tests.words import unsaid
from workers.jobs import request

IMAGE = str(PORTRAITS / "astronaut.png")


def variation(template: int) -> request.JobRequest:
    return request.JobRequest("generate", image=IMAGE, options={"template_id": template, "fit": "crop"})


def recast(stack: Stack, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "cli", *words]
    return subprocess.run(command, cwd=ROOT, env=stack.env, capture_output=True, text=True, check=False)


def test_templates_are_listed_and_an_unknown_one_is_never_paid_for(tmp_path: Path) -> None:
    with running(tmp_path, SandboxConfig(home=tmp_path / "sandbox", pictures="cheap", latency=1.0)) as stack:
        stack.only("sandbox-hidream", "sandbox-piktid")
        listed = json.loads(recast(stack, "accounts", "templates", "sandbox-hidream", "--json").stdout)
        numbers = {item["template_id"] for item in listed}
        assert {20, 40} <= numbers
        assert {item["gender"] for item in listed} == {"man", "woman"}
        assert all(item["picture"].startswith("http") for item in listed)
        other = recast(stack, "accounts", "templates", "sandbox-piktid")
        assert other.returncode == 2
        assert unsaid(other.stderr, "sandbox-piktid", "hidream") == []

        stack.insert([variation(20), variation(4_711)])
        stack.beat()
        stack.worker().wait_ready()

        assert stack.wait_settled() == {"succeeded": 1, "rejected": 1}
        (job,) = stack.sql("SELECT reason, error FROM jobs WHERE state = 'rejected'")
        assert job.reason == "bad_input"
        assert unsaid(job.error, "template_id", 4711, max(numbers), "recast accounts templates sandbox-hidream") == []
        assert len(stack.sandbox.bill()) == 1
        # The list was read once for both, in two pages: one for each gender.
        assert stack.sandbox.stats()["by_operation"]["hidream.templates"]["polls"] <= 4


@pytest.mark.parametrize("fault", ["error5xx", pytest.param("malformed", marks=pytest.mark.long)])
def test_a_list_that_cannot_be_read_stops_no_job(tmp_path: Path, fault: str) -> None:
    with running(tmp_path, SandboxConfig(home=tmp_path / "sandbox", pictures="cheap", latency=1.0)) as stack:
        stack.only("sandbox-hidream")
        stack.sandbox.add_fault(fault, where={"provider": "hidream", "operation": "templates"})
        stack.insert([variation(20)])
        stack.beat()
        stack.worker().wait_ready()
        assert stack.wait_settled() == {"succeeded": 1}


def test_the_plan_of_a_run_names_an_unknown_template_and_nothing_is_asked_for(tmp_path: Path) -> None:
    rows = [
        {"key": str(template), "kind": "generate", "image": IMAGE, "options": json.dumps(variation(template).options)}
        for template in (20, 4_711, 4_712)
    ]
    write_csv(tmp_path / "three.csv", rows)
    with running(tmp_path, SandboxConfig(home=tmp_path / "sandbox", pictures="cheap", latency=1.0)) as stack:
        stack.only("sandbox-hidream")
        planned = recast(stack, "run", str(tmp_path / "three.csv"), "--dry-run", "--json")
        assert planned.returncode == 0, planned.stderr
        refused = json.loads(planned.stdout)["refused"]
        assert [each["key"] for each in refused] == ["4711", "4712"]
        assert unsaid(refused[0]["message"], "template_id", 4711, "recast accounts templates sandbox-hidream") == []
        assert stack.sandbox.bill() == []
