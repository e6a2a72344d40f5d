"""Destinations of exported pictures: a local folder, or a prefix in object storage."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

import fsspec

from catalog.errors import CatalogError
from reports.reviewed_copies import ReviewedCopy
from workers import private
from workers.images.results import SigningError
from workers.images.storage import Storage, StorageError
from workers.open_folders import READABLE

if TYPE_CHECKING:
    from workers.images.signing import Signer

FICLONE = 0x40049409  # the call for it, of <linux/fs.h>; file systems without it, and macOS, refuse it
NOTES = ".recast-export.json"  # next to the pictures in object storage: the digest of each
COPIES_AT_ONCE = 16  # to object storage, where a copy mostly waits for the network


@dataclass(frozen=True, slots=True)
class Picture:
    """A result and its name below the folder."""

    name: str
    key: str
    sha256: str
    size: int
    #: The copy that goes there in place of the stored file, and what signs it.
    copy: tuple[ReviewedCopy, Signer] | None = None


class Folder:
    """A local folder. Pictures of local storage are linked into it if they stay their owner's alone there, too."""

    def __init__(self, folder: Path, storage: Storage) -> None:
        self._folder = folder
        self._storage = storage
        self._links = private.persons_umask() & READABLE == READABLE

    def prepare(self) -> None:
        """Create the folder."""
        with private.persons():
            self._folder.mkdir(parents=True, exist_ok=True)

    def put(self, pictures: Sequence[Picture]) -> int:
        """Put the missing pictures there, each in one step; returns their number."""
        with private.persons():
            return sum(self._put(picture) for picture in pictures)

    def _put(self, picture: Picture) -> bool:
        target = self._folder / picture.name
        if picture.copy:
            return self._sign(target, *picture.copy)
        url = self._storage.url(picture.key)
        source = Path(url.removeprefix("file://")) if url.startswith("file://") else None
        if _is_there(target, source, picture):
            return False
        with _placed(target) as partial:
            if source is None or not self._links or not _linked(source, partial):
                with self._storage.open(picture.key) as file, partial.open("wb") as copy:
                    if source is None or not _shared(source, copy):
                        shutil.copyfileobj(file, copy)
        return True

    def _sign(self, target: Path, copy: ReviewedCopy, signer: Signer) -> bool:
        if target.is_file() and not target.is_symlink() and copy.is_in(target.read_bytes()):
            return False
        with _placed(target) as partial:
            partial.write_bytes(copy.made(self._storage, signer))
        return True


class Objects:
    """A prefix in object storage. A file next to the pictures has their digests: equal sizes do not prove equality."""

    def __init__(self, place: str, storage: Storage) -> None:
        self._place = place
        self._storage = storage
        self._digests: dict[str, str] = {}
        self._sizes: dict[str, int] = {}
        try:
            self._files, root = fsspec.url_to_fs(place)
        except ImportError:
            raise CatalogError(f"{place}: a package is missing: pip install 'recast-server[s3]'") from None
        except ValueError as error:
            raise CatalogError(f"{place}: cannot be written: {error}") from None
        self._root = root.rstrip("/")

    def prepare(self) -> None:
        """List what is there, in one pass."""
        with self._explained():
            self._files.invalidate_cache()
            found = self._files.find(self._root, detail=True)
            self._sizes = {path[len(self._root) + 1 :]: int(info["size"]) for path, info in found.items()}
            if NOTES in self._sizes:
                self._digests = json.loads(self._files.cat_file(f"{self._root}/{NOTES}"))

    def put(self, pictures: Sequence[Picture]) -> int:
        """Put the missing pictures there in parallel, and record their digests; returns their number."""
        missing = [each for each in pictures if not self._has(each)]
        if missing:
            with self._explained(), ThreadPoolExecutor(COPIES_AT_ONCE) as threads:
                sizes = list(threads.map(self._copy, missing))
                self._digests |= {each.name: _noted(each, size) for each, size in zip(missing, sizes, strict=True)}
                self._files.pipe_file(f"{self._root}/{NOTES}", json.dumps(self._digests).encode())
        return len(missing)

    def _has(self, picture: Picture) -> bool:
        size = self._sizes.get(picture.name)
        if size is None or not (picture.copy or size == picture.size):
            return False
        return self._digests.get(picture.name) == _noted(picture, size)

    def _copy(self, picture: Picture) -> int:
        if picture.copy:
            copy, signer = picture.copy
            data = copy.made(self._storage, signer)
        else:
            data = self._storage.get(picture.key)
        self._files.pipe_file(f"{self._root}/{picture.name}", data)
        return len(data)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (StorageError, SigningError):
            raise
        except Exception as error:  # each file system raises its vendor's own exceptions
            raise CatalogError(f"{self._place}: cannot be used: {type(error).__name__}: {error}") from error


def _noted(picture: Picture, size: int) -> str:
    """What is noted of a picture: its digest, which a copy does not have before it is made; its size stands for it."""
    return f"{picture.copy[0].digest} {size}" if picture.copy else picture.sha256


@contextmanager
def _placed(target: Path) -> Iterator[Path]:
    """A file beside `target`, which takes its name at the end of the block."""
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        yield partial
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def _is_there(target: Path, source: Path | None, picture: Picture) -> bool:
    """Whether `target` already is the picture, linked or copied."""
    if target.is_symlink() or not target.exists():
        return False
    if source is not None and source.exists() and target.samefile(source):
        return True
    if target.stat().st_size != picture.size:
        return False
    with target.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == picture.sha256


def _linked(source: Path, target: Path) -> bool:
    """Whether a hard link was created; not possible across file systems, or where links are not supported."""
    target.unlink(missing_ok=True)
    try:
        target.hardlink_to(source)
    except OSError:
        return False
    # It is the stored file itself: read-only, so that people edit a copy.
    target.chmod(0o400)
    return True


def _shared(source: Path, copy: IO[bytes]) -> bool:
    """Whether the copy got the blocks of the stored file, so that it takes no space; some file systems can do that."""
    try:
        with source.open("rb") as file:
            fcntl.ioctl(copy.fileno(), FICLONE, file.fileno())
    except OSError:
        return False
    return True
