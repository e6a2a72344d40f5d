from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.catalog.catalogs import picture


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the two pictures that the rows of tests name."""
    picture(tmp_path / "a.png")
    picture(tmp_path / "b.png")
    return tmp_path
