"""Copies of a picture: each is a sound picture of the same pixels, and no two are the same file."""

from __future__ import annotations

import io

import pytest
from PIL import Image

from benchmarks.distinct import KINDS
from benchmarks.pictures import FORMATS
from workers.images.verify import verify


@pytest.mark.parametrize("ending", sorted(FORMATS))
def test_copies_differ_and_are_sound(ending: str) -> None:
    out = io.BytesIO()
    Image.effect_noise((64, 48), 50).convert("RGB").save(out, FORMATS[ending])
    first, second = (KINDS[f".{ending}"](out.getvalue(), number) for number in (7, 1_000_000))
    assert first != second
    for copy in (first, second):
        assert (verify(copy).width, verify(copy).height) == (64, 48)
        with Image.open(io.BytesIO(copy)) as one, Image.open(out) as other:
            assert one.tobytes() == other.tobytes()
