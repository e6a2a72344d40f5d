"""What is stored of a provider's picture, and how that says what made it.

A picture with Content Credentials stays as its provider made it, byte for byte: a mark would make them invalid. Where
we sign, credentials of our own, which have the provider's as their parent, take their place.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import NamedTuple, Self

from models.results import Provenance
from workers.images.credentials import credentials_of, without_credentials
from workers.images.headers import Picture
from workers.images.originals import Mark, mark_of
from workers.images.provenance import SOURCE_TYPES, credentials_elsewhere, marked
from workers.images.verify import verify


class SigningError(Exception):
    """A picture could not be signed now; the message says why."""


class File(NamedTuple):
    """A file to be stored: its bytes, and their digest."""

    data: bytes
    sha256: str
    #: The digest that its key has, if it is another one.
    name: str | None = None

    @classmethod
    def of(cls, data: bytes) -> Self:
        """A file with its digest."""
        return cls(data, hashlib.sha256(data).hexdigest())


@dataclass(frozen=True, slots=True)
class Made:
    """A picture that was checked, and the file that is made of it; `file` is `original` where nothing is changed."""

    picture: Picture
    original: File
    file: File
    #: Where in `file` what we put in lies, if the rest of it is the original.
    mark: Mark | None = None
    provenance: Provenance | None = None
    #: The digital source type that `file` states, if it is known.
    source_type: str | None = None
    #: Whether the original has credentials that verifiers can read.
    has_credentials: bool = False

    @property
    def parent(self) -> bytes | None:
        """What the credentials of a signed file name as its parent; None where nothing was before the picture."""
        edits = self.has_credentials or self.source_type == SOURCE_TYPES["swap"]
        return self.original.data if edits else None

    def signed(self, data: bytes, name: str) -> Self:
        """The same with `data` as its file, which has credentials of ours and is stored under `name`."""
        return replace(
            self,
            file=File.of(data)._replace(name=name),
            mark=mark_of(self.original.data, data),
            provenance=Provenance.SIGNED,
        )


def made_of(data: bytes, kind: str, *, mark: bool, signs: bool = False) -> Made:
    """A provider's picture, checked, and what is stored of it.

    Args:
        data: the provider's file.
        kind: of the job.
        mark: whether the file shall say what made it.
        signs: whether it will be signed: the provider's credentials are then left out.

    Raises:
        BadPictureError: it cannot be used as a picture.
    """
    picture = verify(data)
    original = File.of(data)
    credentials = credentials_of(data, picture.media_type)
    if credentials is not None and not credentials.damaged and not signs:
        return Made(picture, original, original, None, Provenance.CREDENTIALS, credentials.source_type)
    if credentials is None and not signs and credentials_elsewhere(data, picture.media_type):
        return Made(picture, original, original, None, Provenance.CREDENTIALS)
    if not mark:
        return Made(picture, original, original)
    bare = data if credentials is None else without_credentials(data, picture.media_type, credentials)
    ours = File.of(marked(bare, picture.media_type, SOURCE_TYPES[kind]))
    readable = credentials is not None and not credentials.damaged
    return Made(
        picture, original, ours, mark_of(data, ours.data), Provenance.MARK, SOURCE_TYPES[kind], has_credentials=readable
    )
