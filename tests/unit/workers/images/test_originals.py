"""Originals got back from marked files."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from workers.images.originals import Mark, mark_of, without
from workers.images.provenance import SOURCE_TYPES, marked

TERM = SOURCE_TYPES["swap"]


@given(st.binary(max_size=60), st.binary(min_size=1, max_size=20), st.integers(0, 60))
def test_what_was_put_in_can_be_taken_out(original: bytes, put: bytes, at: int) -> None:
    made = original[:at] + put + original[at:]
    mark = mark_of(original, made)
    assert mark is not None
    assert mark.length == len(put)
    assert without(mark, made) == original


@given(st.binary(max_size=60), st.binary(max_size=60))
def test_no_mark_is_found_that_does_not_lead_back(original: bytes, made: bytes) -> None:
    mark = mark_of(original, made)
    assert mark is None or without(mark, made) == original


@pytest.mark.parametrize(("form", "media_type"), [("JPEG", "image/jpeg"), ("PNG", "image/png")])
def test_the_marks_of_pictures_are_found(form: str, media_type: str) -> None:
    out = io.BytesIO()
    Image.new("RGB", (40, 30), "teal").save(out, form)
    data = out.getvalue()
    made = marked(data, media_type, TERM)
    mark = mark_of(data, made)
    assert isinstance(mark, Mark)
    assert without(mark, made) == data
    # One that has a mark already gets it replaced, and the file before that is not what is left.
    assert mark_of(made, marked(made, media_type, SOURCE_TYPES["generate"])) is None
