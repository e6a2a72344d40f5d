"""The two portraits every test of the face engine works on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

import faces

PORTRAITS = Path(__file__).parents[3] / "examples" / "portraits"


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    """Test processes share the cores; on pictures of this size OpenCV's threads take longer to wake than to work."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    yield
    cv2.setNumThreads(before)


@pytest.fixture(scope="session")
def collins() -> faces.Picture:
    """Return Eileen Collins: 512 x 512, a small face, smiling."""
    return faces.decode((PORTRAITS / "astronaut.png").read_bytes())


@pytest.fixture(scope="session")
def hopper() -> faces.Picture:
    """Return Grace Hopper: 512 x 600, a face twice as large, with glasses and a cap."""
    return faces.decode((PORTRAITS / "grace_hopper.jpg").read_bytes())


@pytest.fixture(scope="session")
def both(collins: faces.Picture, hopper: faces.Picture) -> faces.Picture:
    """Return the two side by side: Collins on the left, Hopper on the right, 1024 x 512."""
    return np.hstack([collins, hopper[:512]])


@pytest.fixture(scope="session")
def faceless(collins: faces.Picture) -> faces.Picture:
    """Return a photograph without a face: the space suit."""
    return collins[256:]
