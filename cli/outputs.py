"""Places that a command will write to, looked at before anything is started or paid for."""

from __future__ import annotations

import os
from pathlib import Path

from catalog.errors import CatalogError


def require_file(path: Path, named_by: str) -> None:
    """Refuse a file that could not be written at the end.

    Raises:
        CatalogError: names what says so, the path, and why.
    """
    if path.is_dir():
        raise CatalogError(f"{named_by}: {path} is a folder; name a file")
    if not path.parent.is_dir():
        raise CatalogError(f"{named_by}: {path} cannot be written: {path.parent} is not a folder")
    if not os.access(path.parent, os.W_OK | os.X_OK) or (path.exists() and not os.access(path, os.W_OK)):
        raise CatalogError(f"{named_by}: {path} cannot be written: permission denied; name another place")


def require_folder(path: Path, named_by: str) -> None:
    """Refuse a folder that could not be made or written to at the end.

    Raises:
        CatalogError: names what says so, the path, and why.
    """
    there = path.absolute()
    while not there.exists() and there != there.parent:
        there = there.parent
    if not there.is_dir():
        raise CatalogError(f"{named_by}: {path} cannot be written: {there} is a file; move it, or name another place")
    if not os.access(there, os.W_OK | os.X_OK):
        raise CatalogError(f"{named_by}: {path} cannot be written: permission denied in {there}; name another place")
