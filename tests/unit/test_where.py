"""Where things live: the questions of docs/where.md, the rooms of ARCHITECTURE.md, the paths that documents name."""

from __future__ import annotations

import os
import re

import pytest

from tests.unit.documents import DOCUMENTS, is_there, prose_of, references, tables_of, text_of
from tests.unit.test_layers import ROOMS, ROOT

WHERE = "docs/where.md"
FOLDERS = frozenset(room.partition(".")[0] for room in ROOMS) | {"tests", "examples"}


def anchors(document: str) -> set[str]:
    """The anchors of a document's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", text_of(document), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_twenty_questions_have_an_answer_in_the_source() -> None:
    rows = list(tables_of(WHERE))
    assert len(rows) >= 20
    for question, answer, _ in rows:
        assert question.endswith("?")
        ((path, name),) = references(answer, FOLDERS)
        assert name, f"{question} names no definition"
        assert is_there(path, name), question


def test_the_front_page_lists_the_rooms_in_their_order() -> None:
    listed = [row[0].strip("`/") for row in tables_of("ARCHITECTURE.md", "Where things live")]
    assert listed == [room.replace(".", "/") for room in ROOMS]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_what_documents_name_is_there(document: str) -> None:
    named = references(text_of(document), FOLDERS)
    assert [f"{path}::{name}" for path, name in named if "NAME" not in path and not is_there(path, name)] == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_lead_somewhere(document: str) -> None:
    folder = (ROOT / document).parent
    for link in re.findall(r"\]\(([^)]+)\)", prose_of(document)):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = os.path.relpath(folder / path, ROOT) if path else document
        assert (ROOT / target).exists(), link
        if anchor:
            assert anchor in anchors(target), link


def test_the_index_names_every_page() -> None:
    index = text_of("docs/README.md")
    pages = [document.removeprefix("docs/") for document in DOCUMENTS if document.startswith("docs/")]
    missing = [page for page in pages if page != "README.md" and page not in index]
    assert [page for page in missing if f"({page.partition('/')[0]}/" not in index] == []


@pytest.mark.parametrize(
    ("reference", "there"),
    [
        ("`workers/jobs/lanes.py::lane_of`", True),
        ("`workers/jobs/lanes.py::PARKED`", True),
        ("`workers/jobs/lanes.py::lane_off`", False),
        ("`workers/jobs/lane.py`", False),
        ("`workers/jobs/`", True),
    ],
)
def test_a_stale_reference_is_noticed(reference: str, there: bool) -> None:
    ((path, name),) = references(reference, FOLDERS)
    assert is_there(path, name) is there
