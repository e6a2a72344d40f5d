"""Rows from folders and patterns: these name the targets, and ``--source`` names the faces.

Each picture found is a row. Its key is the picture's path below the folder, or below the part of the pattern before the
wildcards. With ``--cross``, every source is combined with every target, and the source's name precedes the key.
"""

from __future__ import annotations

import glob
import itertools
import os
import posixpath
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import fsspec

from catalog.columns import Row
from catalog.errors import CatalogError, Mistake
from catalog.files import ENDINGS as CATALOGS
from catalog.files import SCHEMES as ALL_SCHEMES
from catalog.files import catalog_file, place_of
from catalog.origin import normalized
from workers.counted import counted
from workers.images.foreign import endings
from workers.images.roots import EVERYWHERE, OutsideRootsError, Roots
from workers.images.uris import is_remote

ENDINGS = frozenset({".jpg", ".jpeg", ".jfif", ".png", ".webp"}) | endings()
#: Pictures that no provider reads; a search says how many it left out.
OTHERS = (
    frozenset(
        {".heic", ".heif", ".avif", ".tif", ".tiff", ".gif", ".bmp", ".jxl", ".psd", ".jpe", ".svg"}
        | {".heics", ".heifs", ".hif", ".avifs", ".jp2", ".j2k", ".jpf", ".jpx", ".jxr", ".mpo", ".insp", ".psb"}
        | {".tga", ".ico", ".icns", ".eps", ".ai", ".exr", ".hdr", ".dds", ".xcf", ".pcx", ".qoi"}
        # What cameras write: https://exiftool.org/#supported
        | {".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dcr", ".dng", ".erf", ".fff", ".gpr", ".iiq", ".k25", ".kdc"}
        | {".mef", ".mos", ".mrw", ".nef", ".nrw", ".orf", ".pef", ".raf", ".raw", ".rw2", ".rwl", ".sr2", ".srf"}
        | {".srw", ".x3f"}
    )
    - ENDINGS
)
#: What is left out besides pictures of other kinds.
LINKED = "linked folder"
WILDCARDS = frozenset("*?[")
SCHEMES = frozenset({"s3", "file"})


@dataclass(frozen=True, slots=True)
class Found:
    """A picture: its address, and its path below the folder that was searched."""

    uri: str
    name: str


def is_search(place: str) -> bool:
    """Whether `place` names pictures to find, not a catalog to read."""
    place = place_of(place, ALL_SCHEMES)
    if is_remote(place):
        return Path(urlsplit(place).path).suffix.lower() in ENDINGS
    path = Path(place)
    if "://" not in place and path.is_dir():
        return True
    if "://" not in place and path.exists():
        return path.suffix.lower() in ENDINGS
    last = place.rstrip("/").rpartition("/")[2]
    if catalog_file(place).ending in CATALOGS and not place.endswith("/"):
        return False
    return bool(WILDCARDS & set(place)) or place.endswith("/") or Path(last).suffix.lower() in ENDINGS


def find_pictures(place: str, left_out: Counter[str], roots: Roots = EVERYWHERE) -> list[Found]:
    """The pictures in a folder, matching a pattern or at a path, in the order of their names.

    Args:
        place: where to search.
        left_out: counts the pictures of other kinds that are there, by their extension, and links to folders.
        roots: where inputs may come from.

    Raises:
        CatalogError: there are no pictures, or the place cannot be searched.
    """
    place = place_of(place, ALL_SCHEMES)
    scheme = place.partition("://")[0] if "://" in place else "file"
    if scheme not in SCHEMES:
        raise CatalogError(f"{place}: only folders and s3:// can be searched; list https:// pictures in a catalog")
    try:
        roots.check(_place(place))
    except OutsideRootsError as error:
        raise CatalogError(f"catalog: {error}") from None
    try:
        files, root = fsspec.url_to_fs(place)
        root = root.rstrip("/")
        if files.isdir(root):
            found = files.find(root)
        elif WILDCARDS & set(root) and not files.exists(root):
            root, pattern = _divided(root, files.isdir)
            found = files.glob(f"{glob.escape(root)}/{pattern}")
        else:
            found, root = ([root] if files.exists(root) else None), posixpath.dirname(root)
    except ImportError:
        raise CatalogError(f"{place}: a package for reading it is missing: pip install 'recast-server[s3]'") from None
    except Exception as error:  # each file system raises its own exceptions
        raise CatalogError(f"{place}: cannot be searched: {type(error).__name__}: {error}") from error
    if found is None:
        raise CatalogError(f"{place}: there is no such file or folder")
    seen = [path for path in sorted(found) if not _hidden(path, root)]
    pictures = _pictures_of(seen, place, left_out, local=scheme == "file")
    prefix = "" if scheme == "file" else f"{scheme}://"
    return [Found(f"{prefix}{path}", posixpath.relpath(path, root)) for path in pictures]


