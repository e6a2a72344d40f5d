"""The start of a command: the table of commands is true, and a command loads what it needs and nothing else."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from cli.failures import EXPECTED, LINKS
from cli.late import load
from cli.main import app
from cli.tree import COMMANDS, Entry
from tests.stack import ROOT
from tests.words import unsaid

#: What takes long to load, by why a command may need it.
DATABASE = {"sqlalchemy", "psycopg", "alembic"}
MESSAGES = {"celery", "kombu", "redis"}
REQUESTS = {"httpx", "aiohttp", "starlette", "uvicorn", "providers"}
PICTURES = {"PIL", "numpy", "cv2", "fsspec", "faces"}
OTHERS = {"pyarrow", "s3fs", "cryptography", "jinja2", "prometheus_client", "opentelemetry", "pandas"}
PUMPS = {"tasks", "web", "sandbox", "workers.engine"}
HEAVY = DATABASE | MESSAGES | REQUESTS | PICTURES | OTHERS | PUMPS

PROBE = """
import sys
from cli.main import main
code = main(sys.argv[1:])
packages = {name.partition(".")[0] for name in sys.modules} | set(sys.modules)
print("loaded:", *sorted(packages))
print("code:", int(code))
"""


def loaded(folder: Path, *arguments: str, **environ: str) -> set[str]:
    """The packages and modules that a command loads; the command is run in `folder`."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("RECAST_", "_RECAST_"))}
    env |= {"PYTHONPATH": str(ROOT), **environ}
    result = subprocess.run(
        [sys.executable, "-c", PROBE, *arguments], cwd=folder, env=env, capture_output=True, text=True, check=True
    )
    return set(result.stdout.partition("loaded: ")[2].split())


@pytest.mark.parametrize("arguments", [("--help",), ("no-such-command",)])
def test_what_the_table_answers_loads_no_command(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    found = loaded(tmp_path, *arguments)
    assert "cli.tree" in found
    commands = {entry.place.partition(":")[0] for entry in COMMANDS}
    assert found & {*HEAVY, *commands, "pydantic_settings", "structlog"} == set()


def test_health_loads_neither_the_pumps_nor_the_settings(tmp_path: Path) -> None:
    found = loaded(tmp_path, "health")
    assert "cli.health" in found
    assert found & {*HEAVY, "pydantic_settings", "structlog", "rich"} == set()


@pytest.mark.heavy
@pytest.mark.parametrize("arguments", [("status",), ("status", "spring"), ("jobs",)], ids=" ".join)
def test_a_list_loads_the_database_alone(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    found = loaded(tmp_path, *arguments, RECAST_DATABASE_URL="postgresql://127.0.0.1:1/none",
                   RECAST_BROKER_URL="redis://127.0.0.1:1/0")  # fmt: skip
    assert "psycopg" in found
    assert found & (HEAVY - DATABASE) == set()
    assert "alembic" not in found


def test_completion_completes_from_the_table(tmp_path: Path) -> None:
    env = {**os.environ, "PYTHONPATH": str(ROOT), "COMP_CWORD": "1", "COMP_WORDS": "recast re"}
    script = "import sys; sys.argv[0] = 'recast'; from cli.main import main; sys.exit(main())"
    result = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env={**env, "_RECAST_COMPLETE": "complete_bash"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert set(result.stdout.split()) == {
        "retry",
        "resolve",
        "resume",
        "review",
        "reroute",
        "redo",
        "redownload",
        "reconcile",
        "releases",
    }


GROUP: Any = typer.main.get_command(app)


@pytest.mark.parametrize("entry", COMMANDS, ids=lambda entry: entry.name)
def test_the_table_says_what_the_command_says(entry: Entry) -> None:
    listed, real = GROUP.commands[entry.name], GROUP.loaded(entry.name)
    assert type(listed) is not type(real)
    assert (real.name, real.hidden) == (entry.name, entry.hidden)
    for limit in (30, 45, 62, 200):
        assert listed.get_short_help_str(limit) == real.get_short_help_str(limit)


def test_every_function_that_is_a_command_is_in_the_table() -> None:
    assert len({entry.name for entry in COMMANDS}) == len(COMMANDS)
    placed = {entry.place.partition(":")[0] for entry in COMMANDS}
    with_options = {
        f"cli.{path.stem}"
        for path in (ROOT / "cli").glob("*.py")
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.FunctionDef)
        and not node.name.startswith("_")
        and ast.unparse(node).count("SandboxOption")
    }
    assert with_options <= placed


@pytest.mark.parametrize("place", [*EXPECTED, *LINKS])
def test_every_error_that_is_explained_exists(place: str) -> None:
    kind = load(place)
    assert issubclass(kind, Exception)
    # It is known by the name that the class itself has.
    assert f"{kind.__module__}:{kind.__qualname__}" == place


def test_a_wrong_command_is_compared_with_all() -> None:
    result = CliRunner().invoke(app, ["statsu"])
    assert unsaid(result.output, "statsu", "status") == []
