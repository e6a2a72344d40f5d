"""Ranges and defaults of the options, as the documents give them."""

from __future__ import annotations

import re
from typing import Any

import pytest
from pydantic import ValidationError

from providers import operation
from providers.spec import FittedOptions
from tests.words import unsaid


def first_error(name: str, options: dict[str, Any]) -> str:
    with pytest.raises(ValidationError) as caught:
        operation(name).options.model_validate(options)
    found = caught.value.errors()[0]
    return f"{'.'.join(map(str, found['loc']))}: {found['msg']}"


@pytest.mark.parametrize("name", ["qolaba.consistency", "qolaba.avatar"])
@pytest.mark.parametrize(
    ("field", "lowest", "highest", "step"),
    [
        ("batch", 1, 8, 1),
        ("height", 256, 1536, 8),
        ("width", 256, 1536, 8),
        ("num_inference_steps", 1, 50, 1),
        ("guidance_scale", 1, 30, 0.5),
    ],
)
def test_qolabas_ranges(name: str, field: str, lowest: float, highest: float, step: float) -> None:
    base = {"gender": "male"} if name == "qolaba.avatar" else {}
    model = operation(name).options
    for allowed in (lowest, highest, lowest + step):
        assert getattr(model.model_validate({**base, field: allowed}), field) == allowed
    for refused in (lowest - step, highest + step, "many", None, float("nan")):
        assert first_error(name, {**base, field: refused}).startswith(f"{field}: ")


def test_a_size_that_qolaba_would_round_down_is_answered_with_the_nearest() -> None:
    """1000 is a multiple of 8, 1001 would come back as 1000."""
    options = operation("qolaba.consistency").options.model_validate({"width": 1000})
    assert options.model_dump()["width"] == 1000
    message = first_error("qolaba.consistency", {"width": 1001})
    assert re.search(r"^width: .*multiple of 8.*use 1000 or 1008", message)


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"strength": 0}, "strength"),
        ({"strength": 1.01}, "strength"),
        ({"inference_type": "t4"}, "inference_type"),
        ({"prompt": "a job's own column"}, "prompt"),
        ({"gender": "male"}, "gender"),
    ],
)
def test_consistency_refuses(options: dict[str, Any], field: str) -> None:
    assert first_error("qolaba.consistency", options).startswith(f"{field}: ")


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({}, "gender"),
        ({"gender": "other"}, "gender"),
        ({"gender": "male", "bg_color": "white"}, "bg_color"),
        ({"gender": "male", "bg_color": "#ffff"}, "bg_color"),
        ({"gender": "male", "strength": 0.5}, "strength"),
    ],
)
def test_avatar_refuses(options: dict[str, Any], field: str) -> None:
    assert first_error("qolaba.avatar", options).startswith(f"{field}: ")


def test_zhiqites_first_swap_takes_no_options() -> None:
    assert first_error("zhiqite.swap", {"fidelity_weight": 1}).startswith("fidelity_weight: ")


@pytest.mark.parametrize(
    ("name", "field", "allowed", "refused"),
    [
        ("swap_v2", "fidelity_weight", (None, 0, 0.5, 1), (-0.01, 1.01, "much", float("nan"))),
        ("swap_faces", "face_idx", (None, 1, 30), (0, -1, 1.5, "left")),
        ("swap_faces", "second_source", (None, "faces/b.png", "https://o.example/b.png"), ("", 7, ["b.png"])),
    ],
)
def test_zhiqites_ranges(name: str, field: str, allowed: tuple[Any, ...], refused: tuple[Any, ...]) -> None:
    model = operation(f"zhiqite.{name}").options
    for value in allowed:
        assert getattr(model.model_validate({field: value}), field) == value
    for value in refused:
        assert first_error(f"zhiqite.{name}", {field: value}).startswith(f"{field}: ")


@pytest.mark.parametrize(
    ("field", "allowed", "refused"),
    [
        ("face", (0, 29), (-1, 30, "left")),
        ("prompt_strength", (0, 0.55, 1), (-0.01, 1.01, float("nan"))),
        ("seed", (None, 0, 7), (-1, 0.5)),
        ("watermark_url", (None, "https://shop.example/w.png"), ("w.png", "ftp://x/y")),
        ("flag_hair", (True, False), ("perhaps", None)),
    ],
)
def test_piktids_ranges(field: str, allowed: tuple[Any, ...], refused: tuple[Any, ...]) -> None:
    model = operation("piktid.swap").options
    for value in allowed:
        assert getattr(model.model_validate({field: value}), field) == value
    for value in refused:
        assert first_error("piktid.swap", {field: value}).startswith(f"{field}: ")


@pytest.mark.parametrize(
    ("options", "facts"),
    [
        ({}, ("flag_hair", "true", "false")),
        ({"flag_hair": False, "prompt_strength": 0.9}, ("flag_hair", "true", "false")),
        ({"flag_hair": True, "prompt_strength": 0.5}, ("prompt_strength", 0.5)),
        ({"flag_hair": True, "prompt_strength": 0.2}, ("prompt_strength", 0.5, 0.2)),
    ],
)
def test_a_transfer_of_hair_needs_what_makes_it_work(options: dict[str, Any], facts: tuple[object, ...]) -> None:
    message = first_error("piktid.swap", {**options, "transfer_hair": True})
    assert message.startswith("transfer_hair: ")
    assert unsaid(message, *facts) == []
    model = operation("piktid.swap").options
    for works in ({}, {"prompt_strength": 0.51}):
        assert model.model_validate({"flag_hair": True, "transfer_hair": True, **works}).model_dump()["transfer_hair"]
    model.model_validate({**options, "transfer_hair": False})


@pytest.mark.parametrize("options", [{}, {"template_id": 0}, {"template_id": "vton"}, {"template_id": None}])
def test_hidream_needs_a_template(options: dict[str, Any]) -> None:
    assert first_error("hidream.variation", options).startswith("template_id: ")


@pytest.mark.parametrize("fit", ["reject", "crop", "pad"])
def test_hidreams_pictures_may_be_fitted(fit: str) -> None:
    options = operation("hidream.variation").options.model_validate({"template_id": 1, "fit": fit})
    assert isinstance(options, FittedOptions)
    assert options.fit == fit
    assert first_error("hidream.variation", {"template_id": 1, "fit": "stretch"}).startswith("fit: ")


@pytest.mark.parametrize("refused", ["text", [1], None])
def test_replicates_model_inputs_are_an_object(refused: Any) -> None:
    assert first_error("replicate.swap", {"input": refused}).startswith("input: ")
