"""The glossary's words: they name the rooms, they are where the glossary says, and documents use no retired word."""

from __future__ import annotations

import re

import pytest

from tests.unit.documents import DOCUMENTS, code_of, is_there, prose_of, references, tables_of
from tests.unit.test_layers import ROOMS

GLOSSARY = "docs/glossary.md"
TOPS = frozenset(room.partition(".")[0] for room in ROOMS)

#: Words of ours that the field's words have replaced. Tell, asking, moves, story, tap and trial were replaced in one
#: sense only, and have another that is common, so no test can find them.
RETIRED = (
    r"gates?", r"levers?", r"steering", r"telling", r"foretells?", r"timetables?", r"tall(?:y|ies)", r"estimates?",
    r"announcements?", r"reprioriti[sz]e[sd]?", r"(?:is|are) no (?!longer\b|more\b)", r"conclude[sd]?",
    r"standings?", r"firings?", r"wish(?:es)?", r"wires?(?! formats?\b)",
    r"asker'?s?", r"of old", r"made of paper", r"most money", r"at most so many", r"gone on with", r"lets? it go on",
    r"whoever", r"somebody",
)  # fmt: skip
#: Sentences in which a retired word has the field's sense: what providers write.
FIELD = re.compile(r"in good standing")
#: Names that stay, though they have a retired word: those of tables, and of what is named after its table.
KEPT = frozenset({"announcements", "models/announcements.py", "tallies"})


def words() -> list[str]:
    """The first column of the glossary."""
    return [row[0] for row in tables_of(GLOSSARY)]


def room_words() -> set[str]:
    """The names of all folders that are rooms."""
    return {room.rpartition(".")[2] for room in ROOMS}


def retired_in(prose: str) -> list[str]:
    """The retired words that `prose` uses."""
    plain = FIELD.sub(" ", re.sub(r"\s+", " ", prose))
    return re.findall(rf"(?<!there )\b(?:{'|'.join(RETIRED)})(?:\b|(?<= ))", plain, re.IGNORECASE)


def retired_in_code(code: str) -> list[str]:
    """The retired words within the names that `code` uses."""
    return retired_in(re.sub(r"[\W_]+|(?<=[a-z])(?=[A-Z])", " ", code))


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
        assert len(named) == where.count("`") // 2, f"{word}: {where} names something that is not a path of the tree"
        assert [path for path, name in named if not is_there(path, name)] == [], word


@pytest.mark.parametrize("document", DOCUMENTS)
def test_documents_use_no_retired_word(document: str) -> None:
    assert retired_in(prose_of(document)) == []


@pytest.mark.parametrize("document", [each for each in DOCUMENTS if each != "CHANGELOG.md"])  # it says what was renamed
def test_the_code_of_documents_uses_no_retired_word(document: str) -> None:
    found = {code: words for code in code_of(document) if (words := retired_in_code(code))}
    assert {code: words for code, words in found.items() if code.partition("::")[0] not in KEPT} == {}


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("recast_gate_open", ["gate"]), ("POST /levers/retry", ["levers"]), ("StandingShape", ["Standing"]),
        ("ANNOUNCEMENTS", ["ANNOUNCEMENTS"]), ("recast_account_stopped", []),
    ],
)  # fmt: skip
def test_a_retired_word_in_code_is_noticed(code: str, found: list[str]) -> None:
    assert retired_in_code(code) == found


@pytest.mark.parametrize(
    ("prose", "found"),
    [
        ("The Gate closes.", ["Gate"]),
        ("2h is no price", ["is no "]),
        ("these are no prices", ["are no "]),
        ("the wire", ["wire"]),
        ("a wire format", []),
        ("there is no price, and this is no longer one", []),
        ("there\nare no prices", []),
        ("it aggregates", []),
    ],
)
def test_a_retired_word_is_noticed(prose: str, found: list[str]) -> None:
    assert retired_in(prose) == found
