"""Real pictures: which face goes where, heads with hair, variations, drawings. Inputs come as `data:` URLs."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageChops

from faces import detect, portrait
from sandbox import SandboxConfig
from sandbox.cartoon import cartoon
from sandbox.hidream import SUCCESS
from tests.http import Client, Response
from tests.sandbox_client import connected, encoded, picture, until
from tests.stack import PORTRAITS

ZHIQITE = "/zhiqite/AIGCImgOpenServ/saas/tool"
SIDE = 320
HEADERS = {
    "X-Request-req-accessKeyId": "sandbox",
    "X-Request-req-accessKeySecret": "sandbox",
    "Authorization": "Bearer sandbox",
}


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    with connected(SandboxConfig(home=tmp_path, latency=0, inbox_gap=0), HEADERS) as client:
        yield client


@cache
def officer() -> Image.Image:
    with Image.open(PORTRAITS / "grace_hopper.jpg") as image:
        return image.convert("RGB").crop((0, 0, image.width, image.width)).resize((SIDE, SIDE))


@cache
def astronaut() -> Image.Image:
    with Image.open(PORTRAITS / "astronaut.png") as image:
        return image.convert("RGB").crop((80, 0, 80 + 320, 320)).resize((SIDE, SIDE))


@cache
def both() -> Image.Image:
    """The officer on the left and the astronaut on the right."""
    image = Image.new("RGB", (2 * SIDE, SIDE))
    image.paste(officer(), (0, 0))
    image.paste(astronaut(), (SIDE, 0))
    return image


def data_url(image: Image.Image) -> str:
    return "data:image/png;base64," + base64.b64encode(encoded(image)).decode()


def changed(result: Image.Image, target: Image.Image) -> list[bool]:
    """Whether the left and the right half of the picture of two are not as they were."""
    difference = ImageChops.difference(result.convert("RGB"), target)
    halves = (difference.crop((left, 0, left + SIDE, SIDE)) for left in (0, SIDE))
    return [half.getbbox() is not None for half in halves]


def fused(client: Client, **more: object) -> dict[str, Any]:
    order = {"sourceUrl": [data_url(astronaut())], "targetUrl": data_url(both()), "businessTaskId": "one"}
    assert client.post(f"{ZHIQITE}/face/fusion", json=order | more).json()["code"] == "200"

    def query() -> dict[str, Any]:
        answer: dict[str, Any] = client.post(f"{ZHIQITE}/face/fusion/queryTask", json={"businessTaskId": "one"}).json()
        return answer

    until(lambda: query()["data"]["status"] in {1, 2})
    return query()


@pytest.mark.parametrize(
    ("more", "halves"),
    [
        ({"faceIdx": 1}, [True, False]),
        ({"faceIdx": 2, "sourceUrl": [data_url(officer())]}, [False, True]),
        ({"sourceUrl": [data_url(astronaut()), data_url(officer())]}, [True, True]),
    ],
)
def test_a_fusion_swaps_the_face_it_was_told_to_or_both(
    client: Client, more: dict[str, object], halves: list[bool]
) -> None:
    answer = fused(client, **more)
    result = picture(client.get(answer["data"]["outputImageUrl"]).content)
    assert (result.size, changed(result, both())) == ((2 * SIDE, SIDE), halves)


@pytest.mark.parametrize(
    "more", [{"faceIdx": 3}, {"sourceUrl": [data_url(astronaut())] * 2, "targetUrl": data_url(officer())}]
)
def test_a_fusion_onto_a_face_that_is_not_there_fails(client: Client, more: dict[str, object]) -> None:
    answer = fused(client, **more)
    assert (answer["data"]["status"], "face" in answer["msg"]) == (2, True)


@pytest.fixture
def piktid(client: Client) -> Callable[..., Response]:
    """Post to PiktID, signed in."""
    login = base64.b64encode(b"sandbox:sandbox").decode()
    token = client.post("/piktid/tokens", headers={"Authorization": f"Basic {login}"}).json()["access_token"]

    def post(path: str, **more: Any) -> Response:
        return client.post(f"/piktid{path}", headers={"Authorization": f"Bearer {token}"}, **more)

    return post


def upload(image: Image.Image, **form: str) -> dict[str, Any]:
    return {"files": {"file": ("a.png", encoded(image))}, "data": form}


@pytest.mark.parametrize(("face", "halves"), [(0, [True, False]), (1, [False, True])])
def test_piktid_counts_faces_from_the_left_and_swaps_heads(
    client: Client, piktid: Callable[..., Response], face: int, halves: list[bool]
) -> None:
    source = officer() if face else astronaut()
    identity = piktid("/consistent_identities/upload_face", **upload(source)).json()["identity_name"]

    names: dict[str, str] = {}

    def submitted(*, hair: bool = False, **options: bool) -> str:
        form = {"options": json.dumps({"flag_hair": hair})}
        sent = upload(both(), **form)
        sent["files"]["file"] = (f"target-{len(names) // 3}.png", sent["files"]["file"][1])
        target = piktid("/consistent_identities/upload_target", **sent).json()
        # An event names its target by the image's id or by its file, with or without the ending.
        stem = f"target-{len(names) // 3}"
        assert (target["faces"]["number_of_faces"], target["faces"]["approved_faces"]) == (2, [1, 1])
        centres = [place["centerX"] for place in target["faces"]["coordinates_list"]]
        assert 0 < centres[0] < 0.5 < centres[1] < 1
        order = {"id_image": target["image_id"], "id_face": face, "identity_name": identity}
        answer = piktid("/consistent_identities/generate/v2", json=order | {"options": json.dumps(options)})
        assert answer.status_code == 200
        image = str(target["image_id"])
        names.update({image: image, stem: image, f"{stem}.png": image})
        return image

    def links() -> dict[str, str]:
        found = piktid("/consistent_identities/notification/read", json={"name_list": "swap, error"}).json()
        return {
            names[event["data"]["target_name"]]: event["data"]["links"][0]["l"] for event in found["notifications_list"]
        }

    images = [submitted(), submitted(hair=True), submitted(transfer_hair=True)]
    until(lambda: links().keys() == set(images))
    results = [picture(client.get(links()[image]).content).convert("RGB") for image in images]
    assert [changed(result, both()) for result in results] == [halves] * 3
    heights = []
    for result in results:
        box = ImageChops.difference(result, both()).getbbox()
        assert box is not None
        heights.append(box[3] - box[1])
    assert heights[1] == heights[2] > 1.2 * heights[0]  # a head with its hair is higher than a face


def test_piktid_finds_no_face_and_does_not_approve_a_small_one(piktid: Callable[..., Response]) -> None:
    plain = Image.new("RGB", (256, 256), "#4e79a7")
    faces = piktid("/consistent_identities/upload_target", **upload(plain)).json()["faces"]
    assert (faces["number_of_faces"], faces["approved_faces"]) == (0, [])
    assert piktid("/consistent_identities/upload_face", **upload(plain)).status_code == 400
    small = plain.copy()
    small.paste(astronaut().resize((96, 96)), (80, 80))
    faces = piktid("/consistent_identities/upload_target", **upload(small)).json()["faces"]
    assert (faces["number_of_faces"], faces["approved_faces"]) == (1, [0])
    broken = {"files": {"file": ("a.png", encoded(plain)[:100])}}
    assert piktid("/consistent_identities/upload_target", **broken).status_code == 400


def test_a_variation_has_the_inputs_size_and_person(client: Client) -> None:
    model = astronaut().crop((40, 0, 280, 320))
    submit = "/hidream/api-pub/ec/v3/image/variation/async"
    order = {"image": base64.b64encode(encoded(model)).decode(), "template_id": 22}
    task = client.post(submit, json=order).json()["result"]["task_id"]

    def results() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = client.get(f"{submit}/results", params={"task_id": task}).json()["result"][
            "sub_task_results"
        ]
        return found

    until(lambda: [item["task_status"] for item in results()] == [SUCCESS, SUCCESS])
    images = [item["image"] for item in results()]
    urls = [f"/hidream/image/{image}.jpg" if image.startswith("p_") else image for image in images]
    found = [picture(client.get(url).content) for url in urls]
    assert [(image.format, image.size) for image in found] == [("JPEG", (240, 320))] * 2
    assert all(len(detect(np.asarray(image))) == 1 for image in found)
    assert ImageChops.difference(*found).getbbox() is not None


def test_a_variation_of_what_cannot_be_fetched_is_refused(client: Client) -> None:
    submit = "/hidream/api-pub/ec/v3/image/variation/async"
    answer = client.post(submit, json={"image": "http://127.0.0.1:1/a.png", "template_id": 20}).json()
    assert answer["code"] == 1051
    assert client.get("/_sandbox/bill").json()["lines"] == []


def generated(client: Client, **more: object) -> Image.Image:
    order = {
        "app_id": "ap-jL9u1wFpY5sRv2XmN3aQ44", "image": data_url(officer()), "prompt": "an astronaut", "batch": 1,
        "height": 320, "width": 256, "gender": "female", "remove_background": False, "celery": True,
    } | more  # fmt: skip
    handle = client.post("/qolaba/getImageToImage", json=order).json()["task_id"]
    until(lambda: client.post("/qolaba/getImage", json={"id": handle}).json()["status"] != "PENDING")
    answer = client.post("/qolaba/getImage", json={"id": handle}).json()
    assert answer["status"] == "SUCCESS", answer
    return picture(client.get(answer["output"]["result"][0]).content)


def test_a_drawing_is_flat_between_outlines_and_still_shows_the_face() -> None:
    photo = np.asarray(astronaut())
    drawing = cartoon(photo)

    def flatness(picture: np.ndarray[Any, np.dtype[np.uint8]]) -> float:
        """The part of neighbouring pixels that are all but alike."""
        return float((np.abs(np.diff(picture.astype(np.int16), axis=1)) <= 1).mean())

    assert drawing.shape == photo.shape
    assert flatness(drawing) > 1.25 * flatness(photo)
    assert len(detect(drawing)) == 1


def test_an_avatar_is_a_drawing_and_may_stand_alone(client: Client) -> None:
    drawing = np.asarray(generated(client), np.int16)
    alone = generated(client, remove_background=True)
    coloured = generated(client, remove_background=True, bg_color="#fa0")

    photo = portrait(np.asarray(officer()), prompt="an astronaut", width=256, height=320, seed=30)
    to_photo, to_drawing = (np.abs(drawing - picture).mean() for picture in (photo, cartoon(photo)))
    assert to_drawing < 0.6 * to_photo
    assert (alone.format, alone.mode, alone.getpixel((0, 0))[3]) == ("PNG", "RGBA", 0)  # type: ignore[index]
    assert (coloured.format, coloured.mode) == ("JPEG", "RGB")
    corner = coloured.getpixel((0, 0))
    assert isinstance(corner, tuple)
    assert np.abs(np.subtract(corner, (255, 170, 0))).max() < 12  # JPEG at the quality of the avatar's code


def test_a_portrait_comes_in_the_format_asked_for(client: Client) -> None:
    body = {
        "version": "8baa7ef2255075b46f4d91cd238c21d31181b3e6a864463f967960bb0112525b",
        "input": {"main_face_image": data_url(officer()), "prompt": "an officer", "width": 256, "height": 256},
    }
    handle = client.post("/replicate/v1/predictions", json=body).json()["id"]

    def found() -> dict[str, Any]:
        answer: dict[str, Any] = client.get(f"/replicate/v1/predictions/{handle}").json()
        return answer

    until(lambda: found()["status"] not in {"starting", "processing"})
    image = picture(client.get(found()["output"][0]).content)
    assert (image.format, image.size) == ("WEBP", (256, 256))
