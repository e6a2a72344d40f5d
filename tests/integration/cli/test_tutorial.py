"""The README's session, typed as it stands there."""

from __future__ import annotations

import doctest
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from tests.stack import ROOT

README = (ROOT / "README.md").read_text()


def steps() -> list[tuple[str, str]]:
    """Each command of the session with the output that the README shows, where `...` stands for any text."""
    (session,) = re.findall(r"```console\n(.*?)```", README, re.DOTALL)
    commands = re.split(r"^\$ ", session, flags=re.MULTILINE)[1:]
    return [(command, output) for command, _, output in (text.partition("\n") for text in commands)]


def test_the_session_goes_as_the_readme_shows(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    env = {name: value for name, value in os.environ.items() if not name.startswith("RECAST_")}
    env["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{env['PATH']}"

    for command, shown in steps():
        done = subprocess.run(
            ["bash", "-c", command], check=False, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        assert doctest.OutputChecker().check_output(shown, done.stdout, doctest.ELLIPSIS), f"{command}:\n{done.stdout}"

    assert len(list((tmp_path / "done").iterdir())) == 20
