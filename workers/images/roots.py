"""The roots of inputs (`RECAST_INPUT_ROOTS`): folders and `s3://` prefixes that pictures and catalogs may come from.

A file is judged by what is opened, and not by its name: links are resolved, and the file is then opened from its root
down, part by part, without following another link. So nothing that changes between the check and the opening leads
out of a root.
"""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from workers.config.settings import Settings
from workers.http.addresses import visible
from workers.images.uris import is_remote, local_path

_STEP = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Opening a pipe would block.
_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC


class OutsideRootsError(Exception):
    """A picture or a catalog lies outside the folders and prefixes that inputs may come from."""

    def __init__(self, place: str) -> None:
        super().__init__(place)
        self.place = place

    def __str__(self) -> str:
        return (
            f"{visible(self.place)} lies outside RECAST_INPUT_ROOTS, the only places that inputs may come from; "
            "move it there, or add its folder or s3:// prefix to that setting"
        )


class NotAFileError(Exception):
    """What a path names cannot be read as a file; `kind` is what it is."""

    def __init__(self, path: Path, mode: int) -> None:
        super().__init__(path, mode)
        self.path = path
        self.kind = "folder" if stat.S_ISDIR(mode) else "pipe" if stat.S_ISFIFO(mode) else "device or socket"

    def __str__(self) -> str:
        return f"{visible(str(self.path))} is a {self.kind}, not a regular file"


@dataclass(frozen=True, slots=True)
class Roots:
    """Where inputs may come from; without folders and prefixes, from everywhere."""

    folders: tuple[str, ...] = ()
    #: ``s3://BUCKET/PREFIX``, without a slash at the end.
    prefixes: tuple[str, ...] = ()

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The roots that the settings name; our own pictures are then inputs too, as jobs continue results."""
        if not settings.input_roots:
            return cls()
        return cls.named([*settings.input_roots, settings.storage])

    @classmethod
    def named(cls, places: Iterable[str]) -> Self:
        """The roots that `places` name: folders, whose links are resolved, and ``s3://`` prefixes."""
        places = list(places)
        folders = [str(path) for place in places if (path := local_path(place)) is not None]
        prefixes = [place.rstrip("/") for place in places if local_path(place) is None]
        return cls(tuple(map(os.path.realpath, folders)), tuple(prefixes))

    def __bool__(self) -> bool:
        return bool(self.folders or self.prefixes)

    def check(self, place: str) -> None:
        """Refuse a path or an ``s3://`` address outside; ``http(s)`` addresses are the business of others.

        Raises:
            OutsideRootsError: it lies outside.
        """
        if not self or is_remote(place):
            return
        path = local_path(place)
        if path is not None:
            self._divided(path)
        # A storage may resolve such parts, and lead out of the prefix.
        elif ".." in place.split("/") or not any(f"{place}/".startswith(f"{prefix}/") for prefix in self.prefixes):
            raise OutsideRootsError(place)

    def open(self, path: Path) -> io.BufferedReader:
        """A regular file, opened.

        Raises:
            OutsideRootsError: it lies outside.
            NotAFileError: it is a folder, a pipe or a device.
            OSError, ValueError: it cannot be opened, or is not a path.
        """
        descriptor = os.open(path, _READ) if not self else self._descend(*self._divided(path))
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            os.close(descriptor)
            raise NotAFileError(path, mode)
        return io.BufferedReader(io.FileIO(descriptor))

    def _divided(self, path: Path) -> tuple[str, str]:
        """The root that contains a file whose links are resolved, and the file's path below it."""
        real = os.path.realpath(path)
        for root in self.folders:
            if os.path.commonpath([root, real]) == root:
                return root, os.path.relpath(real, root)
        raise OutsideRootsError(str(path))

    @staticmethod
    def _descend(root: str, below: str) -> int:
        *folders, name = Path(below).parts
        descriptor = os.open(root, _STEP)
        try:
            for folder in folders:
                further = os.open(folder, _STEP, dir_fd=descriptor)
                os.close(descriptor)
                descriptor = further
            return os.open(name, _READ | os.O_NOFOLLOW, dir_fd=descriptor)
        finally:
            os.close(descriptor)


EVERYWHERE = Roots()
