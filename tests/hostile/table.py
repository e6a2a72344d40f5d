"""The table of all cases, for the docs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tests.hostile import answers, catalogs, doors, files, pictures, urls
from tests.hostile.cases import Area, Case, Fate

PAGE = Path(__file__).parents[2] / "docs" / "hostile-input.md"
AREAS: tuple[Area, ...] = (
    *catalogs.AREAS, *pictures.AREAS, *urls.AREAS, *answers.AREAS, *doors.AREAS, *files.AREAS,
)  # fmt: skip

INTRODUCTION = """# Hostile input

Everything that comes from outside may be damaged, or made to do harm: catalogs, pictures, addresses, providers'
answers, callbacks, names. Each case below is either *refused*, with a message that says why, or *survived*: taken for
what it is, harmless. In both cases nothing beside it suffers; the tests put good neighbours into the same file, the
same group and the same statement, and look at them afterwards.

The cases are data in `tests/hostile/`, from which both the tests and this page are made: `python -m tests.hostile
--write` writes it anew. Besides, a thousand damaged answers are tried for every operation of every provider
(`tests/unit/providers/test_hostile_answers.py`).
"""


def page() -> str:
    """The page as it should be."""
    return "\n".join(_lines())


def _lines() -> Iterator[str]:
    yield INTRODUCTION
    yield f"{sum(len(area.cases) for area in AREAS)} cases."
    for area in AREAS:
        yield f"\n## {area.title}\n"
        yield f"{len(area.cases)} cases; {area.door}.\n"
        yield "| what comes in | it is | |"
        yield "|---|---|---|"
        yield from map(_row, area.cases)
    yield ""


def _row(case: Case) -> str:
    says = case.says.replace("|", r"\|")
    told = f"“{says}”" if case.fate is Fate.REFUSED and says else says
    return f"| {case.name} | {case.fate} | {told} |"