def _pictures_of(paths: Sequence[str], place: str, left_out: Counter[str], *, local: bool) -> list[str]:
    # A search does not follow links to folders, and a pattern finds folders, too.
    folders = {path for path in paths if os.path.isdir(path)} if local else set()  # noqa: PTH112
    others = Counter(ending for path in paths if (ending := Path(path).suffix.lower()) in OTHERS)
    if links := sum(map(os.path.islink, folders)):
        others[LINKED] = links
    left_out.update(others)
    pictures = [path for path in paths if Path(path).suffix.lower() in ENDINGS and path not in folders]
    if not pictures:
        counted = f", but {_counted(others)}" if others else ""
        raise CatalogError(f"{place}: no pictures found{counted}; supported: {', '.join(sorted(ENDINGS))}")
    return pictures


class FoundRows:
    """A swap for each target, or with `cross` for each pair of a source and a target.

    Args:
        place: a folder, pattern or path of targets.
        sources: paths, folders or patterns of faces.
        cross: whether to combine every source with every target.
        roots: where inputs may come from.

    Raises:
        CatalogError: nothing was found, or there are several sources without `cross`.
    """

    def __init__(self, place: str, sources: Sequence[str], *, cross: bool, roots: Roots = EVERYWHERE) -> None:
        self.where, self.base = place, ""
        self.place = normalized(_place(place))
        left_out: Counter[str] = Counter()
        self._targets = find_pictures(place, left_out, roots)
        self._sources = [found for source in sources for found in find_pictures(source, left_out, roots)]
        self.notes: list[str] = []
        if links := left_out.pop(LINKED, 0):
            self.notes.append(f"{place}: left out {counted(links, LINKED)}; name each in a run of its own")
        if left_out:
            self.notes.append(f"{place}: left out {_counted(left_out)}; convert them to JPEG, PNG or WebP first")
        if not self._sources:
            raise CatalogError(
                f"{place}: --source is missing; name the picture with the face to put on each picture found"
            )
        if len(self._sources) > 1 and not cross:
            raise CatalogError(f"--source: {self.counted}; add --cross to make all of them, or name one source")
        self.name = _name(place)
        self._cross = cross

    @property
    def counted(self) -> str:
        """The number of rows, in words."""
        sources, targets = len(self._sources), len(self._targets)
        if sources == 1:
            return counted(targets, "row")
        return f"{counted(sources, 'source')} x {counted(targets, 'target')} = {counted(sources * targets, 'row')}"

    def __iter__(self) -> Iterator[Row | Mistake]:
        """Yield the rows."""
        pairs = itertools.product(self._targets, self._sources)
        for number, (target, source) in enumerate(pairs, start=1):
            key = f"{source.name}+{target.name}" if self._cross else target.name
            values: dict[str, Any] = {"key": key, "kind": "swap", "source": source.uri, "target": target.uri}
            local = "://" not in target.uri and "://" not in source.uri
            yield Row(number, values, {"source": source.name, "target": target.name} if local else {})


def _counted(endings: Counter[str]) -> str:
    """Files by their extension, in words."""
    return ", ".join(f"{number:,} {ending}" for ending, number in sorted(endings.items()))


def _hidden(path: str, root: str) -> bool:
    """Whether a name below `root` begins with a dot, like the files that file managers add."""
    return any(part.startswith(".") for part in posixpath.relpath(path, root).split("/"))


def _divided(pattern: str, is_folder: Callable[[str], bool]) -> tuple[str, str]:
    """The folder that contains all matches of a pattern, and the pattern below it.

    A part that names an existing folder is not a pattern, whatever its name contains.
    """
    parts = pattern.split("/")
    fixed = 0
    while fixed < len(parts) - 1 and (not WILDCARDS & set(parts[fixed]) or is_folder("/".join(parts[: fixed + 1]))):
        fixed += 1
    return "/".join(parts[:fixed]), "/".join(parts[fixed:])


def _place(place: str) -> str:
    """The folder or picture that `place` searches: for a pattern, the folder that contains all matches."""
    place = place_of(place, ALL_SCHEMES)
    if "://" in place:
        scheme, _, path = place.partition("://")
        return f"{scheme}://{_divided(path, lambda _: False)[0]}" if WILDCARDS & set(path) else place.rstrip("/")
    if not WILDCARDS & set(place) or Path(place).exists():
        return place
    absolute = str(Path(place).absolute())
    return _divided(absolute, lambda part: Path(part).is_dir())[0] or "/"


def _name(place: str) -> str:
    """The default batch name: the last part of `place` without wildcards."""
    fixed = _place(place)
    last = posixpath.basename(fixed.partition("://")[2] if "://" in fixed else str(Path(fixed or ".").resolve()))
    is_folder = "://" not in fixed and Path(fixed).is_dir()
    return Path(last).stem if Path(last).suffix.lower() in ENDINGS and not is_folder else last or "pictures"
