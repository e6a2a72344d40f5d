"""Input pictures: given to the provider by link, as bytes, or uploaded once per content.

A picture is decoded in full before it is paid for. Then it is brought into the form that the provider takes, and, where
the account asks for it, must show a face. A local file that is offered by link is read once for as long as its size and
modification time stay the same.
"""

from __future__ import annotations

import errno
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cached_property
from pathlib import Path

import fsspec

from providers.spec import Fit, Input, Need
from workers.cache import Cache
from workers.config.settings import Settings
from workers.http.addresses import advice_for, visible
from workers.images.face_check import FaceCheck
from workers.images.fit import fitted
from workers.images.foreign import converted
from workers.images.headers import Picture, inspect
from workers.images.roots import NotAFileError, OutsideRootsError, Roots
from workers.images.segments import BadPictureError
from workers.images.signed_urls import MediaSigner
from workers.images.storage import SUFFIXES, Storage, StorageError, key_of
from workers.images.uris import file_of
from workers.images.verify import verify

MAX_INPUT_BYTES = 64 * 1024 * 1024
NOTED_SECONDS = 3600  # between two notes that a picture is in use; `prune` leaves it alone for much longer
REMEMBERED = 4096  # pictures whose digest and link are kept; an entry takes about 1 KiB

#: Errors of this machine or of a network file system, which say nothing of the file.
_PASSING = frozenset(
    {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EHOSTDOWN, errno.EAGAIN}
)


class BadInputError(Exception):
    """A picture that a job names cannot be used; the message names the field, the picture and what is wrong."""


class NoFaceInputError(BadInputError):
    """A picture that a job names shows no face, and the account wants one."""


class InputTroubleError(Exception):
    """A picture could not be read just now; it may be there later."""


class OwnStorageError(InputTroubleError):
    """Our own storage did not take a picture that is to be linked: no fault of the picture."""


@dataclass(frozen=True, slots=True)
class LoadedImage:
    """A picture in memory."""

    data: bytes
    sha256: str
    picture: Picture

    @property
    def known(self) -> Input:
        """What is known of it, for an order."""
        picture = self.picture
        return Input(self.sha256, picture.media_type, picture.width, picture.height)


@dataclass(frozen=True, slots=True)
class ImageSpec:
    """The form that a picture must have before it is given to a provider."""

    need: Need
    fit: Fit = Fit.REJECT
    face: bool = False
    #: Whether it is made upright and 8-bit sRGB for a provider that says nothing of that.
    plain: bool = False


