"""The numbers of the product as data: each constant that is a figure, with its value, unit and reason.

`python -m tests.unit.numbers --write` rewrites docs/numbers.md.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from tests.unit.documents import tables_of
from tests.unit.test_layers import ROOMS, ROOT, name_of, room_of
from workers.config.accounts import Account
from workers.config.settings import Settings

PAGE = "docs/numbers.md"

#: Rooms whose figures describe how Recast behaves; what only plays or measures something has figures of its own.
WITHOUT = {"faces", "devstack", "sandbox", "benchmarks", "migrations", "cli"}

#: Whole numbers that are names of something.
NOT_FIGURES = {"SINGLES", "LOCK_KEY", "HIGHEST", "COUNT_LOCK", "PUMP_VERSION", "BAD_SETTINGS", "FIELDS", "MINUTE"}

#: What the last word of a name says of its unit.
SECONDS = {"SECONDS", "EVERY", "TIMEOUT", "DEADLINE"}

INTRODUCTION = """\
# Numbers

Every time-out, interval and limit of what runs jobs and answers people, with the constant that defines it. The tests
compare constants and values with the code in both directions, and meanings with the comment beside each constant.
`python -m tests.unit.numbers --write` brings all of it up to date, and keeps the meaning of a constant without a
comment.
"""


@dataclass(frozen=True)
class Number:
    """One figure."""

    room: str
    #: Where it is defined: a path and a constant, or the name of a setting.
    where: str
    value: str
    meaning: str


def numbers() -> list[Number]:
    """All figures, by room from the ground up."""
    found = [number for room in ROOMS if room not in WITHOUT for number in _of_room(room)]
    return [*found, *_settings()]


def rows() -> list[tuple[str, str, str]]:
    """What the page says now: constant, value and meaning."""
    if not (ROOT / PAGE).exists():
        return []
    return [(where.strip("`"), value, meaning) for where, value, meaning in tables_of(PAGE)]


def page() -> str:
    """The page as it should be: what the comments in the code do not say, it goes on saying itself."""
    kept = {where: meaning for where, _, meaning in rows()}
    lines, room = [INTRODUCTION], ""
    for number in numbers():
        if number.room != room:
            room = number.room
            lines += [f"## {room}", "", "| constant | value | meaning |", "|---|---|---|"]
        lines.append(f"| `{number.where}` | {number.value} | {number.meaning or kept.get(number.where, '')} |")
    text = "\n".join(lines) + "\n"
    return re.sub(r"(?<=\|)\n## ", "\n\n## ", text)


def _of_room(room: str) -> Iterator[Number]:
    folder = ROOT / room.replace(".", "/")
    for path in sorted(folder.rglob("*.py")):
        module = name_of(path)
        if room_of(module) == room:
            values = vars(importlib.import_module(module))
            source = path.read_text(encoding="utf-8")
            for name, meaning in _comments(source, ast.parse(source).body):
                if name in NOT_FIGURES or not name.isupper():
                    continue
                written = _written(name, values[name])
                if written is not None:
                    yield Number(_heading(room), f"{path.relative_to(ROOT).as_posix()}::{name}", written, meaning)


def _heading(room: str) -> str:
    return room.replace(".", "/") + "/"


def _comments(source: str, body: list[ast.stmt]) -> Iterator[tuple[str, str]]:
    """The public names that `body` assigns, each with the comment at its end or else above it."""
    lines = source.splitlines()
    for node in body:
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        for target in targets:
            if isinstance(target, ast.Name) and not target.id.startswith("_"):
                _, _, behind = lines[(node.end_lineno or node.lineno) - 1].partition("  # ")
                yield target.id, _sentence(behind or _above(lines, node.lineno - 2))


def _above(lines: list[str], index: int) -> str:
    found: list[str] = []
    while index >= 0 and lines[index].lstrip().startswith("#"):
        found.insert(0, lines[index].lstrip("#: "))
        index -= 1
    return " ".join(found)


def _sentence(comment: str) -> str:
    return re.sub(r"\bnoqa:.*|type: ignore.*", "", comment).strip(" -").rstrip(".").replace("|", r"\|")


def _settings() -> Iterator[Number]:
    """The figures that people may set: their defaults."""
    models: tuple[tuple[str, str, type[BaseModel]], ...] = (
        ("Settings: the defaults", "RECAST_{}", Settings), ("Accounts: the defaults", "accounts.NAME.{}", Account),
    )  # fmt: skip
    for heading, form, model in models:
        comments = _field_comments(model)
        for name, field in model.model_fields.items():
            default = None if field.default is PydanticUndefined else field.default
            written = None if name.endswith("_port") else _written(name.upper(), default)
            if written is not None:
                shown = form.format(name.upper() if model is Settings else name)
                yield Number(heading, shown, written, comments[name])


def _field_comments(model: type[BaseModel]) -> dict[str, str]:
    """The comment of each setting of a model, wherever in its ancestry the setting is declared."""
    found: dict[str, str] = {}
    for ancestor in reversed(model.__mro__):
        if ancestor.__module__.partition(".")[0] == "workers":
            source = inspect.getsource(ancestor)
            found |= dict(_comments(source, cast("ast.ClassDef", ast.parse(source).body[0]).body))
    return found


def _written(name: str, value: Any) -> str | None:
    """A value with its unit, or None for what is not a figure."""
    if isinstance(value, timedelta):
        return _duration(value.total_seconds())
    if isinstance(value, tuple) and value and all(isinstance(item, int) and item > 1 for item in value):
        return ", ".join(_duration(item) for item in value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    unit = name.rpartition("_")[2]
    if unit in SECONDS:
        return _duration(value)
    if unit in {"MILLISECONDS", "MS"}:
        return _duration(value / 1000)
    if unit == "BYTES":
        return _bytes(int(value))
    if unit in {"SHARE", "JITTER"} and value < 1:
        return f"{value * 100:g} %"
    return f"{value:,} {unit.lower()}" if unit in {"CHARS", "DAYS"} else f"{value:,}"


def _duration(seconds: float) -> str:
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:g} {unit}"
    return f"{seconds:g} s" if seconds >= 1 else f"{seconds * 1000:g} ms"


def _bytes(number: int) -> str:
    for size, unit in ((1 << 20, "MiB"), (1 << 10, "KiB")):
        if number >= size and number % size == 0:
            return f"{number // size} {unit}"
    return f"{number:,} bytes"


if __name__ == "__main__":
    if "--write" in sys.argv:
        (ROOT / PAGE).write_text(page(), encoding="utf-8")
    print(f"{Path(PAGE)}: {len(numbers())} numbers")  # noqa: T201
