"""States and the reasons for closures and pauses are enums: no code compares them with bare words."""

from __future__ import annotations

import ast

import pytest

from models.states import AttemptState, Closure, JobState, PauseReason
from tests.unit.test_layers import modules, name_of

WORDS = {*JobState, *AttemptState, *Closure, *PauseReason}
#: Rooms with states of their own: providers' words, the sandbox's, the benchmarks'; migrations are frozen.
OTHERS = ("providers.", "sandbox.", "benchmarks.", "migrations.", "devstack.")


def bare(source: str, module: str) -> set[tuple[str, str]]:
    """The words that a module compares something with, or lists beside each other, instead of enums."""
    found: set[tuple[str, str]] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Compare):
            operands = [node.left, *node.comparators]
            parts = [part for operand in operands for part in (operand, *getattr(operand, "elts", ()))]
        elif isinstance(node, ast.Set | ast.List) or (isinstance(node, ast.Tuple) and len(node.elts) > 1):
            # A list of states, not any tuple in which such a word stands.
            parts = (
                node.elts if all(isinstance(part, ast.Constant) and part.value in WORDS for part in node.elts) else []
            )
        elif isinstance(node, ast.MatchValue):
            parts = [node.value]
        else:
            continue
        words = (part.value for part in parts if isinstance(part, ast.Constant))
        found |= {(module, word) for word in words if isinstance(word, str) and word in WORDS}
    return found


def test_no_bare_word_stands_for_a_state() -> None:
    names = {name_of(path): path for path in modules()}
    ours = {name: path for name, path in names.items() if not f"{name}.".startswith(OTHERS)}
    found = set().union(*(bare(path.read_text(), name) for name, path in ours.items()))
    assert found == set()


@pytest.mark.parametrize(
    ("source", "word"),
    [
        ("if job.state == 'queued':\n    pass", "queued"),
        ("if job.state in ('queued', x):\n    pass", "queued"),
        ("ENDS = frozenset({'auth'})", "auth"),
        ("match state:\n    case 'held':\n        pass", "held"),
        ("if 'budget' != row.reason:\n    pass", "budget"),
    ],
)
def test_a_planted_word_is_found(source: str, word: str) -> None:
    assert bare(source, "planted") == {("planted", word)}
