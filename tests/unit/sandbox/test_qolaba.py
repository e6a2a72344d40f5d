"""The sandbox's Qolaba, against Qolaba's pages and the public source of its backend."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from sandbox import SandboxConfig
from tests.http import Client
from tests.sandbox_client import connected

SUBMIT = "/qolaba/getImagetoImage"
STATUS = "/qolaba/getImage"
KEY = {"Authorization": "Bearer sandbox"}
HOUR = 3600.0

CONSISTENCY: dict[str, object] = {
    "app_id": "ap-SwsTOsD7STxJ0obCkskUHw",
    "image": "http://127.0.0.1/face.png",
    "prompt": "an officer",
    "batch": 2,
    "height": 320,
    "width": 256,
    "num_inference_steps": 20,
    "guidance_scale": 7.5,
    "strength": 0.8,
    "celery": True,
}
AVATAR: dict[str, object] = {
    "app_id": "ap-jL9u1wFpY5sRv2XmN3aQ44",
    "image": "http://127.0.0.1/face.png",
    "prompt": None,
    "gender": "female",
    "remove_background": False,
    "celery": True,
    "height": 256,
    "width": 256,
}


@contextmanager
def sandbox(home: Path, **more: Any) -> Iterator[Client]:
    settings: dict[str, Any] = {"latency": 0.0} | more
    with connected(SandboxConfig(home=home, pictures="cheap", **settings), KEY) as client:
        yield client


def submitted(client: Client, body: dict[str, object]) -> str:
    answer = client.post(SUBMIT, json=body)
    assert (answer.status_code, answer.json()["status"]) == (200, "PENDING")
    handle: str = answer.json()["task_id"]
    return handle


def picture(client: Client, url: str) -> Image.Image:
    image = Image.open(BytesIO(client.get(url).content))
    image.load()
    return image


def test_a_task_is_pending_and_then_done_with_a_null_task_id(tmp_path: Path) -> None:
    with sandbox(tmp_path / "slow", latency=HOUR) as client:
        handle = submitted(client, CONSISTENCY)
        assert client.post(STATUS, json={"id": handle}).json()["status"] == "PENDING"
    with sandbox(tmp_path / "fast") as client:
        handle = submitted(client, CONSISTENCY)
        answer = client.post(STATUS, json={"id": handle, "refID": "ours"}).json()
        assert answer.keys() == {
            "time_required", "error", "error_data", "input", "output", "app_id", "task_id", "status",
        }  # fmt: skip
        assert (answer["status"], answer["task_id"], answer["error"]) == ("SUCCESS", None, None)
        assert answer["input"] == CONSISTENCY
        assert answer["output"]["Has_NSFW_Content"] == [False, False]
        assert len(answer["output"]["result"]) == len(answer["output"]["low_res_urls"]) == 2


def test_paths_are_taken_in_any_case_and_the_picture_under_both_names(tmp_path: Path) -> None:
    body = CONSISTENCY | {"file_url": CONSISTENCY["image"]}
    del body["image"]
    with sandbox(tmp_path) as client:
        assert client.post("/qolaba/getImageToImage", json=body).json()["status"] == "PENDING"
        assert client.post("/qolaba/getVideo", json=body).status_code == 404


def test_results_end_in_webp_and_are_jpeg_of_the_size_rounded_down(tmp_path: Path) -> None:
    with sandbox(tmp_path) as client:
        handle = submitted(client, CONSISTENCY | {"height": 327, "width": 263})
        output = client.post(STATUS, json={"id": handle}).json()["output"]
        assert all(url.endswith(".webp") for url in output["result"])
        pictures = [picture(client, url) for url in output["result"]]
        assert [(image.format, image.size) for image in pictures] == [("JPEG", (256, 320))] * 2
        assert pictures[0].getpixel((0, 0)) != pictures[1].getpixel((0, 0))
        assert picture(client, output["low_res_urls"][0]).size == (64, 80)


def test_an_avatar_without_background_is_png_with_alpha(tmp_path: Path) -> None:
    with sandbox(tmp_path) as client:
        for more, form, mode in (
            ({}, "JPEG", "RGB"),
            ({"remove_background": True}, "PNG", "RGBA"),
            ({"remove_background": True, "bg_color": "#fa0"}, "JPEG", "RGB"),
        ):
            handle = submitted(client, AVATAR | more)
            url = client.post(STATUS, json={"id": handle}).json()["output"]["result"][0]
            image = picture(client, url)
            assert (image.format, image.mode, url[-5:]) == (form, mode, ".webp")


@pytest.mark.parametrize("handle", ["", "unknown", "8f14e45f-ceea-467f-9575-3bd1f7ea9d1b"])
def test_an_unknown_task_is_pending(tmp_path: Path, handle: str) -> None:
    with sandbox(tmp_path) as client:
        answer = client.post(STATUS, json={"id": handle})
        assert (answer.status_code, answer.json()["status"]) == (200, "PENDING")


def test_an_expired_result_is_pending(tmp_path: Path) -> None:
    with sandbox(tmp_path, results_expire=0.0) as client:
        handle = submitted(client, CONSISTENCY)
        assert client.post(STATUS, json={"id": handle}).json()["status"] == "PENDING"


def test_without_celery_the_call_returns_the_result(tmp_path: Path) -> None:
    with sandbox(tmp_path, latency=0.05) as client:
        answer = client.post(SUBMIT, json=CONSISTENCY | {"celery": False}).json()
        assert (answer["status"], answer["task_id"], len(answer["output"]["result"])) == ("SUCCESS", None, 2)


@pytest.mark.parametrize(
    ("prompt", "flags"),
    [("an officer", [False] * 4), ("risky", [False, True, False, True]), ("NSFW officer", [True] * 4)],
)
def test_filtered_pictures_are_flagged_and_missing(tmp_path: Path, prompt: str, flags: list[bool]) -> None:
    with sandbox(tmp_path) as client:
        handle = submitted(client, CONSISTENCY | {"prompt": prompt, "batch": 4})
        answer = client.post(STATUS, json={"id": handle}).json()
        assert answer["status"] == "SUCCESS"
        assert answer["output"]["Has_NSFW_Content"] == flags
        assert len(answer["output"]["result"]) == flags.count(False)


@pytest.mark.parametrize(
    "body",
    [
        CONSISTENCY | {"batch": 9},
        CONSISTENCY | {"batch": 0},
        CONSISTENCY | {"width": 20481},
        CONSISTENCY | {"num_inference_steps": 51},
        CONSISTENCY | {"guidance_scale": 31},
        CONSISTENCY | {"strength": 0},
        CONSISTENCY | {"prompt": None},
        CONSISTENCY | {"image": None},
        CONSISTENCY | {"inference_type": "t4"},
        AVATAR | {"width": 1032},
        AVATAR | {"num_inference_steps": 41},
        AVATAR | {"gender": "other"},
        {name: value for name, value in AVATAR.items() if name != "remove_background"},
    ],
)
def test_what_the_backends_schema_refuses_is_not_billed(tmp_path: Path, body: dict[str, object]) -> None:
    with sandbox(tmp_path) as client:
        answer = client.post(SUBMIT, json=body).json()
        assert (answer["status"], answer["error"], answer["task_id"]) == ("FAILED", "Input Validation Error", None)
        assert client.get("/_sandbox/bill").json()["lines"] == []


def test_an_unknown_app_and_a_wrong_key(tmp_path: Path) -> None:
    with sandbox(tmp_path) as client:
        unknown = client.post(SUBMIT, json=CONSISTENCY | {"app_id": "ap-none"}).json()
        assert (unknown["status"], unknown["error"]) == ("FAILED", "Service Not Found")
        for call in (SUBMIT, STATUS):
            wrong = client.post(call, json=CONSISTENCY | {"id": "x"}, headers={"Authorization": "Bearer stolen"})
            assert (wrong.status_code, wrong.json()["error"]) == (500, "Internal Error")
        assert client.get("/_sandbox/bill").json()["lines"] == []


def test_a_background_that_is_no_colour_fails_the_task_after_its_acceptance(tmp_path: Path) -> None:
    with sandbox(tmp_path) as client:
        handle = submitted(client, AVATAR | {"remove_background": True, "bg_color": "sky"})
        assert client.post(STATUS, json={"id": handle}).json()["status"] == "FAILED"
        assert len(client.get("/_sandbox/bill").json()["lines"]) == 1


def test_a_failed_task_is_told_with_both_statuses(tmp_path: Path) -> None:
    with sandbox(tmp_path) as client:
        client.post("/_sandbox/faults", json={"fault": "fail", "error": "no_face"})
        answers = [client.post(STATUS, json={"id": submitted(client, CONSISTENCY)}) for _ in range(4)]
        assert {answer.status_code for answer in answers} == {200, 500}
        assert {answer.json()["status"] for answer in answers} == {"FAILED"}
        assert {answer.json()["error_data"] for answer in answers} == {
            "Unable to detect faces. Please provide a clear image."
        }


def test_the_bill_counts_pictures(tmp_path: Path) -> None:
    with sandbox(tmp_path) as client:
        handle = submitted(client, CONSISTENCY | {"batch": 8, "ref_id": "ours"})
        [line] = client.get("/_sandbox/bill").json()["lines"]
        assert (line["handle"], line["reference"], line["pictures"], line["amount"]) == (handle, "ours", 8, "0.24")
