"""The sessions of the README and of the tutorial, typed as they stand there."""

from __future__ import annotations

import csv
import doctest
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from tests.integration.cli.desk import SECONDS, read_until
from tests.stack import ROOT

#: A command that runs until it is stopped, and the last thing that it says when it is ready.
SERVES, READY = "recast up", "producers connect"


def steps(page: str) -> list[tuple[str, str]]:
    """Each command of a page's sessions with the output that it shows, where `...` stands for any text."""
    sessions = re.findall(r"```console\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)
    commands = [text for session in sessions for text in re.split(r"^\$ ", session, flags=re.MULTILINE)[1:]]
    return [(command, output) for command, _, output in (text.partition("\n") for text in commands)]


class Shell:
    """A folder of a newcomer with the examples in it, where commands are typed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        shutil.copytree(ROOT / "examples", folder / "examples")
        env = {name: value for name, value in os.environ.items() if not name.startswith("RECAST_")}
        self._env = env | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{env['PATH']}"}
        self._serving: list[subprocess.Popen[str]] = []

    def type(self, command: str) -> str:
        """What a command says on standard output; one that serves is left running."""
        typed = ["bash", "-c", command]
        if command.startswith(SERVES):
            serving = subprocess.Popen(
                typed, cwd=self._folder, env=self._env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
            )
            self._serving.append(serving)
            return read_until(serving, READY)
        done = subprocess.run(
            typed, check=False, cwd=self._folder, env=self._env, capture_output=True, text=True, timeout=SECONDS
        )
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout

    def close(self) -> None:
        """Stop what serves."""
        for serving in self._serving:
            serving.send_signal(signal.SIGINT)
            serving.communicate(timeout=SECONDS)


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    made = Shell(tmp_path)
    yield made
    made.close()


def follow(page: str, shell: Shell) -> None:
    for command, shown in steps(page):
        said = shell.type(command)
        assert doctest.OutputChecker().check_output(shown, said, doctest.ELLIPSIS), f"{command}:\n{said}"


def test_the_session_goes_as_the_readme_shows(shell: Shell, tmp_path: Path) -> None:
    follow("README.md", shell)
    assert len(list((tmp_path / "done").iterdir())) == 20


@pytest.mark.long
def test_the_tutorial_goes_as_it_shows(shell: Shell, tmp_path: Path) -> None:
    follow("docs/tutorial.md", shell)
    assert len(list((tmp_path / "approved").iterdir())) == 15
    with (tmp_path / "approved.csv").open() as table:
        rows = {row["key"]: row for row in csv.DictReader(table)}
    assert {row["verdict"] for row in rows.values()} == {"approved"}
    assert [rows[key]["attempts"] for key in ("zhiqite-swap", "piktid-swap", "zhiqite-swap-back")] == ["2", "2", "1"]
    assert sum(Decimal(row["cost"]) for row in rows.values()) == Decimal("0.73"), "redos count"
