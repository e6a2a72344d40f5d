"""The local pictures that a catalog's rows name: whether each may be used, and a stamp that changes with it."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from workers.http.addresses import advice_for
from workers.images.foreign import local_header
from workers.images.inputs import MAX_INPUT_BYTES
from workers.images.roots import OutsideRootsError, Roots
from workers.images.segments import BadPictureError
from workers.images.uris import file_of
from workers.jobs.request import is_storable

NOT_TEXT = "a folder's or file's name on its way is not UTF-8; rename it"


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A checked local file: its absolute path, a stamp that changes with the file, and what is wrong with it."""

    place: str
    stamp: str = ""
    problem: str | None = None

    @property
    def size(self) -> str:
        """Its bytes, as the stamp has them."""
        return self.stamp.partition(":")[0]


def look_at(uri: str, folder: Path, roots: Roots, *, elsewhere: bool) -> LocalFile | None:
    """Check the local file that `uri` names; None for an address that may be used.

    Args:
        uri: a path or an address.
        folder: what relative paths are relative to.
        roots: where inputs may come from.
        elsewhere: whether the catalog lies at an address. Who writes one is not to choose what this machine sends to
            a provider, so its rows may name local files only where the roots say so.
    """
    path = file_of(uri, folder)
    if path is None:
        return None if (problem := _outside(roots, uri)) is None else LocalFile(uri, problem=problem)
    if elsewhere and not roots:
        return LocalFile(uri, problem="a catalog at an address may name local files only below RECAST_INPUT_ROOTS")
    return _checked(os.path.abspath(path), uri, roots)  # noqa: PTH100 - must not follow links, which may change


def content_of(place: str) -> str:
    """A digest of a file's content, or its path where it has just gone: the worker will say so."""
    try:
        with Path(place).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return place


def _outside(roots: Roots, uri: str) -> str | None:
    """Why `uri` may not be used, where it lies outside the roots."""
    try:
        roots.check(uri)
    except OutsideRootsError as error:
        return str(error)
    return None


def _checked(place: str, uri: str, roots: Roots) -> LocalFile:
    if not is_storable(place):
        return LocalFile(os.fsencode(place).decode(errors="replace"), problem=NOT_TEXT)
    try:
        picture = local_header(Path(place), roots)
        stat = Path(place).stat()
    except BadPictureError as error:
        return LocalFile(place, problem=f"{error}{'' if os.path.lexists(place) else advice_for(uri)}")
    except OSError as error:
        return LocalFile(place, problem=f"the file cannot be read: {error.strerror or error}{advice_for(uri)}")
    problem = None
    if picture.animated:
        problem = f"this is an animated {picture.format}; use a still picture"
    elif stat.st_size > MAX_INPUT_BYTES:
        problem = f"the file has {stat.st_size:,} bytes; allowed: {MAX_INPUT_BYTES:,}"
    return LocalFile(place, f"{stat.st_size}:{stat.st_mtime_ns}", problem)
