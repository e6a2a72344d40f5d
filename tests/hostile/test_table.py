"""The page in the docs is that of the cases."""

from __future__ import annotations

from tests.hostile.table import AREAS, PAGE, page


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run `python -m tests.hostile --write`"


def test_there_are_many_cases_and_each_has_a_name_of_its_own() -> None:
    assert sum(len(area.cases) for area in AREAS) >= 200
    for area in AREAS:
        names = [case.name for case in area.cases]
        assert len(names) == len(set(names)), area.title
