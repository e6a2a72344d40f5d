"""The table of all cases, for the docs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tests.hostile import (
    answers,
    attacks,
    catalogs,
    doors,
    files,
    manifests,
    pictures,
    programs,
    queries,
    slow_pictures,
    urls,
    workbooks,
)  # fmt: skip
from tests.hostile.cases import Area, Case

PAGE = Path(__file__).parents[2] / "docs" / "hostile-input.md"
AREAS: tuple[Area, ...] = (
    *catalogs.AREAS, *workbooks.AREAS, *pictures.AREAS, *slow_pictures.AREAS, *manifests.AREAS, *urls.AREAS,
    *answers.AREAS, *doors.AREAS, *queries.AREAS, *programs.AREAS, *attacks.AREAS, *files.AREAS,
)  # fmt: skip

INTRODUCTION = """# Hostile input

Everything from outside may be damaged or malicious: catalogs, pictures, addresses, providers' answers, callbacks,
names. Recast either *refuses* each case below, with a message that says why, or *survives* it: it accepts the input and
the input does no harm. In both cases nothing else is affected: the tests put valid input into the same file, the same
group and the same statement, and check it afterwards.

The cases are data in `tests/hostile/`. Both the tests and this page are built from them; `python -m tests.hostile
--write` rewrites this page. In addition, a thousand damaged answers are tried for every operation of every provider
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
        yield "| input | it is | the message names; or note |"
        yield "|---|---|---|"
        yield from map(_row, area.cases)
    yield ""


def _row(case: Case) -> str:
    says = case.says.replace("|", r"\|")
    return f"| {case.name} | {case.fate} | {says} |"
