"""The glossary's words: they name the rooms, they are where the glossary says, and documents use no retired word."""

from __future__ import annotations

import re

import pytest

from tests.unit.documents import DOCUMENTS, is_there, prose_of, references, tables_of
from tests.unit.test_layers import ROOMS

GLOSSARY = "docs/glossary.md"
TOPS = frozenset(room.partition(".")[0] for room in ROOMS)

#: Words of ours that the field's words have replaced.
RETIRED = (
    r"gates?", r"levers?", r"steering", r"telling", r"foretells?", r"timetables?", r"tall(?:y|ies)", r"estimates?",
    r"announcements?", r"reprioriti[sz]e[sd]?", r"is no (?!longer\b|more\b)", r"conclude[sd]?",
    r"asker'?s?", r"of old", r"made of paper", r"most money", r"at most so many", r"gone on with", r"lets? it go on",
    r"whoever", r"somebody",
)  # fmt: skip


def words() -> list[str]:
    """The first column of the glossary."""
    return [row[0] for row in tables_of(GLOSSARY)]


def room_words() -> set[str]:
    """The names of all folders that are rooms."""
    return {room.rpartition(".")[2] for room in ROOMS}


def retired_in(prose: str) -> list[str]:
    """The retired words that `prose` uses."""
    return re.findall(rf"(?<!there )\b(?:{'|'.join(RETIRED)})(?:\b|(?<= ))", prose, re.IGNORECASE)


def test_each_word_has_one_row_with_every_cell_filled() -> None:
    rows = list(tables_of(GLOSSARY))
    assert [row for row in rows if len(row) != 4 or not all(row)] == []
    assert len(words()) == len(set(words()))


def test_a_word_of_the_glossary_names_each_room() -> None:
    known = set(words())
    assert {room for room in room_words() if room not in known and room.removesuffix("s") not in known} == set()


def test_each_word_lives_where_the_glossary_says() -> None:
    for word, _, _, where in tables_of(GLOSSARY):
        named = references(where, TOPS)
        assert named, f"{word}: no path"
        assert len(named) == where.count("`") // 2, f"{word}: {where} names something that is no path of the tree"
        assert [path for path, name in named if not is_there(path, name)] == [], word


@pytest.mark.parametrize("document", DOCUMENTS)
def test_documents_use_no_retired_word(document: str) -> None:
    assert retired_in(prose_of(document)) == []


@pytest.mark.parametrize(
    ("prose", "found"),
    [
        ("The Gate closes.", ["Gate"]),
        ("2h is no price", ["is no "]),
        ("there is no price, and this is no longer one", []),
        ("it aggregates", []),
    ],
)
def test_a_retired_word_is_noticed(prose: str, found: list[str]) -> None:
    assert retired_in(prose) == found
