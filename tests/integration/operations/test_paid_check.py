"""`recast accounts check --paid`: one job, in the books, and an exchange without secrets."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.integration.cli.test_demo import recast
from tests.stack import PORTRAITS
from tests.words import unsaid

SWAP = ("--source", str(PORTRAITS / "astronaut.png"), "--target", str(PORTRAITS / "grace_hopper.jpg"))


@pytest.mark.long
def test_a_paid_check_of_an_account_with_a_login(tmp_path: Path) -> None:
    done = recast(tmp_path, "accounts", "check", "sandbox-piktid", "--paid", "--yes", "--sandbox", *SWAP)

    assert done.returncode == 0, done.stdout + done.stderr
    recording = (tmp_path / "sandbox-piktid-paid-check.json").read_text()
    paths = [exchange["request"]["url"].partition("/piktid")[2] for exchange in json.loads(recording)["exchanges"]]
    assert paths[0] == "/tokens"
    assert "/consistent_identities/generate/v2" in paths
    assert "/consistent_identities/notification/read" in paths
    headers = [exchange["request"]["headers"] for exchange in json.loads(recording)["exchanges"]]
    assert {header["authorization"] for header in headers} == {"[redacted]"}
    login = json.loads(recording)["exchanges"][0]["reply"]["json"]
    assert login["access_token"] == login["refresh_token"] == "[redacted]"
    status = json.loads(recast(tmp_path, "jobs", "--sandbox", "--json").stdout)
    assert [(job["state"], job["account"]) for job in status] == [("succeeded", "sandbox-piktid")]


def test_without_a_yes_nothing_is_paid(tmp_path: Path) -> None:
    done = recast(tmp_path, "accounts", "check", "sandbox-zhiqite", "--paid", "--sandbox", *SWAP)

    assert done.returncode != 0
    assert "0.02 USD" in done.stdout + done.stderr
    assert json.loads(recast(tmp_path, "jobs", "--sandbox", "--json").stdout) == []


def test_a_paid_check_is_about_one_account(tmp_path: Path) -> None:
    done = recast(tmp_path, "accounts", "check", "--paid", "--sandbox")

    assert done.returncode == 2
    assert unsaid(done.stderr, "--paid") == []
