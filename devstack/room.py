"""The room that is left on the disk of a home: with none, servers wait or end, and their logs say nothing any more."""

from __future__ import annotations

import shutil
from pathlib import Path

LEAST_BYTES = 1 << 20  # free on a disk; with less, no server and no log can write


def no_room(folder: Path) -> str | None:
    """What is said where the disk of `folder` is full; None where it is not."""
    if shutil.disk_usage(folder).free >= LEAST_BYTES:
        return None
    return f"There is no room on the disk of {folder}: make room, then run this again."
