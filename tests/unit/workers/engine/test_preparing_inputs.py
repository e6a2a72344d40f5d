"""Inputs made ready for a provider: fitted, decoded in full, and with a face where the account wants one."""

from __future__ import annotations

import asyncio
import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image

from providers import operation
from providers.spec import Fit, Need, Via
from tests.stack import PORTRAITS
from tests.words import names
from workers.config.settings import Settings
from workers.engine.prepare import _input
from workers.images.face_check import FaceCheck
from workers.images.inputs import BadInputError, ImageSpec, Inputs, NoFaceInputError, load_image
from workers.images.storage import Storage

PORTRAIT = operation("hidream.variation").needs["image"]
FACE, NO_FACE = PORTRAITS / "grace_hopper.jpg", PORTRAITS.parent / "landscape.png"
ORIENTATION = 0x0112  # the EXIF tag


@pytest.fixture
def made(tmp_path: Path) -> Inputs:
    settings = Settings(secret_key="a-key-of-the-tests", public_url="https://shop.example")
    return Inputs(settings, Storage(str(tmp_path / "pictures")))


def test_a_link_leads_to_the_picture_as_the_provider_takes_it(made: Inputs, tmp_path: Path) -> None:
    path = tmp_path / "wide.png"
    Image.new("RGB", (400, 400), "red").save(path)
    cropped = made.link("image", str(path), ImageSpec(PORTRAIT, Fit.CROP))
    padded = made.link("image", str(path), ImageSpec(PORTRAIT, Fit.PAD))
    assert (cropped.media_type, cropped.width, cropped.height) == ("image/jpeg", 300, 400)
    assert (padded.width, padded.height) == (402, 536)
    assert made.link("image", str(path), ImageSpec(PORTRAIT, Fit.CROP)) is cropped
    with pytest.raises(BadInputError, match=names("image", "wide.png", "400 x 400")):
        made.link("image", str(path), ImageSpec(PORTRAIT, Fit.REJECT))


@pytest.mark.parametrize(("setting", "size"), [(None, (30, 40)), (True, (30, 40)), (False, (40, 30))])
def test_a_lying_picture_is_made_upright_unless_the_setting_says_otherwise(
    tmp_path: Path, setting: bool | None, size: tuple[int, int]
) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    path = tmp_path / "lying.jpg"
    Image.new("RGB", (40, 30), "red").save(path, exif=exif)
    chosen: dict[str, Any] = {} if setting is None else {"plain_inputs": setting}
    settings = Settings(
        _env_file=None, secret_key="a-key-of-the-tests", public_url="https://shop.example",
        storage_url=str(tmp_path / "pictures"), **chosen,
    )  # fmt: skip
    runtime: Any = SimpleNamespace(
        settings=settings, inputs=Inputs(settings, Storage(settings.storage)), in_decoder=asyncio.to_thread,
        own_web=SimpleNamespace(require=lambda _: asyncio.sleep(0)),
    )  # fmt: skip
    account: Any = SimpleNamespace(check_face=False)
    order: Any = SimpleNamespace(options=None)

    made = asyncio.run(_input(runtime, account, runtime, order, "source", Need(Via.URL), str(path)))

    assert (made.width, made.height) == size


def test_a_picture_that_is_cut_off_is_found_before_it_is_paid_for() -> None:
    whole = FACE.read_bytes()
    with pytest.raises(BadInputError, match=names("source", "x")):
        load_image("source", "x", whole[: len(whole) * 3 // 4])


def test_a_face_is_wanted_only_where_the_account_says_so(made: Inputs) -> None:
    landscape = load_image("target", "x", NO_FACE.read_bytes())
    need = Need(Via.URL)
    assert made.ready("target", "x", landscape, ImageSpec(need)) is landscape
    with pytest.raises(NoFaceInputError, match=names("target", "x")):
        made.ready("target", "x", landscape, ImageSpec(need, face=True))
    portrait = load_image("source", "y", FACE.read_bytes())
    assert made.ready("source", "y", portrait, ImageSpec(need, face=True)) is portrait


def test_a_picture_is_looked_at_once() -> None:
    check = FaceCheck()
    assert check.shows_face(FACE.read_bytes(), "digest")
    assert check.shows_face(b"not read again", "digest")


@pytest.mark.parametrize("mode", ["CMYK", "L"])
def test_faces_are_found_in_every_kind_of_picture(mode: str) -> None:
    out = io.BytesIO()
    with Image.open(FACE) as image:
        image.convert(mode).save(out, "JPEG")
    assert FaceCheck().shows_face(out.getvalue(), mode)
