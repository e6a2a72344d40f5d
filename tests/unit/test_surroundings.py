"""What the machine that runs the tests has must decide nothing: its settings, and the Python that it has."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from tests.stack import ROOT
from workers.config.settings import Settings

#: Of each kind of test that reads settings: commands, their errors, a process of its own, and the settings themselves.
SENSITIVE = (
    "tests/unit/cli/test_exit_codes.py::test_a_missing_column",
    "tests/unit/cli/test_exit_codes.py::test_a_wrong_setting",
    "tests/unit/cli/test_exit_codes.py::test_no_accounts_file",
    "tests/unit/recast/test_settings.py",
    "tests/unit/workers/config/test_settings.py",
)


@pytest.mark.heavy
@pytest.mark.parametrize("value", [pytest.param("nonsense", marks=pytest.mark.long), "tcp://10.0.0.7:8765"])
def test_no_setting_of_the_machine_reaches_the_tests(value: str) -> None:
    names = (*(f"RECAST_{name.upper()}" for name in Settings.model_fields), "CELERY_BROKER_URL", "FLOWER_PORT")
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *SENSITIVE]
    env = {**os.environ, **dict.fromkeys(names, value)}
    ran = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout[-2000:] + ran.stderr[-2000:]


def test_compose_says_which_version_it_needs() -> None:
    said = {
        re.search(r"Compose (2\.\d+)", (ROOT / name).read_text().replace("\n", " "))
        for name in ("docker-compose.yml", "docs/operations.md")
    }
    assert {found.group(1) for found in said if found} == {"2.24"}
