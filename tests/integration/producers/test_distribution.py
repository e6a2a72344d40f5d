"""The producers' distribution alone: in an environment that has Celery and nothing else, beside modules of any name."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import textwrap
import tomllib
from collections.abc import Iterator, Mapping
from importlib.metadata import Distribution, distribution
from pathlib import Path
from typing import Any
from uuid import uuid4
from zipfile import ZipFile

import pytest
from packaging.requirements import Requirement
from redis import Redis

from tests.integration.producer import SOURCE, TARGET
from tests.stack import ROOT, Stack

CLIENT = tomllib.loads((ROOT / "recast" / "pyproject.toml").read_text())["project"]
#: What a producer's project may call its own modules: the names of our packages, and more.
MODULES = ("models", "tasks", "workers", "web", "cli", "local", "catalog", "providers", "reports", "faces")


def run(*command: str | Path, folder: Path, env: Mapping[str, str] | None = None) -> str:
    """What a command says; fails the test when it fails."""
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Both distributions, built from this tree."""
    folder = tmp_path_factory.mktemp("wheels")
    pip = (sys.executable, "-m", "pip", "wheel", "--quiet", "--no-index", "--no-deps", "--no-build-isolation")
    run(*pip, "--wheel-dir", folder, ROOT / "recast", ROOT, folder=folder)
    return {path.name.partition("-")[0]: path for path in folder.glob("*.whl")}


