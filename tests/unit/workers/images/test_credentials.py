"""Content Credentials of providers: found and read without a verifier, and never left broken in what is stored."""

from __future__ import annotations

import zlib

import pytest

from models.results import Provenance
from providers.spec import Fit, Need, Via
from tests.credentials import (
    COMPOSITE,
    MADE,
    MEDIA_TYPES,
    is_valid,
    judged,
    picture,
    with_credentials,
    with_credentials_elsewhere,
)
from workers.images.credentials import credentials_of, without_credentials
from workers.images.fit import fitted
from workers.images.headers import inspect
from workers.images.originals import without
from workers.images.provenance import SOURCE_TYPES, credentials_elsewhere, marked
from workers.images.results import made_of
from workers.images.thumbnails import thumbnail

FORMATS = pytest.mark.parametrize("format_", MEDIA_TYPES)


@FORMATS
@pytest.mark.parametrize("term", [MADE, COMPOSITE, None])
def test_credentials_are_found_with_their_source_type_and_can_be_left_out(format_: str, term: str | None) -> None:
    data, media_type = picture(format_), MEDIA_TYPES[format_]
    signed = with_credentials(data, media_type, term)
    found = credentials_of(signed, media_type)
    assert found is not None
    assert (found.damaged, found.source_type) == (False, term)
    assert without_credentials(signed, media_type, found) == data
    assert credentials_of(data, media_type) is None


@FORMATS
def test_the_newest_of_several_manifests_counts(format_: str) -> None:
    media_type = MEDIA_TYPES[format_]
    first = with_credentials(picture(format_), media_type, MADE)
    again = with_credentials(first, media_type, COMPOSITE, parent=first)
    found = credentials_of(again, media_type)
    assert found is not None
    assert found.source_type == COMPOSITE


def test_credentials_that_lie_in_several_segments_are_read() -> None:
    """Given a manifest that does not fit into one segment of a JPEG, when it is read, then all of it is."""
    signed = picture("JPEG")
    for _ in range(24):
        signed = with_credentials(signed, "image/jpeg", COMPOSITE, parent=signed)
    signed = with_credentials(signed, "image/jpeg", MADE, parent=signed)
    found = credentials_of(signed, "image/jpeg")
    assert found is not None
    assert len(found.spans) > 1
    assert (found.damaged, found.source_type) == (False, MADE)


@FORMATS
@pytest.mark.parametrize("mark", [True, False])
def test_what_carries_credentials_is_stored_byte_for_byte(format_: str, mark: bool) -> None:
    media_type = MEDIA_TYPES[format_]
    signed = with_credentials(picture(format_), media_type)
    made = made_of(signed, "swap", mark=mark)
    assert made.file.data == signed
    assert is_valid(made.file.data, media_type)
    assert (made.provenance, made.source_type, made.mark) == (Provenance.CREDENTIALS, MADE, None)


@FORMATS
def test_what_has_its_credentials_elsewhere_is_left_as_it_is(format_: str) -> None:
    """Given a manifest at an address, which signs the file's bytes as well, then not one of them is changed."""
    data = with_credentials_elsewhere(picture(format_), MEDIA_TYPES[format_], "https://example.com/m.c2pa")
    made = made_of(data, "swap", mark=True)
    assert made.file.data == data
    assert (made.provenance, made.source_type) == (Provenance.CREDENTIALS, None)
    assert credentials_elsewhere(data, MEDIA_TYPES[format_]) == "https://example.com/m.c2pa"


@FORMATS
def test_marking_would_make_credentials_invalid(format_: str) -> None:
    """The reason for all this; a verifier that ever says otherwise makes it needless."""
    media_type = MEDIA_TYPES[format_]
    found = judged(marked(with_credentials(picture(format_), media_type), media_type, COMPOSITE), media_type)
    assert found is not None
    assert found["state"] == "Invalid"


@FORMATS
def test_what_carries_none_is_marked_as_before(format_: str) -> None:
    data, media_type = picture(format_), MEDIA_TYPES[format_]
    made = made_of(data, "swap", mark=True)
    assert made.file.data == marked(data, media_type, SOURCE_TYPES["swap"])
    assert (made.provenance, made.source_type) == (Provenance.MARK, SOURCE_TYPES["swap"])
    assert made.mark is None or without(made.mark, made.file.data) == data
    off = made_of(data, "swap", mark=False)
    assert (off.file.data, off.provenance, off.source_type) == (data, None, None)


@FORMATS
def test_credentials_that_no_verifier_accepts_give_way_to_the_mark(format_: str) -> None:
    media_type = MEDIA_TYPES[format_]
    data = picture(format_)
    signed = with_credentials(data, media_type)
    found = credentials_of(signed, media_type)
    assert found is not None
    ((start, end),) = found.spans
    at = signed.index(b"jumd", start, end)
    damaged = bytearray(signed)
    damaged[at] ^= 1
    if format_ == "PNG":
        damaged = bytearray(_png_mended(bytes(damaged), start, end))
    made = made_of(bytes(damaged), "generate", mark=True)
    assert made.file.data == marked(data, media_type, SOURCE_TYPES["generate"])
    assert made.provenance is Provenance.MARK


@FORMATS
def test_copies_that_are_encoded_again_have_no_credentials(format_: str) -> None:
    media_type = MEDIA_TYPES[format_]
    signed = with_credentials(picture(format_, 96), media_type)
    made = inspect(signed)
    small = thumbnail(signed, 48)
    cut = fitted(signed, made, Need(Via.BYTES, media_types=(media_type,), ratio=(2, 1)), Fit.CROP)
    other = fitted(signed, made, Need(Via.BYTES, media_types=("image/jpeg",), max_side=40), Fit.CROP)
    for copy in (small, cut, other):
        assert copy != signed
        assert credentials_of(copy, inspect(copy).media_type) is None


def _png_mended(data: bytes, start: int, end: int) -> bytes:
    """The PNG with a correct checksum of the chunk that was damaged."""
    return data[: end - 4] + zlib.crc32(data[start + 4 : end - 4]).to_bytes(4, "big") + data[end:]
