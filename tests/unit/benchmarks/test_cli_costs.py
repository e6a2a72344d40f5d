from __future__ import annotations

import os
import sys
from pathlib import Path

from benchmarks.cli_costs import COMMANDS, Row, resident, sentences, spent
from cli.tree import COMMANDS as TREE


def test_a_program_that_computes_and_keeps_more_costs_more(tmp_path: Path) -> None:
    environment = dict(os.environ)
    little = spent([sys.executable, "-S", "-c", "pass"], tmp_path, environment)
    much = spent([sys.executable, "-S", "-c", "kept = list(range(3_000_000)); print(sum(kept))"], tmp_path, environment)
    assert 0 < little[0] < much[0]
    assert 1 < little[1] < much[1] - 20


def test_the_memory_of_this_process_is_read() -> None:
    assert 5 < resident(os.getpid()) < 4_000


def test_limits_are_told_where_there_are_any() -> None:
    told = list(sentences([Row("recast x", 0.5, 0.6, 40.0, None), Row("an idle worker", None, None, 130.0, 180.0)]))
    assert "0.50" in told[0]
    assert "0.6 s" in told[0]
    assert "180 MiB" in told[1]
    assert "CPU" not in told[1]


def test_what_is_measured_are_commands() -> None:
    names = {entry.name for entry in TREE}
    assert {arguments[0] for arguments, _, _ in COMMANDS} <= {*names, "--help"}
