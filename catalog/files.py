"""Catalog files: a local file, an object (``s3://``) or an address (``https://``), gzipped or not.

A remote file is copied to a temporary file first. So it is read once, at its own pace, and a broken connection is
reported before anything was checked.
"""

from __future__ import annotations

import gzip
import posixpath
import shutil
import tempfile
import zlib
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast
from urllib.parse import unquote, urlsplit

import fsspec

from catalog.errors import CatalogError
from workers.http.addresses import AddressError, one_form

PACKED = ".gz"
SCHEMES = frozenset({"s3", "https", "http", "file"})


@dataclass(frozen=True, slots=True)
class CatalogFile:
    """A catalog's file, not opened yet."""

    place: str
    #: `place` for messages: without user, password and query, which can be secrets.
    where: str
    #: The batch's default name: the file's name without its extensions.
    name: str
    #: The extension that gives the format, in lower case: ``.csv``.
    ending: str
    packed: bool
    #: What relative paths in it are relative to: a local folder or an address.
    base: str

    @contextmanager
    def open(self) -> Iterator[BinaryIO]:
        """The unpacked bytes, for as long as the block runs.

        Raises:
            CatalogError: there is no such file, or it cannot be read or unpacked.
        """
        with ExitStack() as stack:
            file = stack.enter_context(self._fetched() if "://" in self.place else self._opened())
            try:
                yield cast("BinaryIO", stack.enter_context(gzip.open(file))) if self.packed else file
            except (gzip.BadGzipFile, EOFError, zlib.error) as error:
                raise CatalogError(f"{self.where}: is not a complete gzip file: {error}") from None
            except OSError as error:
                raise CatalogError(f"{self.where}: cannot be read: {error.strerror or error}") from None

    def _opened(self) -> BinaryIO:
        try:
            return Path(self.place).open("rb")
        except FileNotFoundError:
            raise CatalogError(f"{self.where}: there is no such file") from None
        except OSError as error:
            raise CatalogError(f"{self.where}: cannot be read: {error.strerror or error}") from None

    def _fetched(self) -> BinaryIO:
        with ExitStack() as stack:
            copy = cast("BinaryIO", stack.enter_context(tempfile.TemporaryFile()))
            try:
                with fsspec.open(self.place, "rb") as file:
                    shutil.copyfileobj(file, copy)
            except Exception as error:  # each file system raises its own exceptions
                raise CatalogError(f"{self.where}: {_explained(error)}") from error
            copy.seek(0)
            stack.pop_all()
        return copy


def place_of(text: str, schemes: Collection[str]) -> str:
    """A path as it stands, or an address in its one form.

    Raises:
        CatalogError: the address cannot be used.
    """
    try:
        found = one_form(text, schemes)
    except AddressError as error:
        raise CatalogError(f"catalog: {error}") from None
    return found if "://" in found else text


def catalog_file(place: str | Path) -> CatalogFile:
    """The file that `place` names: a path or an address.

    Raises:
        CatalogError: the address is of an unknown kind.
    """
    text = place_of(str(place), SCHEMES)
    scheme, separator, _ = text.partition("://")
    if not separator:
        path = Path(text)
        return _described(text, text, path.name, str(path.parent))
    parts = urlsplit(text)
    where = f"{scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
    if scheme == "file":
        return catalog_file(Path(unquote(parts.path)))
    return _described(text, where, unquote(posixpath.basename(parts.path)), posixpath.dirname(where))


def _described(place: str, where: str, file_name: str, base: str) -> CatalogFile:
    name = Path(file_name)
    packed = name.suffix.lower() == PACKED
    if packed:
        name = name.with_suffix("")
    return CatalogFile(place, where, name.stem, name.suffix.lower(), packed, base)


def _explained(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "there is no such file"
    if isinstance(error, PermissionError):
        return "the credentials do not permit reading it"
    if isinstance(error, ImportError):
        return "a package for reading it is missing: pip install 'recast-server[s3]'"
    return f"cannot be fetched: {type(error).__name__}: {error}"
