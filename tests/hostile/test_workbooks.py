"""Hostile workbooks: refused, or read for what they are, in little time and memory."""

from __future__ import annotations

import gc
import time
from pathlib import Path

import pytest

from catalog.errors import CatalogError
from catalog.rows import open_rows
from tests.hostile import workbooks
from tests.hostile.cases import Case, Fate
from tests.memory import taken
from tests.words import unsaid

CPU_SECONDS = 4.0
MEMORY_BYTES = 64 << 20


@pytest.mark.parametrize("case", workbooks.FILES, ids=lambda case: case.name)
def test_a_hostile_workbook_takes_little_time_and_memory(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "in" / "catalog.xlsx"
    path.parent.mkdir()
    path.write_bytes(case.make())
    monkeypatch.chdir(tmp_path)
    began = time.process_time()
    with taken() as memory:
        if case.fate is Fate.REFUSED:
            with pytest.raises(CatalogError) as caught:
                list(open_rows(path))
            assert unsaid(str(caught.value), "catalog.xlsx", *case.facts) == []
        else:
            (row,) = open_rows(path)
            assert row.line == 2
    assert time.process_time() - began < CPU_SECONDS
    assert memory.bytes < MEMORY_BYTES
    assert sorted(tmp_path.rglob("*")) == [path.parent, path]
    gc.collect()  # a file that was left open is told now, as this case's
