"""Files of a storage on this machine: written beside their place, flushed to disk, and moved in.

The row that names a file is committed after `write` returns, so the file's name has to be as durable as its bytes, and
so have the folders on its way.
"""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path

from workers import private


class LocalFiles:
    """The files below one folder.

    Args:
        root: the folder; it is made when the first file is.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        # Folders whose names are on disk: a storage has up to 65,792, and each name is flushed once.
        self._durable: set[Path] = set()

    def has(self, path: Path, size: int) -> bool:
        """Whether a whole file is there: one of another size is none of ours, or was cut short."""
        try:
            return path.stat().st_size == size
        except (FileNotFoundError, NotADirectoryError):
            return False

    def write(self, path: Path, data: bytes, *, first: bool = False) -> None:
        """Write a whole file, or none; what readers see is never a part of it. With `first`, a file there stays.

        Raises:
            OSError: it could not be written.
        """
        try:
            self._write(path, data, first=first)
        except FileNotFoundError:
            # Folders were removed since they were flushed.
            self._durable.clear()
            self._write(path, data, first=first)

    def _write(self, path: Path, data: bytes, *, first: bool) -> None:
        known = path.parent in self._durable
        if not known:
            private.folder(path.parent)
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        try:
            with open(temporary, "xb", opener=private.opener) as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            if first:
                _keep_first(temporary, path)
            else:
                temporary.replace(path)
        except BaseException:
            with suppress(OSError):
                temporary.unlink()
            raise
        _flush(path.parent)
        if not known:
            self._flush_above(path.parent)

    def _flush_above(self, folder: Path) -> None:
        """Flush the names of a folder and of those above it, each once."""
        made = []
        while folder != self._root and folder not in self._durable:
            _flush(folder.parent)
            made.append(folder)
            folder = folder.parent
        self._durable.update(made)


def _keep_first(temporary: Path, path: Path) -> None:
    """Give the file its name, unless another one has it."""
    with suppress(FileExistsError):
        os.link(temporary, path)
    temporary.unlink()


def _flush(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
