"""One path's checks, for `make check PATH=...`: style, format, types, and the unit tests that mirror the path."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
UNIT = Path("tests/unit")
USAGE = 2  # the exit code of wrong arguments


def named(text: str) -> Path | None:
    """The path that `text` names, relative to the root: itself, or as a module; None where there is none."""
    module = text.replace(".", "/")
    for path in (text, module, f"{module}.py"):
        found = (ROOT / path).resolve()
        if found.exists() and found != ROOT and found.is_relative_to(ROOT):
            return found.relative_to(ROOT)
    return None


def tests_of(path: Path) -> Path:
    """The unit tests that mirror `path`: of its folder, or of the nearest folder above that has some."""
    if path.parts[:1] == ("tests",):
        return path
    for folder in (path, *path.parents):
        if folder.parts and (ROOT / UNIT / folder).is_dir():
            return UNIT / folder
    return UNIT


def commands(path: Path) -> list[list[str]]:
    """What is run, in this order."""
    python = sys.executable
    made = [[python, "-m", "pytest", "-q", str(tests_of(path))]]
    if path.suffix == ".py" or any((ROOT / path).rglob("*.py")):
        made[:0] = [
            [python, "-m", "ruff", "check", str(path)],
            [python, "-m", "ruff", "format", "--check", str(path)],
            [python, "-m", "mypy", str(path)],
        ]
    return made


def main(arguments: list[str]) -> int:
    """Run every check, whatever the ones before it said; returns the worst exit code."""
    path = named(arguments[0]) if len(arguments) == 1 else None
    if path is None:
        given = " ".join(arguments)
        print(f"PATH: {given!r} is not a path or module here; use PATH=workers/engine", file=sys.stderr)  # noqa: T201
        return USAGE
    worst = 0
    for command in commands(path):
        print("$", " ".join(command[2:]), flush=True)  # noqa: T201
        worst = max(worst, subprocess.run(command, cwd=ROOT, check=False).returncode)
    return worst


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
