"""A class is called by a name that no other public class of its room has, so that a signature says which is meant."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterable, Mapping

from tests.unit.test_layers import modules, name_of, room_of

#: Names that each of several modules of a room gives to a class of its own.
EACH_ITS_OWN: Mapping[str, frozenset[str]] = {
    # An adapter's options: nothing but the adapter and its configuration names them.
    "providers": frozenset({"SwapOptions"}),
}


def shared(sources: Iterable[tuple[str, str]]) -> dict[tuple[str, str], list[str]]:
    """The modules, given with their sources, that define public classes of one name in one room."""
    found: dict[tuple[str, str], list[str]] = defaultdict(list)
    for module, source in sources:
        room = room_of(module)
        for node in ast.parse(source).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                found[room, node.name].append(module)
    return {place: sorted(those) for place, those in found.items() if len(those) > 1}


def test_a_class_has_a_name_of_its_own_in_its_room() -> None:
    found = shared((name_of(path), path.read_text()) for path in modules() if "versions" not in path.parts)
    known = {(room, name) for room, names in EACH_ITS_OWN.items() for name in names}
    assert {place: those for place, those in found.items() if place not in known} == {}
    assert known - found.keys() == set()


def test_two_classes_of_one_name_in_a_room_are_found() -> None:
    planted = [
        ("reports.one", "class Same: ...\nclass _Own: ..."), ("reports.two", "class Same: ...\nclass _Own: ..."),
        ("desk.one", "class Same: ..."),
    ]  # fmt: skip
    assert shared(planted) == {("reports", "Same"): ["reports.one", "reports.two"]}