@pytest.fixture(scope="module")
def python(wheels: Mapping[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the small distribution and what it asks for, and its interpreter."""
    folder = tmp_path_factory.mktemp("environment")
    run(sys.executable, "-m", "venv", "--without-pip", folder, folder=folder)
    (site,) = folder.glob("lib/python*/site-packages")
    for entry in needed(Requirement(*CLIENT["dependencies"])):
        (site / entry.name).symlink_to(entry)
    interpreter = folder / "bin" / "python"
    pip = (sys.executable, "-m", "pip", "--python", interpreter, "install", "--quiet", "--no-index", "--no-deps")
    before = set(site.iterdir())
    run(*pip, wheels["recast_client"], folder=folder)
    assert {path.name for path in set(site.iterdir()) - before} == {
        "recast",
        f"recast_client-{CLIENT['version']}.dist-info",
    }
    return interpreter


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A producer's project, whose modules have the names of our packages."""
    for name in MODULES:
        (tmp_path / f"{name}.py").write_text(f"OWNER = 'the shop: {name}'\n")
    return tmp_path


@pytest.fixture
def env(deployment: Stack) -> dict[str, str]:
    """All that a producer is told; its own Celery app has a broker elsewhere."""
    elsewhere = "redis://127.0.0.1:1/0"
    ours = {name: deployment.env[name] for name in ("RECAST_BROKER_URL", "RECAST_RESULT_URL")}
    return {**ours, "CELERY_BROKER_URL": elsewhere, "CELERY_RESULT_BACKEND": elsewhere}


def needed(requirement: Requirement) -> Iterator[Path]:
    """What this environment's site-packages hold of a requirement and of all it needs."""
    seen: dict[str, Distribution] = {}
    waiting = [requirement]
    while waiting:
        each = waiting.pop()
        found = seen.setdefault(each.name, distribution(each.name))
        for line in found.requires or ():
            further = Requirement(line)
            wanted = further.marker is None or any(
                further.marker.evaluate({"extra": extra}) for extra in ("", *each.extras)
            )
            if wanted and further.name not in seen:
                waiting.append(further)
    for found in seen.values():
        tops = {file.parts[0] for file in found.files or () if file.parts[0] not in {"..", "__pycache__"}}
        yield from (Path(str(found.locate_file(top))) for top in tops)


def produce(python: Path, shop: Path, env: Mapping[str, str], body: str) -> Any:
    """What a program in the producer's project says; it has the project's modules loaded."""
    script = f"import json, sys\nimport {', '.join(MODULES)}\n" + textwrap.dedent(body)
    return json.loads(run(python, "-W", "error", "-c", script, folder=shop, env=env).splitlines()[-1])


def test_no_file_belongs_to_both_distributions(wheels: Mapping[str, Path]) -> None:
    names = {wheel: {name for name in ZipFile(path).namelist() if ".dist-info/" not in name}
             for wheel, path in wheels.items()}  # fmt: skip
    assert set(names) == {"recast_client", "recast_server"}
    assert {name.partition("/")[0] for name in names["recast_client"]} == {"recast"}
    assert names["recast_client"] == {
        f"recast/{path.relative_to(ROOT / 'recast')}"
        for path in (ROOT / "recast").rglob("*")
        if path.suffix == ".py" or path.name == "py.typed"
    }
    assert not names["recast_client"] & names["recast_server"]
    for path in wheels.values():
        assert any(name.endswith(".dist-info/licenses/LICENSE") for name in ZipFile(path).namelist())


def test_the_source_distribution_makes_the_same_wheel(wheels: Mapping[str, Path], tmp_path: Path) -> None:
    run(sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", tmp_path, folder=ROOT / "recast")
    (archive,) = tmp_path.glob("*.tar.gz")
    pip = (sys.executable, "-m", "pip", "wheel", "--quiet", "--no-index", "--no-deps", "--no-build-isolation")
    run(*pip, "--wheel-dir", tmp_path, archive, folder=tmp_path)
    (wheel,) = tmp_path.glob("*.whl")
    assert ZipFile(wheel).namelist() == ZipFile(wheels["recast_client"]).namelist()


def test_nothing_else_of_ours_is_there(python: Path, tmp_path: Path) -> None:
    others = [path.parent.name for path in ROOT.glob("*/__init__.py") if path.parent.name != "recast"]
    script = "import sys, json; from importlib.util import find_spec; import recast; recast.swap.s()\n"
    script += (
        f"print(json.dumps([name for name in {[*others, 'pydantic', 'sqlalchemy', 'structlog']} if find_spec(name)]))"
    )
    assert json.loads(run(python, "-W", "error", "-c", script, folder=tmp_path, env={})) == []


def test_it_sends_and_gets_typed_results(deployment: Stack, python: Path, shop: Path, env: Mapping[str, str]) -> None:
    got = produce(
        python,
        shop,
        env,
        f"""
        from celery import group
        from recast import GenerateResult, Money, SwapResult, generate, swap

        result = swap.delay(source={SOURCE!r}, target={TARGET!r}, provider="zhiqite").get(timeout=60)
        assert isinstance(result, SwapResult) and isinstance(result.cost, Money), result
        both = group(swap.s(source={SOURCE!r}, target={TARGET!r}), generate.s({SOURCE!r}, "a pilot"))().get(timeout=60)
        assert [type(each) for each in both] == [SwapResult, GenerateResult], both
        again = swap.AsyncResult(result.job).get(timeout=5)
        assert again == result
        assert models.OWNER == "the shop: models" and tasks.OWNER == "the shop: tasks"
        print(json.dumps([result.job, result.uri, result.cost, result.results[0].size], default=str))
        """,
    )
    job, uri, cost, size = got

    assert deployment.sql("SELECT state FROM jobs WHERE id = :id", id=job)[0].state == "succeeded"
    assert Path(uri.removeprefix("file://")).stat().st_size == size
    assert cost == "0.02 USD"


def test_errors_raise_the_right_class(deployment: Stack, python: Path, shop: Path, env: Mapping[str, str]) -> None:
    deployment.sandbox.add_fault("fail", where={"provider": "zhiqite", "call": "submit"}, error="no_face", times=1)
    got = produce(
        python,
        shop,
        env,
        f"""
        from recast import InvalidJobError, JobRejectedError, swap

        try:
            swap.delay({SOURCE!r}, {TARGET!r}, account="nobody").get(timeout=60)
        except InvalidJobError as error:
            field = error.field
        try:
            swap.delay({SOURCE!r}, {TARGET!r}, provider="zhiqite").get(timeout=60)
        except JobRejectedError as error:
            print(json.dumps([field, error.reason]))
        """,
    )

    assert got == ["account", "no_face"]


def test_a_running_stacks_home_is_enough(
    deployment: Stack, python: Path, shop: Path, env: Mapping[str, str], tmp_path: Path
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    stack = {"broker_url": env["RECAST_BROKER_URL"], "result_url": env["RECAST_RESULT_URL"], "postgres_pid": 7}
    (home / "stack.json").write_text(json.dumps(stack))
    send = f"from recast import swap; print(json.dumps(swap.delay({SOURCE!r}, {TARGET!r}).get(timeout=60).job))"

    job = produce(python, shop, {"RECAST_HOME": str(home)}, send)

    assert deployment.sql("SELECT state FROM jobs WHERE id = :id", id=job)[0].state == "succeeded"


#: As workers of the commit before wrote them.
FORMER_FAILURE: dict[str, Any] = {
    "status": "FAILURE",
    "result": {
        "exc_type": "JobRejectedError",
        "exc_message": ["no_face", "there is no face", "job-1"],
        "exc_module": "models.errors",
    },
    "traceback": None, "children": [], "date_done": "2026-11-27T10:00:00.000000+00:00", "parent_id": None,
}  # fmt: skip
FORMER_SUCCESS: dict[str, Any] = {
    "status": "SUCCESS",
    "result": {
        "job": "job-2", "state": "succeeded", "account": "main", "operation": "zhiqite.swap", "cost": "0.02 USD",
        "seconds": 1.25,
        "results": [{
            "index": 0, "key": "a/0.png", "thumbnail_key": "a/0.webp", "sha256": "a1", "original_sha256": None,
            "size": 7, "media_type": "image/png", "width": 640, "height": 480, "facts": {},
            "uri": "file:///pictures/a/0.png",
        }],
    },
    "traceback": None, "children": [], "date_done": "2026-11-27T10:00:00.000000+00:00", "parent_id": None,
}  # fmt: skip


@pytest.mark.parametrize("own", [False, True], ids=["models of a file", "models with errors"])
def test_results_of_former_workers_are_understood(
    deployment: Stack, python: Path, shop: Path, env: Mapping[str, str], own: bool
) -> None:
    if own:
        (shop / "models.py").unlink()
        (shop / "models").mkdir()
        (shop / "models" / "__init__.py").write_text("from models import errors\n")
        (shop / "models" / "errors.py").write_text("class JobRejectedError(Exception):\n    pass\n")
    failed, done = str(uuid4()), str(uuid4())
    with Redis.from_url(env["RECAST_RESULT_URL"]) as results:
        for task_id, written in ((failed, FORMER_FAILURE), (done, FORMER_SUCCESS)):
            results.set(f"celery-task-meta-{task_id}", json.dumps({**written, "task_id": task_id}), ex=60)

    got = produce(
        python,
        shop,
        env,
        f"""
        from recast import JobRejectedError, swap

        result = swap.AsyncResult({done!r}).get(timeout=5)
        try:
            swap.AsyncResult({failed!r}).get(timeout=5)
        except JobRejectedError as error:
            told = [error.reason, error.message, error.job_id, result.cost, result.uri]
            print(json.dumps(told, default=str))
        """,
    )

    assert got == ["no_face", "there is no face", "job-1", "0.02 USD", "file:///pictures/a/0.png"]


# --- Types ---------------------------------------------------------------------------------------------------------

PRODUCER = '''
"""A producer, as people write them."""

from recast import JobAsyncResult, JobRejectedError, SwapResult, generate, swap


def swap_all(face: str, photos: list[str]) -> list[SwapResult]:
    jobs = [swap.delay(source=face, target=photo, provider="zhiqite", priority=5) for photo in photos]
    return [job.get(timeout=60) for job in jobs]


def portrait(face: str) -> str:
    try:
        result = generate.delay(face, "in a studio", options={"batch": 2}, dedupe_key=face).get()
    except JobRejectedError as error:
        return error.reason
    return f"{result.results[0].uri}: {result.cost.amount} {result.cost.currency}"


def again(first: SwapResult, photo: str) -> JobAsyncResult[SwapResult]:
    following = generate.s(prompt="a pilot")
    return swap.apply_async(kwargs={"source": first, "target": photo}, link=[following, swap.si(first.uri, photo)])
'''
#: Lines that are wrong, each with what a type checker says of it.
MISTAKES = {
    'swap.delay(source="a", taget="b")': "taget",
    'swap.delay("a", "b", colour="red")': "colour",
    'swap.delay("a")': "target",
    'swap.delay("a", "b", priority="high")': "priority",
    'swap.s(taget="b")': "taget",
    'swap.si("a")': "target",
    'swap.si("a", "b", taget="c")': "taget",
    'swap.apply_async(kwargs={"source": "a", "taget": "b"})': "SwapArguments",
    'swap.delay("a", "b").get().result': "result",
    'swap.delay("a", "b").get().results[0].uri + 1': "operand",
    'generate.delay(prompt="x")': "image",
    'generate.delay("a", prompt=7)': "prompt",
    'generate.s("a", source="b")': "source",
    'generate.apply_async(kwargs={"image": 7})': "GenerateArguments",
}


def test_a_type_checker_knows_the_arguments_and_results(python: Path, tmp_path: Path) -> None:
    (tmp_path / "producer.py").write_text(PRODUCER)
    (tmp_path / "mistakes.py").write_text("\n".join(["from recast import generate, swap", *MISTAKES]) + "\n")
    checked = subprocess.run(
        [
            sys.executable, "-m", "mypy", "--strict", "--config-file=", "--python-executable", python,
            "--cache-dir", tmp_path / "cache", "--no-error-summary", "producer.py", "mistakes.py",
        ],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    said = [re.fullmatch(r"(\w+)\.py:(\d+): error: (.*)", line) for line in checked.stdout.splitlines()
            if ": note: " not in line]  # fmt: skip

    assert all(said), checked.stdout + checked.stderr
    found = [(each[1], int(each[2]), each[3]) for each in said if each]
    assert {file for file, _, _ in found} == {"mistakes"}, found
    for line, word in enumerate(MISTAKES.values(), start=2):
        assert any(word in message for _, number, message in found if number == line), (line, word, found)
