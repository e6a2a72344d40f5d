"""Cheap pictures: valid, of the size asked for, each unlike the others."""

from __future__ import annotations

from io import BytesIO

import pytest
from PIL import Image

from sandbox.pictures import Format, cheap


@pytest.mark.parametrize(("form", "alpha"), [("png", False), ("png", True), ("jpeg", False)])
def test_a_cheap_picture(form: Format, alpha: bool) -> None:
    files = [cheap("job-17", number, form, 264, 512, alpha=alpha) for number in (0, 1, 8)]
    other = cheap("job-18", 0, form, 264, 512, alpha=alpha)
    assert len({*files, other}) == 3  # 0 and 8 share a colour, and here a reference
    for data in (*files, other):
        with Image.open(BytesIO(data)) as image:
            image.load()
            assert (image.format, image.size) == (form.upper(), (264, 512))
            assert image.mode == ("RGBA" if alpha else "RGB")
    with Image.open(BytesIO(files[0])) as image:
        image.load()
        assert image.info["Comment" if form == "png" else "comment"] in {"job-17", b"job-17"}
