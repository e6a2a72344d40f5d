"""A job's pictures: read once, offered by an expiring link, and refused in words that name the field."""

from __future__ import annotations

import hashlib
import io
import os
import uuid
from pathlib import Path

import fsspec
import pytest
from PIL import Image

from tests.words import names
from workers.config.settings import Settings
from workers.images import inputs
from workers.images.inputs import BadInputError, Inputs, InputTroubleError, load_image
from workers.images.storage import Storage


def png(color: str = "red", size: tuple[int, int] = (40, 30)) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, color).save(out, "PNG")
    return out.getvalue()


def inputs_in(folder: Path) -> Inputs:
    settings = Settings(secret_key="a-key-of-the-tests", public_url="https://shop.example", media_seconds=600)
    return Inputs(settings, Storage(str(folder / "pictures")))


@pytest.fixture
def made(tmp_path: Path) -> Inputs:
    return inputs_in(tmp_path)


@pytest.fixture
def portrait(tmp_path: Path) -> Path:
    path = tmp_path / "a portrait.jpg"
    path.write_bytes(png())
    return path


def test_a_local_picture_is_offered_by_a_signed_link(made: Inputs, portrait: Path, tmp_path: Path) -> None:
    link = made.link("source", str(portrait))

    assert link.url is not None
    assert link.url.startswith("https://shop.example/media/")
    assert link.url.endswith(".png"), "the type is what the bytes say, not what the name says"
    assert (link.media_type, link.width, link.height) == ("image/png", 40, 30)
    assert link.sha256 == hashlib.sha256(png()).hexdigest()
    assert (tmp_path / "pictures" / link.url.split("/", 6)[-1]).read_bytes() == png()


def test_a_picture_is_read_once_until_it_changes(made: Inputs, portrait: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = made.link("source", str(portrait))
    monkeypatch.setattr(Inputs, "read", lambda *_: pytest.fail("read again"))
    assert made.link("source", str(portrait)) is first
    monkeypatch.undo()

    portrait.write_bytes(png("blue"))
    os.utime(portrait, ns=(1, 1))
    assert made.link("source", str(portrait)).sha256 == hashlib.sha256(png("blue")).hexdigest()


def test_a_link_is_made_anew_when_half_its_life_is_over(
    made: Inputs, portrait: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1_000.0
    monkeypatch.setattr("workers.cache.time.monotonic", lambda: now)
    first = made.link("source", str(portrait))
    now += 299
    assert made.link("source", str(portrait)) is first
    now += 2
    assert made.link("source", str(portrait)) is not first


def test_only_so_many_links_are_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inputs, "REMEMBERED", 2)
    made = inputs_in(tmp_path)
    paths = [tmp_path / f"{number}.png" for number in range(3)]
    for path in paths:
        path.write_bytes(png())
        made.link("source", str(path))

    monkeypatch.setattr(Inputs, "read", lambda *_: pytest.fail("read again"))
    for path in paths[1:]:
        made.link("source", str(path))
    with pytest.raises(pytest.fail.Exception, match="read again"):
        made.link("source", str(paths[0]))


def test_file_and_memory_addresses_are_read(made: Inputs, portrait: Path) -> None:
    address = f"memory://{uuid.uuid4()}/a.png"
    with fsspec.open(address, "wb") as file:
        file.write(png("green"))

    assert made.read("source", portrait.as_uri().replace("%20", " ")).data == png()
    assert made.read("target", address).sha256 == hashlib.sha256(png("green")).hexdigest()


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", ["empty"]),
        (b"<html>no</html>", ["web page"]),
        (png()[:30], []),
        (b"GIF89a" + bytes(50), ["GIF"]),
    ],
)
def test_what_is_no_picture_is_refused(made: Inputs, portrait: Path, content: bytes, why: list[str]) -> None:
    portrait.write_bytes(content)

    with pytest.raises(BadInputError, match=names("target", "a portrait.jpg", *why)):
        made.link("target", str(portrait))


def test_what_moves_is_refused() -> None:
    out = io.BytesIO()
    frames = [Image.new("RGB", (8, 8), color) for color in ("red", "blue")]
    frames[0].save(out, "WEBP", save_all=True, append_images=frames[1:])

    with pytest.raises(BadInputError, match=names("source", "x", "animated")):
        load_image("source", "x", out.getvalue())


def test_what_is_not_there_is_refused(made: Inputs, tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match=names("image", "none.png")):
        made.link("image", str(tmp_path / "none.png"))
    with pytest.raises(BadInputError, match=names("image", "memory://nowhere/none.png")):
        made.read("image", "memory://nowhere/none.png")


def test_what_is_too_large_is_refused_without_being_read(
    made: Inputs, portrait: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inputs, "MAX_INPUT_BYTES", 10)

    with pytest.raises(BadInputError, match=names("source", "larger")):
        made.read("source", str(portrait))


def test_a_storage_that_does_not_answer_is_trouble_and_no_verdict(made: Inputs) -> None:
    with pytest.raises(InputTroubleError, match=names("source", "nosuchscheme://bucket/a.png")):
        made.read("source", "nosuchscheme://bucket/a.png")


def test_a_remembered_link_whose_file_was_removed_is_made_anew(made: Inputs, portrait: Path, tmp_path: Path) -> None:
    first = made.link("source", str(portrait))
    assert made.to_note(str(portrait), first) is not None
    assert made.to_note(str(portrait), first) is None
    (stored,) = (path for path in (tmp_path / "pictures").rglob("*.png"))
    stored.unlink()

    again = made.link("source", str(portrait))

    assert again.url is not None
    assert stored.read_bytes() == png(), "a provider that is paid can fetch it"
    assert made.to_note(str(portrait), again) is not None, "forgetting finds the new copy, too"