class Inputs:
    """Reads local and object-storage pictures and offers them to providers; safe to use from many threads."""

    def __init__(self, settings: Settings, storage: Storage) -> None:
        self._settings = settings
        self._storage = storage
        self._roots = Roots.of(settings)
        # Half its life is left for the provider, which may fetch the picture long after it took the job.
        self._links: Cache[tuple[object, ...], Input] = Cache(REMEMBERED, settings.media_seconds / 2)
        self._noted: Cache[tuple[str, str], bool] = Cache(REMEMBERED, NOTED_SECONDS)
        self._faces = FaceCheck()

    @cached_property
    def _signer(self) -> MediaSigner:
        return MediaSigner(self._settings)

    def link(self, role: str, uri: str, spec: ImageSpec | None = None) -> Input:
        """A picture of ours as an expiring URL, made ready as `ready` does.

        Raises:
            BadInputError: there is no usable picture.
            InputTroubleError: it could not be read, or the storage does not answer.
        """

        def prepared() -> Input:
            loaded = self.read(role, uri)
            return self.offer(loaded if spec is None else self.ready(role, uri, loaded, spec))

        remembered = (*self._identity(role, uri), spec)
        made = self._links.get(remembered)
        if made is not None and self._is_stored(made):
            return made
        if made is not None:
            # The file was removed, with the row that named it: a provider would be paid for a link that leads nowhere.
            self._noted.drop((uri, str(made.sha256)))
        return self._links.put(remembered, prepared())

    def offer(self, loaded: LoadedImage) -> Input:
        """Put a picture into the storage and return it as an expiring URL.

        Raises:
            OwnStorageError: the storage does not answer.
        """
        try:
            key = self._storage.put(loaded.data, sha256=loaded.sha256, suffix=SUFFIXES[loaded.picture.media_type])
            url = self._storage.signed_url(key, timedelta(seconds=self._settings.media_seconds))
        except StorageError as error:
            raise OwnStorageError(str(error)) from error
        return replace(loaded.known, url=url or self._signer.link(key, self._settings.media_seconds))

    def ready(self, role: str, uri: str, loaded: LoadedImage, spec: ImageSpec) -> LoadedImage:
        """A picture as `spec` has it: `loaded` itself where it is like that already.

        Raises:
            BadInputError: it cannot be brought into that form.
            NoFaceInputError: it shows no face, and should.
        """
        try:
            data = fitted(loaded.data, loaded.picture, spec.need, spec.fit, plain=spec.plain)
        except BadPictureError as error:
            raise BadInputError(f"{role}: {uri!r} cannot be used: {error}") from error
        made = loaded if data is loaded.data else load_image(role, uri, data)
        if spec.face and not self._faces.shows_face(made.data, made.sha256):
            raise NoFaceInputError(f"{role}: {uri!r} shows no face, and this account requires one (check_face)")
        return made

    def to_note(self, uri: str, made: Input) -> tuple[str, str, str | None] | None:
        """The row of `models.inputs` for this picture, which a provider received; None if written recently."""
        if not made.sha256 or (uri, made.sha256) in self._noted:
            return None
        self._noted.put((uri, made.sha256), value=True)
        return uri, made.sha256, key_of(made.sha256, SUFFIXES[made.media_type]) if made.url else None

    def read(self, role: str, uri: str) -> LoadedImage:
        """A picture from this machine or object storage, decoded in full; errors as in `link`."""
        return load_image(role, uri, self.read_bytes(role, uri))

    def read_bytes(self, role: str, uri: str) -> bytes:
        """The file of a picture, whatever it holds; errors as in `link`."""
        path = file_of(uri)
        if path is not None:
            return self._read_file(role, path)
        self._check(role, uri)
        return _read_object(role, uri)

    def _is_stored(self, made: Input) -> bool:
        try:
            return self._storage.exists(key_of(str(made.sha256), SUFFIXES[str(made.media_type)]))
        except StorageError as error:
            raise OwnStorageError(str(error)) from error

    def _identity(self, role: str, uri: str) -> tuple[str, object, object]:
        self._check(role, uri)
        path = file_of(uri)
        if path is None:
            return (uri, *_object_version(role, uri))
        try:
            status = path.stat()
        except OSError as error:
            raise _unread(role, uri, error) from error
        return (uri, status.st_size, status.st_mtime_ns)

    def _check(self, role: str, uri: str) -> None:
        try:
            self._roots.check(uri)
        except OutsideRootsError as error:
            raise BadInputError(f"{role}: {error}") from None

    def _read_file(self, role: str, path: Path) -> bytes:
        try:
            with self._roots.open(path) as file:
                data = file.read(MAX_INPUT_BYTES + 1)
        except (OutsideRootsError, NotAFileError) as error:
            raise BadInputError(f"{role}: {error}") from error
        except OSError as error:
            raise _unread(role, str(path), error) from error
        except ValueError as error:
            raise BadInputError(f"{role}: {str(path)!r} is not a valid path: {error}") from error
        return _small_enough(role, str(path), data)


def load_image(role: str, uri: str, data: bytes) -> LoadedImage:
    """Decode a picture in full and digest it; a HEIC or AVIF is a JPEG from here on.

    Raises:
        BadInputError: it is not a picture that providers accept.
    """
    try:
        data = converted(data)
        if inspect(data).animated:
            raise BadInputError(f"{role}: {uri!r} cannot be used: it is animated")
        picture = verify(data)
    except BadPictureError as error:
        raise BadInputError(f"{role}: {uri!r} cannot be used: {error}") from error
    return LoadedImage(data, hashlib.sha256(data).hexdigest(), picture)


def _unread(role: str, place: str, error: OSError) -> BadInputError | InputTroubleError:
    kind = InputTroubleError if error.errno in _PASSING else BadInputError
    return kind(f"{role}: {visible(place)} cannot be read: {error.strerror}{advice_for(place)}")


def _small_enough(role: str, place: str, data: bytes) -> bytes:
    if len(data) > MAX_INPUT_BYTES:
        raise BadInputError(f"{role}: {place!r} is larger than {MAX_INPUT_BYTES >> 20} MiB")
    return data


def _object_version(role: str, uri: str) -> tuple[object, object]:
    """What changes when an object is written anew: its size, and its tag or time."""
    with _explained(role, uri):
        files, path = fsspec.url_to_fs(uri)
        info = files.info(path)
    return info.get("size"), info.get("ETag") or str(info.get("LastModified") or info.get("created"))


def _read_object(role: str, uri: str) -> bytes:
    with _explained(role, uri), fsspec.open(uri, "rb") as file:
        data: bytes = file.read(MAX_INPUT_BYTES + 1)
    return _small_enough(role, uri, data)


@contextmanager
def _explained(role: str, uri: str) -> Iterator[None]:
    """Say of an object that cannot be read whether the row is wrong or the storage is in trouble."""
    try:
        yield
    except FileNotFoundError as error:
        raise BadInputError(f"{role}: {uri!r} does not exist") from error
    except Exception as error:  # every file system raises exceptions of its vendor's own making
        raise InputTroubleError(f"{role}: {uri!r} cannot be read: {type(error).__name__}: {error}") from error
