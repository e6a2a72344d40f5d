"""Addresses in a catalog's cells and options, and in a producer's arguments: one form, or refused by line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from catalog.errors import BadRowsError, CatalogError
from catalog.files import catalog_file
from catalog.intake import take_in
from catalog.tables import TableRows
from recast.errors import InvalidJobError
from tests.unit.catalog.catalogs import accounts, swap, write_csv
from tests.words import names, unsaid
from workers.jobs.routing import Reach
from workers.producers import check

REACH = Reach(public_url=True, presigned=False)
ACCOUNTS = accounts("zhiqite")
ONE, TWO = "https://cdn.example/1.jpg", "https://cdn.example/2.jpg"
WRONG: tuple[tuple[str, tuple[str, ...]], ...] = (
    (f"{ONE}, {TWO}", (ONE, TWO)),
    (f"{ONE}|{TWO}", (ONE, TWO)),
    (f"{ONE}\n{TWO}", (ONE, TWO)),
    (f"{ONE}\t{TWO}", (ONE, TWO)),
    (f"{ONE};{TWO}", (ONE, TWO)),
    ("https://cdn.example/my photo.jpg", ("https://cdn.example/my%20photo.jpg",)),
    (f"\u200b{ONE}", (r"\u200bhttps://cdn.example/1.jpg",)),
    (f"https://{ONE}", ("two",)),
    ("htp://cdn.example/1.jpg", ("htp",)),
    ("https:///1.jpg", ("HOST",)),
    ("www.cdn.example/1.jpg", ("https://www.cdn.example/1.jpg",)),
    ("//cdn.example/1.jpg", ("https://cdn.example/1.jpg",)),
    ("a.png, b.png", ("a.png", "b.png")),
)


@pytest.mark.parametrize("column", ["source", "target"])
def test_each_wrong_cell_is_refused_by_its_line(folder: Path, column: str) -> None:
    rows = [swap(str(number), **{column: cell}) for number, (cell, _) in enumerate(WRONG)]
    with pytest.raises(BadRowsError) as caught:
        take_in(write_csv(folder / "c.csv", rows), ACCOUNTS, REACH)
    assert [mistake.key for mistake in caught.value.mistakes] == [str(number) for number in range(len(WRONG))]
    for mistake, (cell, facts) in zip(caught.value.mistakes, WRONG, strict=True):
        assert (mistake.column, unsaid(mistake.message, *facts)) == (column, []), cell
        assert mistake.message.isprintable()


def test_a_remote_catalog_refuses_what_would_become_another_address(monkeypatch: pytest.MonkeyPatch) -> None:
    cells = [cell for cell, _ in WRONG] + ["my photo.jpg"]
    table = TableRows([swap(str(number), source=ONE, target=cell) for number, cell in enumerate(cells)], "c")
    monkeypatch.setattr(table, "base", "https://shop.example/spring")
    with pytest.raises(BadRowsError) as caught:
        take_in(table, ACCOUNTS, REACH)
    assert [mistake.key for mistake in caught.value.mistakes] == [str(number) for number in range(len(cells))]
    assert unsaid(caught.value.mistakes[-1].message, "https://shop.example/spring/my%20photo.jpg") == []


def test_a_cell_has_one_form_however_it_is_written(folder: Path) -> None:
    written = ["https://cdn.example/x.jpg", " HTTPS://cdn.example/x.jpg\n", "Https://cdn.example/x.jpg"]
    rows = [
        swap(str(number), target=cell, options=json.dumps({"second_source": cell}), operation="zhiqite.swap_faces")
        for number, cell in enumerate(written)
    ]
    with take_in(write_csv(folder / "c.csv", rows), ACCOUNTS, REACH) as intake:
        found = list(intake.spooled())
    assert {row.pictures["target"] for row in found} == {written[0]}
    assert {row.options["second_source"] for row in found} == {written[0]}


@pytest.mark.parametrize(("cell", "facts"), WRONG[:-3])
def test_a_picture_in_an_option_is_refused_alike(folder: Path, cell: str, facts: tuple[str, ...]) -> None:
    row = swap("1", options=json.dumps({"second_source": cell}), operation="zhiqite.swap_faces")
    with pytest.raises(BadRowsError) as caught:
        take_in(write_csv(folder / "c.csv", [row]), ACCOUNTS, REACH)
    (mistake,) = caught.value.mistakes
    assert (mistake.column, unsaid(mistake.message, *facts)) == ("options.second_source", [])


@pytest.mark.parametrize(("cell", "facts"), WRONG[:-3])
@pytest.mark.parametrize("given", [lambda cell: cell, lambda cell: {"results": [{"uri": cell}]}])
def test_a_producers_picture_is_refused_alike(cell: str, facts: tuple[str, ...], given: Any) -> None:
    with pytest.raises(InvalidJobError) as caught:
        check._ask("swap", {"source": ONE, "target": given(cell)})
    assert (caught.value.field, unsaid(caught.value.message, *facts)) == ("target", [])


def test_a_producers_picture_has_one_form() -> None:
    assert check._ask("swap", {"source": ONE, "target": f" HTTPS{TWO.removeprefix('https')} "}).target == TWO


def test_a_catalogs_own_address_has_one_form() -> None:
    assert catalog_file("HTTPS://shop.example/spring.csv").place == "https://shop.example/spring.csv"
    for place, facts in (("htp://x.example/c.csv", ("htp",)), ("https://x.example/my shop.csv", ("my%20shop.csv",))):
        with pytest.raises(CatalogError, match=names(*facts)):
            catalog_file(place)
