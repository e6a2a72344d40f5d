"""What a newcomer sees: the example catalog becomes pictures, twice costs once, mistakes are told in plain words."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import faces
from tests.stack import ROOT


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of a user's own with the examples in it."""
    home = tmp_path_factory.mktemp("demo")
    shutil.copytree(ROOT / "examples", home / "examples")
    return home


def recast(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command as a user types it."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("RECAST_")}
    command = [sys.executable, "-m", "cli", *arguments]
    return subprocess.run(
        command,
        check=False,
        cwd=folder,
        env={**env, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
        umask=0o022,
    )


@pytest.fixture(scope="module")
def first_run(folder: Path) -> dict[str, Any]:
    done = recast(folder, "run", "examples/catalog.csv", "--sandbox", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    summary: dict[str, Any] = json.loads(done.stdout)
    return summary


def test_the_home_is_private_and_the_pictures_are_as_the_umask_says(folder: Path, first_run: dict[str, Any]) -> None:
    found = {path: path.lstat().st_mode & 0o777 for path in folder.rglob("*")}
    assert {str(path) for path, mode in found.items() if ".recast" in path.parts and mode & 0o077} == set()
    made = {path: mode for path, mode in found.items() if "recast-pictures" in path.parts}
    assert {mode for path, mode in made.items() if path.is_file()} == {0o644}
    assert {mode for path, mode in made.items() if path.is_dir()} == {0o755}


def rows() -> list[dict[str, str]]:
    with (ROOT / "examples" / "catalog.csv").open() as file:
        return list(csv.DictReader(file))


def pictures(folder: Path, key: str) -> list[Path]:
    return sorted((folder / "recast-pictures" / "catalog").glob(f"{key}_*"))


def read(path: Path) -> Any:
    return faces.decode(path.read_bytes())


#: Which faces of its target a row is about, from the left; the only one where nothing is said.
FACES = {"piktid-second-face": (1,), "zhiqite-both-faces": (0, 1)}


def test_every_swap_changes_its_face_and_nothing_else(folder: Path, first_run: dict[str, Any]) -> None:
    swaps = [row for row in rows() if row["kind"] == "swap"]
    assert {(row["source"], row["target"]) for row in swaps} >= {
        ("portraits/grace_hopper.jpg", "portraits/astronaut.png"),
        ("portraits/astronaut.png", "portraits/grace_hopper.jpg"),
    }
    for row in swaps:
        (path,) = pictures(folder, row["key"])
        target, made = read(folder / "examples" / row["target"]), read(path)
        assert made.shape == target.shape
        found = faces.detect(target)
        meant = FACES.get(row["key"], (0,))
        outside = np.ones(target.shape[:2], bool)
        for number in meant:
            left, top, right, bottom = faces.head_box(found[number])
            outside[top:bottom, left:right] = False
        assert psnr(made[outside], target[outside]) >= 35, row["key"]
        for number, face in enumerate(found):
            likeness = psnr(made[box(face)], target[box(face)])
            assert (likeness < 28) == (number in meant), f"{row['key']}: face {number} has {likeness:.1f} dB"


def box(face: faces.Face) -> Any:
    x, y, width, height = (round(value) for value in (face.x, face.y, face.width, face.height))
    return np.s_[y : y + height, x : x + width]


def test_a_head_swap_changes_more_than_a_face_swap(folder: Path, first_run: dict[str, Any]) -> None:
    target = read(folder / "examples" / "portraits" / "astronaut.png")
    head, face = (read(pictures(folder, key)[0]) for key in ("piktid-swap-head", "zhiqite-swap"))

    assert np.count_nonzero((head != target).any(axis=2)) > 1.5 * np.count_nonzero((face != target).any(axis=2))


def test_every_generation_has_its_size_and_number(folder: Path, first_run: dict[str, Any]) -> None:
    sized = [row for row in rows() if row["operation"] == "qolaba.consistency"]
    assert any(json.loads(row["options"]).get("batch", 1) > 1 for row in sized)
    for row in sized:
        options = json.loads(row["options"])
        made = [read(path) for path in pictures(folder, row["key"])]
        assert len(made) == options.get("batch", 1)
        assert {picture.shape[:2] for picture in made} == {(options["height"], options["width"])}


def test_an_avatar_without_background_is_transparent_around_the_head(folder: Path, first_run: dict[str, Any]) -> None:
    with Image.open(pictures(folder, "qolaba-avatar")[0]) as avatar:
        alpha = np.asarray(avatar.convert("RGBA"))[:, :, 3]

    assert alpha[0, 0] == 0
    assert alpha[alpha.shape[0] // 2, alpha.shape[1] // 2] == 255
    assert 0.1 < np.mean(alpha > 0) < 0.9


def test_a_variation_has_a_picture_for_every_sub_task(folder: Path, first_run: dict[str, Any]) -> None:
    # The sandbox's templates make one, two or three pictures, by their number.
    for key, template in (("hidream-variation-crop", 20), ("hidream-variation-pad", 21)):
        made = [read(path) for path in pictures(folder, key)]
        assert len(made) == template % 3 + 1
        assert all(picture.shape[1] * 4 == picture.shape[0] * 3 for picture in made)


def test_again_nothing_is_submitted_and_nothing_billed(folder: Path, first_run: dict[str, Any]) -> None:
    again = recast(folder, "run", "examples/catalog.csv", "--sandbox", "--json")

    assert again.returncode == 0, again.stdout + again.stderr
    assert json.loads(again.stdout)["spent"] == first_run["spent"]
    assert {name: json.loads(again.stdout)[name] for name in ("new", "changed", "retried")} == {
        "new": 0,
        "changed": 0,
        "retried": 0,
    }


def test_mistakes_are_named_with_the_providers_reason(folder: Path, first_run: dict[str, Any]) -> None:
    done = recast(folder, "run", "examples/mistakes.csv", "--sandbox")

    assert done.returncode == 1, done.stdout + done.stderr
    told = done.stdout + done.stderr
    with (ROOT / "examples" / "mistakes.csv").open() as file:
        listed = list(csv.DictReader(file))
    refused = [row for row in listed if row["title"].startswith("Refused")]
    good = [row for row in listed if row not in refused]
    assert refused
    assert good
    assert all(row["key"] in told for row in refused)
    assert "face" in told
    for row in good:
        assert list((folder / "recast-pictures" / "mistakes").glob(f"{row['key']}_*"))


def psnr(one: Any, other: Any) -> float:
    """Peak signal-to-noise ratio in decibels; infinite for equal pictures."""
    error = float(np.mean((one.astype(float) - other.astype(float)) ** 2))
    return float("inf") if not error else 10 * np.log10(255**2 / error)
