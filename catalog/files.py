"""Catalog files: a local file, an object (``s3://``) or an address (``https://``), gzipped or not.

A remote file is copied to a temporary file first. So it is read once, at its own pace, and a broken connection is
reported before anything was checked.
"""

from __future__ import annotations

import gzip
import io
import posixpath
import tempfile
import time
import zlib
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast
from urllib.parse import unquote, urlsplit

import fsspec

from catalog import remote
from catalog.errors import CatalogError
from catalog.local_files import NOT_TEXT
from workers.http.addresses import AddressError, one_form, visible
from workers.images.roots import EVERYWHERE, NotAFileError, OutsideRootsError, Roots
from workers.images.uris import file_of, is_remote
from workers.jobs.request import is_storable

PACKED = ".gz"
SCHEMES = frozenset({"s3", "https", "http", "file"})
#: The formats that catalogs have.
ENDINGS = frozenset({".csv", ".tsv", ".txt", ".jsonl", ".ndjson", ".parquet", ".xlsx", ".xlsm"})
CHUNK_BYTES = 1 << 20  # of an object, copied at once
MAX_UNPACKED_BYTES = 1 << 28  # of a packed file, whatever its size; of a Parquet file also a column in a row group
MAX_EXPANSION = 200  # times its size, beyond that; rows that differ in their keys alone pack to a hundredth

_GZIP = b"\x1f\x8b"


class Opened(NamedTuple):
    """An open catalog: its bytes, and the extension that gives its format."""

    file: BinaryIO
    ending: str


@dataclass(frozen=True, slots=True)
class CatalogFile:
    """A catalog's file, not opened yet."""

    place: str
    #: `place` for messages: without user, password and query, which can be secrets.
    where: str
    #: The batch's default name: the file's name without its extensions.
    name: str
    #: The extension that gives the format, in lower case: ``.csv``; empty where only the server can tell it.
    ending: str
    packed: bool
    #: What relative paths in it are relative to: a local folder or an address.
    base: str

    @contextmanager
    def open(self, roots: Roots = EVERYWHERE) -> Iterator[Opened]:
        """The unpacked bytes, for as long as the block runs.

        Raises:
            CatalogError: there is no such file, it lies outside `roots`, or it cannot be read or unpacked.
        """
        with ExitStack() as stack:
            ending, packed = self.ending, self.packed
            try:
                roots.check(self.place)
                if self.remote:
                    file = cast("BinaryIO", stack.enter_context(tempfile.TemporaryFile()))
                    told = remote.fetch(self.place, self.where, file)
                    ending = ending or told
                    packed = _is_packed(file)  # a server may have unpacked it
                else:
                    file = stack.enter_context(self._copied() if "://" in self.place else self._opened(roots))
                yield Opened(stack.enter_context(_unpacked(self.where, file)) if packed else file, ending)
            except (OutsideRootsError, NotAFileError) as error:
                raise CatalogError(f"catalog: {error}") from None
            except (gzip.BadGzipFile, EOFError, zlib.error) as error:
                raise CatalogError(f"{self.where}: is not a complete gzip file: {error}") from None
            except OSError as error:
                raise CatalogError(f"{self.where}: cannot be read: {error.strerror or error}") from None

    @property
    def remote(self) -> bool:
        """Whether it lies at an ``http(s)`` address."""
        return is_remote(self.place)

    def _opened(self, roots: Roots) -> BinaryIO:
        try:
            return roots.open(Path(self.place))
        except FileNotFoundError:
            raise CatalogError(f"{self.where}: there is no such file") from None

    def _copied(self) -> BinaryIO:
        deadline = time.monotonic() + remote.FETCH_SECONDS
        with ExitStack() as stack:
            copy = cast("BinaryIO", stack.enter_context(tempfile.TemporaryFile()))
            try:
                with fsspec.open(self.place, "rb") as file:
                    while chunk := file.read(CHUNK_BYTES):
                        copy.write(chunk)
                        if copy.tell() > remote.MAX_BYTES or time.monotonic() > deadline:
                            break
            except Exception as error:  # each file system raises its own exceptions
                raise CatalogError(f"{self.where}: {_explained(error)}") from error
            if copy.tell() > remote.MAX_BYTES or time.monotonic() > deadline:
                limits = f"{remote.MAX_BYTES:,} bytes or takes longer than {remote.FETCH_SECONDS:g} s"
                raise CatalogError(f"{self.where}: is longer than {limits}")
            copy.seek(0)
            stack.pop_all()
        return copy


def _unpacked(where: str, file: BinaryIO) -> BinaryIO:
    allowed = max(MAX_UNPACKED_BYTES, MAX_EXPANSION * file.seek(0, io.SEEK_END))
    file.seek(0)
    return cast("BinaryIO", io.BufferedReader(_Unpacked(where, file, allowed)))


class _Unpacked(io.RawIOBase):
    """What a gzip file holds, as long as it is not much more than its size: blank lines pack to a thousandth."""

    def __init__(self, where: str, file: BinaryIO, allowed: int) -> None:
        self._where, self._file = where, gzip.GzipFile(fileobj=file)
        self._left = self._allowed = allowed

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        place = self._file.seek(offset, whence)
        self._left = self._allowed - place
        return place

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        read = self._file.readinto(buffer)
        self._left -= read
        if self._left < 0:
            limit = f"{self._allowed:,} bytes ({MAX_EXPANSION} times its size, or {MAX_UNPACKED_BYTES:,})"
            raise CatalogError(f"{self._where}: would unpack to more than {limit}; unpack it first")
        return read


def _is_packed(file: BinaryIO) -> bool:
    file.seek(0)
    packed = file.read(len(_GZIP)) == _GZIP
    file.seek(0)
    return packed


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
        CatalogError: the address is of an unknown kind, or no database could keep it.
    """
    text = place_of(str(place), SCHEMES)
    if not is_storable(text):
        raise CatalogError(f"{visible(text)}: {NOT_TEXT}")
    scheme, separator, _ = text.partition("://")
    if not separator:
        path = file_of(text) or Path(text)
        return _described(str(path), text, path.name, str(path.parent))
    parts = urlsplit(text)
    where = f"{scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
    if scheme == "file":
        return catalog_file(file_of(text) or text)
    described = _described(text, where, unquote(posixpath.basename(parts.path)), posixpath.dirname(where))
    if described.remote and described.ending not in ENDINGS:
        return replace(described, ending=remote.ending_in(text), packed=False)
    return described


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
