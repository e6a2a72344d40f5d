"""Quality checks of real pictures: planted faults are found, and what is well made is left alone."""

from __future__ import annotations

import io

import pytest
from PIL import Image

from tests.checks.__main__ import FIRST_FAULT, SEEDS, Tally, run
from tests.checks.material import KINDS
from tests.hostile.cases import Case
from tests.hostile.pictures import CASES
from workers.images.checks import SIDE, check, opened
from workers.images.segments import BadPictureError

GOOD, EACH = 12, 2


@pytest.fixture(scope="module")
def tally() -> Tally:
    return run(SEEDS["reported"], GOOD, EACH * len(KINDS) - 1, processes=1)


@pytest.mark.heavy
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "near_duplicate"])
def test_planted_faults_are_found(tally: Tally, kind: str) -> None:
    found, planted = tally.found(kind)
    assert (found, planted) == (EACH, EACH)


@pytest.mark.heavy
def test_what_is_well_made_is_not_flagged(tally: Tally) -> None:
    assert tally.alarms() == (0, GOOD)
    assert all(flags for number, flags in tally.flags.items() if number >= FIRST_FAULT and number % len(KINDS) != 8)


def png(size: tuple[int, int], color: str = "white", mode: str = "RGB", orientation: int | None = None) -> bytes:
    out, image = io.BytesIO(), Image.new(mode, size, color)
    exif = image.getexif()
    if orientation:
        exif[0x0112] = orientation
    image.save(out, "PNG", exif=exif)
    return out.getvalue()


@pytest.mark.parametrize("color", ["white", "black", "#123456"])
@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA"])
def test_a_blank_picture_is_known_without_its_target(color: str, mode: str) -> None:
    result = opened(png((600, 400), color, mode))
    assert result.blank
    checked = check(result, None, "zhiqite.swap", {})
    assert [(score.name, score.flagged) for score in checked.scores] == [("blank", True)]
    assert checked.hash is None


def test_the_size_is_that_of_the_upright_picture() -> None:
    assert opened(png((600, 400))).size == (600, 400)
    turned = opened(png((600, 400), orientation=6))
    assert turned.size == (400, 600)
    assert turned.image.size == (341, 512)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_hostile_pictures_are_refused_or_opened_and_nothing_else(case: Case) -> None:
    try:
        result = opened(case.make())
    except BadPictureError:
        return
    assert max(result.image.size) <= SIDE
