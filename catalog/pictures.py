"""The pictures that a catalog's cells name, each looked at once however many rows name it."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from catalog.cells import text_of
from catalog.local_files import LocalFile, content_of, look_at
from models.jobs import ROLES
from recast.errors import InvalidJobError
from workers.http.addresses import advice_for, is_schemeless, visible
from workers.images.roots import Roots
from workers.images.uris import is_remote
from workers.jobs.routing import picture_uri

CACHED_FILES = 100_000  # of a catalog, each of which is opened once; one takes about 500 bytes
CACHED_CELLS = 10_000  # that name pictures, as many rows can name the same; one takes about 300 bytes


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture that a cell names."""

    #: Its path or address in its one form.
    uri: str
    #: The scheme of an address; empty for a path.
    scheme: str
    #: What is known of the file; None for an address that may be used.
    file: LocalFile | None
    #: Its address as earlier versions wrote it, where that is another one.
    former: str | None = None


class Pictures:
    """The pictures of one catalog.

    Args:
        base: what relative paths are relative to: the catalog's folder or its address.
        roots: where inputs may come from.
    """

    def __init__(self, base: str | Path, roots: Roots) -> None:
        self._address = str(base) if "://" in str(base) else None
        self._folder = Path() if self._address else Path(base)
        self._scheme, _, place = (self._address or "").partition("://")
        self._server, _, self._server_folder = place.partition("/")
        self._roots = roots
        # What these raise is not kept.
        self._picture = lru_cache(CACHED_CELLS)(self._look)
        self._content = lru_cache(CACHED_FILES)(content_of)
        self.file = lru_cache(CACHED_FILES)(self._file)

    def of(self, values: Mapping[str, Any]) -> dict[str, Picture]:
        """A row's pictures by role.

        Raises:
            InvalidJobError: a cell names none.
        """
        found = {}
        for role in ROLES:
            cell = values.get(role)
            # Only texts can be kept by what they are.
            picture = (self._picture if isinstance(cell, str) else self._look)(role, cell) if cell != "" else None
            if picture is not None:
                found[role] = picture
        return found

    def is_one_content(self, one: LocalFile, other: LocalFile) -> bool:
        """Whether two files are the same file, or have the same content."""
        # Only files of one size are read.
        return one.place == other.place or (
            one.size == other.size and self._content(one.place) == self._content(other.place)
        )

    def _look(self, role: str, cell: Any) -> Picture | None:
        text = text_of(role, cell)
        if text is None:
            return None
        uri = self.address(role, text)
        scheme, separator, _ = uri.partition("://")
        # An address is quickly looked at, and seldom named twice.
        file = (self._file if is_remote(uri) else self.file)(uri)
        return Picture(uri, scheme if separator else "", file, self._with_two_slashes(text, uri))

    def address(self, role: str, text: str) -> str:
        """A picture's path or address; in a catalog with an address, relative paths are relative to that address.

        Raises:
            InvalidJobError: it can be neither.
        """
        uri = picture_uri(role, text)
        if not self._is_relative(uri):
            return uri
        if is_schemeless(uri):
            raise InvalidJobError(role, f"{visible(uri)} has no scheme{advice_for(uri)}")
        place = posixpath.normpath(posixpath.join("/", self._server_folder, uri))
        return picture_uri(role, f"{self._scheme}://{self._server}{place}")

    def _is_relative(self, uri: str) -> bool:
        """Whether it is relative to the catalog's address."""
        return self._address is not None and "://" not in uri and (not uri.startswith("/") or uri.startswith("//"))

    def _with_two_slashes(self, text: str, uri: str) -> str | None:
        """How earlier versions wrote the address of a picture beside a catalog in the root of a server or bucket."""
        if self._server_folder or not self._is_relative(text):
            return None
        scheme, _, place = uri.partition("://")
        server, _, path = place.partition("/")
        return f"{scheme}://{server}//{path}"

    def _file(self, uri: str) -> LocalFile | None:
        """What is known of the file that a path or an address names; None for an address that may be used."""
        file = look_at(uri, self._folder, self._roots, elsewhere=self._address is not None)
        return replace(file, problem=f"{visible(uri)}: {file.problem}") if file and file.problem else file
