"""The house's walls: which room may import which, module by module, with no way round them.

`python -m tests.unit.test_layers` prints the import graph by room.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

#: The rooms from the ground up: the modules of each may import those of the rooms before it, and no others.
ROOMS = (
    "recast", "models", "providers", "faces",
    "workers", "workers.http", "workers.config", "workers.accounts", "workers.images", "workers.jobs",
    "workers.messaging", "workers.engine", "workers.webhooks", "workers.operations", "workers.restore",
    "workers.producers", "workers.maintenance", "workers.observability", "workers.schedules",
    "migrations", "catalog", "reports", "desk", "tasks", "devstack", "sandbox", "web", "cli", "benchmarks",
)  # fmt: skip

#: Further walls: rooms that only those named may enter.
ONLY_FOR: Mapping[str, frozenset[str]] = {
    "faces": frozenset({"workers.images", "sandbox"}),
    "devstack": frozenset({"sandbox", "cli", "benchmarks"}),
    "sandbox": frozenset({"cli", "benchmarks"}),
    "tasks": frozenset({"cli", "benchmarks"}),
    "web": frozenset({"cli", "benchmarks"}),
    "cli": frozenset({"benchmarks"}),
    "benchmarks": frozenset(),
}

#: A module that is loaded when it is needed, by its name or as ``module:name``.
_PLACE = re.compile(r"(\w+(?:\.\w+)+)(?::\w+)?")

#: What producers call and only the large distribution can do: these name what they load.
OF_THE_SERVER = frozenset({"recast.runs", "recast.reviews"})

Imports = Mapping[str, frozenset[str]]


def modules() -> Iterator[Path]:
    for top in {room.partition(".")[0] for room in ROOMS}:
        yield from (ROOT / top).rglob("*.py")


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room_of(module: str, rooms: Iterable[str] = ROOMS) -> str:
    """The room a module stands in; a package is part of the room that it is."""
    return max((room for room in rooms if f"{module}.".startswith(f"{room}.")), key=len)


def imported(source: str, module: str, known: frozenset[str], *, is_package: bool = False) -> frozenset[str]:
    """Our own modules that `source` imports, wherever in it: in functions, for type checkers, and by name."""
    found: set[str] = set()
    parts = module.split(".")
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            named = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = node.level - is_package
                base = ".".join([*(parts[:-above] if above else parts), *([base] if base else [])])
            named = [base, *(f"{base}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and module not in OF_THE_SERVER:
            place = _PLACE.fullmatch(node.value)  # `cli.late` or `import_module` loads it
            named = [place[1]] if place else []
        else:
            continue
        found.update(name for name in named if name in known)
    # `from package import module` names both; of the two, the module is meant.
    return frozenset(name for name in found if not any(other.startswith(f"{name}.") for other in found)) - {module}


@cache
def project() -> Imports:
    paths = {name_of(path): path for path in modules()}
    known = frozenset(paths)
    return {
        name: imported(path.read_text(), name, known, is_package=path.stem == "__init__")
        for name, path in paths.items()
    }


def upward(graph: Imports) -> list[str]:
    """The imports that run against the order of the rooms, or through a wall."""
    wrong = []
    for module, others in graph.items():
        room = room_of(module)
        for other in others:
            target = room_of(other)
            if target == room:
                continue
            up = ROOMS.index(target) > ROOMS.index(room)
            if up or (target in ONLY_FOR and room not in ONLY_FOR[target]):
                wrong.append(f"{module} -> {other}")
    return sorted(wrong)


def circles(graph: Imports) -> list[list[str]]:
    """The sets of modules that import each other in a loop (Tarjan's strongly connected components)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(module: str) -> None:
        index[module] = low[module] = len(index)
        stack.append(module)
        for other in sorted(graph.get(module, ())):
            if other not in index:
                visit(other)
                low[module] = min(low[module], low[other])
            elif other in stack:
                low[module] = min(low[module], index[other])
        if low[module] == index[module]:
            circle = [stack.pop()]
            while circle[-1] != module:
                circle.append(stack.pop())
            if len(circle) > 1:
                found.append(sorted(circle))

    for module in sorted(graph):
        if module not in index:
            visit(module)
    return found


def drawn(graph: Imports) -> str:
    """The import graph by room, from the ground up."""
    lines = []
    for room in ROOMS:
        targets = {room_of(other) for module, others in graph.items() if room_of(module) == room for other in others}
        lines.append(f"{room:22} -> {', '.join(sorted(targets - {room}, key=ROOMS.index)) or '(nothing)'}")
    return "\n".join(lines)


def test_every_module_stands_in_a_room() -> None:
    tops = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests"}
    assert tops == {room.partition(".")[0] for room in ROOMS}
    rooms = {name_of(path) for path in (ROOT / "workers").glob("*/__init__.py")}
    assert rooms == {room for room in ROOMS if room.startswith("workers.")}


def test_imports_run_one_way_between_rooms() -> None:
    graph = project()
    print(drawn(graph))  # noqa: T201 - shown with -s, and where this fails
    assert upward(graph) == []


def test_no_modules_import_each_other() -> None:
    assert circles(project()) == []


def test_the_producers_package_imports_nothing_of_ours() -> None:
    assert {module: others for module, others in project().items() if room_of(module) == "recast"
            for other in others if room_of(other) != "recast"} == {}  # fmt: skip


@pytest.mark.parametrize(
    ("module", "source", "wrong"),
    [
        ("workers.http.planted", "from workers.engine.runtime import Runtime", "workers.engine.runtime"),
        ("models.planted", "def late():\n    from workers.config import settings", "workers.config.settings"),
        ("workers.jobs.planted", "import typing\nif typing.TYPE_CHECKING:\n    import catalog.plan", "catalog.plan"),
        ("workers.jobs.planted", "from ..engine import leases", "workers.engine.leases"),
        ("catalog.planted", "from faces import errors", "faces.errors"),
        ("workers.jobs.planted", "load('workers.engine.leases:acquire')", "workers.engine.leases"),
        ("workers.jobs.planted", "load('workers.engine.leases:Lease2')", "workers.engine.leases"),
        ("web.planted", "import_module('cli.output')", "cli.output"),
        ("workers.jobs.planted", "__import__('workers.engine.leases')", "workers.engine.leases"),
    ],
)
def test_a_planted_arrow_is_found(module: str, source: str, wrong: str) -> None:
    graph = project()
    planted = {**graph, module: imported(source, module, frozenset(graph))}
    assert sorted(set(upward(planted)) - set(upward(graph))) == [f"{module} -> {wrong}"]


def test_relative_imports_of_a_package_are_its_own() -> None:
    known = frozenset(project())
    assert imported("from ..engine import leases", "workers.jobs", known, is_package=True) == {"workers.engine.leases"}
    assert imported("from .lanes import PARKED", "workers.jobs", known, is_package=True) == {"workers.jobs.lanes"}


def test_a_planted_circle_is_found() -> None:
    graph = dict(project())
    graph["models.states"] |= {"models.jobs"}
    assert [circle for circle in circles(graph) if {"models.states", "models.jobs"} <= set(circle)]


if __name__ == "__main__":
    print(drawn(project()))  # noqa: T201
