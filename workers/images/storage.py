"""The storage of results: any fsspec file system, under keys made from their content.

A key is ``ab/cd/<sha256>.<ext>``: the digest of the file, or of what it was made from where it differs each time
(`put_first`). So the same bytes have the same key, a repeated `put` changes nothing, and a file
never changes once it is there. Nobody ever sees half a file: local files are written beside their place, flushed to
disk and moved in; object stores publish an object when its upload is complete.

All methods block; workers call them in threads.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import IO, Any, cast

import fsspec
from fsspec.implementations.local import LocalFileSystem

from workers import open_folders
from workers.http.shown_urls import shown_url
from workers.images.local_files import LocalFiles

# S3 clients still sign links in the old way by default, which newer regions refuse.
_DEFAULTS: Mapping[str, Mapping[str, Any]] = {"s3": {"config_kwargs": {"signature_version": "s3v4"}}}
MAX_LINK_SECONDS = 7 * 24 * 3600  # the longest that such a link may last

_KEY = re.compile(r"([0-9a-f]{2})/([0-9a-f]{2})/(\1\2[0-9a-f]{60})\.[a-z0-9]{1,8}")
#: What archived rows are kept under, beside the pictures: ``archive/2026-01/NAME.parquet``.
_ARCHIVE, _ARCHIVED = "archive", re.compile(r"archive/\d{4}-\d{2}/[a-z0-9-]+\.parquet")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_SUFFIX = re.compile(r"\.?([a-z0-9]{1,8})")
_FOLDER = re.compile(r"[0-9a-f]{2}")

#: The endings of pictures' keys, by media type.
SUFFIXES: Mapping[str, str] = {"image/jpeg": "jpg", "image/png": "png", "image/webp": "webp"}


class StorageError(Exception):
    """The storage cannot do what was asked; the message says what to do about it."""


class Storage:
    """One place for files, named by a URL.

    Args:
        url: a path, ``file://``, ``memory://``, ``s3://bucket/prefix`` or any other file system fsspec knows.
        options: handed to the file system, for example ``endpoint_url`` for an S3-compatible service.

    Raises:
        StorageError: the kind of storage is unknown, or its package is not installed.
    """

    def __init__(self, url: str, **options: Any) -> None:
        self._name = shown_url(url)
        protocol = url.partition("://")[0] if "://" in url else "file"
        try:
            self._fs, self._root = fsspec.url_to_fs(url, **{**_DEFAULTS.get(protocol, {}), **options})
        except ImportError as error:
            package = {"s3": "'recast-server[s3]'", "gs": "gcsfs", "gcs": "gcsfs", "az": "adlfs", "abfs": "adlfs"}.get(
                protocol
            )
            advice = f"pip install {package}" if package else str(error)
            raise StorageError(
                f"{self._name}: {protocol}:// storage needs a package that is missing: {advice}"
            ) from error
        except (ValueError, TypeError) as error:
            raise StorageError(f"{self._name}: cannot be used as storage: {error}") from error
        self._root = self._root.rstrip("/")
        #: Where the storage is a folder: written to directly, because fsspec flushes nothing to disk.
        self._local = LocalFiles(Path(self._root)) if isinstance(self._fs, LocalFileSystem) else None
        if self._local and _is_ours(Path(self._root)):
            open_folders.close(Path(self._root))

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder of this machine, and not a service that may be away for a while."""
        return self._local is not None

    def put(self, data: bytes, *, sha256: str, suffix: str) -> str:
        """Store `data` and return its key; where it is stored already, nothing is written.

        Args:
            data: the whole file.
            sha256: of `data`, 64 lower-case hexadecimal digits.
            suffix: what the key ends in, ``jpg`` or ``.jpg``.

        Raises:
            StorageError: it could not be written.
            ValueError: `sha256` or `suffix` is malformed.
        """
        key = key_of(sha256, suffix)
        path = self._path(key)
        with self._explained("write", key):
            if not self._has(path, len(data)):
                self._write(path, data)
        return key

    def put_first(self, data: bytes, *, sha256: str, suffix: str) -> bytes:
        """Store `data` under the name `sha256` unless a file has it; returns what is stored.

        For files that differ each time they are made, under the digest of what they are made from.

        Raises:
            StorageError: it could not be written.
        """
        key = key_of(sha256, suffix)
        with self._explained("write", key):
            if self._local:
                self._local.write(Path(self._path(key)), data, first=True)
            elif not self._fs.exists(self._path(key)):
                self._fs.pipe_file(self._path(key), data)
        return self.get(key)

    def find(self, key: str) -> bytes | None:
        """A whole file, or None where none is stored under `key`.

        Raises:
            StorageError: it cannot be read.
        """
        return self.get(key) if self.exists(key) else None

    def put_archive(self, key: str, data: bytes) -> None:
        """Write a file of archived rows under its own name, in place of the one there is.

        Raises:
            StorageError: it cannot be written.
        """
        with self._explained("write", key):
            self._write(self._path(key), data)

    def get(self, key: str) -> bytes:
        """Read a whole file.

        Raises:
            StorageError: it is not there or cannot be read.
        """
        path = self._path(key)
        with self._explained("read", key):
            return cast("bytes", self._fs.cat_file(path))

    @contextmanager
    def open(self, key: str) -> Iterator[IO[bytes]]:
        """Open a file for reading, for as long as the block runs. Reading from it may raise OSError.

        Raises:
            StorageError: it is not there or cannot be opened.
        """
        path = self._path(key)
        with self._explained("open", key):
            file = self._fs.open(path, "rb")
        with file:
            yield file

    def exists(self, key: str) -> bool:
        """Whether a file is stored under `key`.

        Raises:
            StorageError: the storage does not answer.
        """
        path = self._path(key)
        with self._explained("look up", key):
            return bool(self._fs.exists(path))

    def remove(self, key: str) -> bool:
        """Remove a file; False where none is stored under `key`.

        Raises:
            StorageError: it could not be removed.
        """
        path = self._path(key)
        with self._explained("remove", key):
            try:
                self._fs.rm_file(path)
            except FileNotFoundError:
                return False
        return True

    def links(self, key: str) -> int:
        """How many other names (hard links) the file has on this machine; 0 elsewhere, and where it cannot be seen."""
        if not isinstance(self._fs, LocalFileSystem):
            return 0
        try:
            return Path(self._path(key)).stat().st_nlink - 1
        except OSError:
            return 0

    def files(self) -> Iterator[tuple[str, datetime]]:
        """Every stored file's key, and when it was written; what is none of ours is passed over.

        Raises:
            StorageError: the storage does not answer.
        """
        with self._explained("list", self._root):
            folders = self._fs.ls(self._root, detail=False) if self._fs.exists(self._root) else []
        for folder in sorted(folders):
            # One folder of 256 at a time: a storage may hold millions.
            with self._explained("list", folder):
                found = self._fs.find(folder) if _FOLDER.fullmatch(folder.rpartition("/")[2]) else []
            for path in found:
                key = path.removeprefix(f"{self._root}/")
                if _KEY.fullmatch(key):
                    with self._explained("look up", key), suppress(FileNotFoundError):
                        yield key, self._fs.modified(path)

    def url(self, key: str) -> str:
        """The file's full URL in this storage, such as ``s3://bucket/ab/cd/….jpg``. It grants no access."""
        return str(self._fs.unstrip_protocol(self._path(key)))

    def signed_url(self, key: str, expires: timedelta) -> str | None:
        """An https URL with which anyone can read the file for a while, or None where the storage cannot make one.

        Raises:
            StorageError: the storage can make such URLs and failed.
        """
        path = self._path(key)
        with self._explained("sign a URL for", key):
            try:
                seconds = min(int(expires.total_seconds()), MAX_LINK_SECONDS)
                return str(self._fs.sign(path, expiration=seconds))
            except NotImplementedError:
                return None

    @property
    def can_sign(self) -> bool:
        """Whether this kind of storage makes signed URLs of its own."""
        return type(self._fs).sign is not fsspec.AbstractFileSystem.sign

    def check_writable(self) -> None:
        """Write a small file, read it back and remove it.

        Raises:
            StorageError: one of that failed.
        """
        name = f".recast-check-{secrets.token_hex(8)}"
        path, probe = f"{self._root}/{name}", secrets.token_bytes(16)
        with self._explained("write", name):
            self._write(path, probe)
        with self._explained("read back", name):
            if self._fs.cat_file(path) != probe:
                raise StorageError(f"{self._name}: the bytes read differ from those written; do not use this storage")
        with self._explained("remove", name):
            self._fs.rm_file(path)

    def _path(self, key: str) -> str:
        if not _KEY.fullmatch(key) and not _ARCHIVED.fullmatch(key):
            raise StorageError(f"{key!r} is not a key of this storage")
        return f"{self._root}/{key}"

    def _has(self, path: str, size: int) -> bool:
        if self._local:
            return self._local.has(Path(path), size)
        # The size distinguishes a complete file of ours from an incomplete one.
        return bool(self._fs.exists(path)) and self._fs.size(path) == size

    def _write(self, path: str, data: bytes) -> None:
        if self._local:
            self._local.write(Path(path), data)
        else:
            self._fs.pipe_file(path, data)

    @contextmanager
    def _explained(self, verb: str, key: str) -> Iterator[None]:
        try:
            yield
        except StorageError:
            raise
        except FileNotFoundError as error:
            raise StorageError(
                f"{self._name}: cannot {verb} {key}: it is not there; check RECAST_STORAGE_URL, and that every machine "
                "sees the same storage"
            ) from error
        except PermissionError as error:
            raise StorageError(
                f"{self._name}: cannot {verb} {key}: not permitted; give this user, or these credentials, read and "
                "write access"
            ) from error
        except Exception as error:  # every file system raises exceptions of its vendor's own making
            raise StorageError(
                f"{self._name}: cannot {verb} {key}: {type(error).__name__}: {error}; check that the storage is "
                "reachable and has room"
            ) from error


def key_of(sha256: str, suffix: str) -> str:
    """The key of a file with this digest, whose name ends in `suffix`.

    Raises:
        ValueError: `sha256` or `suffix` is malformed.
    """
    extension = _SUFFIX.fullmatch(suffix)
    if extension is None or not _SHA256.fullmatch(sha256):
        raise ValueError(f"sha256 {sha256!r} and suffix {suffix!r} do not make a valid key")
    return f"{sha256[:2]}/{sha256[2:4]}/{sha256}.{extension[1]}"


def _is_ours(root: Path) -> bool:
    """Whether a folder has pictures of ours and nothing else: a folder that has more may be meant for others, too."""
    try:
        names = [each.name for each in root.iterdir()]
    except OSError:
        return False
    return bool(names) and all(_FOLDER.fullmatch(name) or name == _ARCHIVE or name.startswith(".") for name in names)
