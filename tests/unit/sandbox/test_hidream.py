"""The sandbox's HiDream, against HiDream's pages and its own clients."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from sandbox import SandboxConfig, hidream
from tests.http import Client
from tests.sandbox_client import Clock, connected, encoded, picture, receiving, until

BASE = "/hidream"
SUBMIT = f"{BASE}/api-pub/ec/v3/image/variation/async"
RESULTS = f"{SUBMIT}/results"
TOKEN = f"{BASE}/prod-api/user/apikey2token"
TEMPLATES = f"{BASE}/api-pub/ec/v3/template/variation"
KEY = {"Authorization": "Bearer sandbox"}
HOUR = 3600.0


def base64_of(width: int, height: int, form: str = "PNG") -> str:
    return base64.b64encode(encoded(Image.new("RGB", (width, height), "#59a14f"), form)).decode()


ORDER: dict[str, object] = {"image": base64_of(96, 128), "template_id": 20, "request_id": "ours"}


@contextmanager
def sandbox(home: Path, **more: Any) -> Iterator[Client]:
    settings: dict[str, Any] = {"latency": 0.0} | more
    with connected(SandboxConfig(home=home, pictures="cheap", **settings), KEY) as client:
        yield client


def submitted(client: Client, **more: object) -> dict[str, Any]:
    answer = client.post(SUBMIT, json=ORDER | more).json()
    assert answer["code"] == 0
    result: dict[str, Any] = answer["result"]
    return result


def results(client: Client, task: str) -> list[dict[str, Any]]:
    answer = client.get(RESULTS, params={"task_id": task}).json()
    assert answer["code"] == 0
    found: list[dict[str, Any]] = answer["result"]["sub_task_results"]
    return found


def refused(client: Client, **more: object) -> int:
    answer = client.post(SUBMIT, json=ORDER | more)
    assert answer.status_code == 200
    assert client.get("/_sandbox/bill").json()["lines"] == []
    code: int = answer.json()["code"]
    return code


@pytest.mark.parametrize("header", ["Api-Key", "Refresh-Token"])
def test_a_key_is_exchanged_for_a_token_of_a_day(tmp_path: Path, header: str) -> None:
    with sandbox(tmp_path) as client:
        answer = client.get(TOKEN, headers={header: "sandbox-2"}).json()
        assert (answer["code"], answer["result"]["token"][:3]) == (0, "eyJ")
        left = datetime.fromisoformat(answer["result"]["expire_time"]) - datetime.now(UTC)
        assert timedelta(hours=23) < left <= timedelta(days=1)
        headers = {"Authorization": f"Bearer {answer['result']['token']}"}
        assert client.post(SUBMIT, json=ORDER, headers=headers).json()["code"] == 0
        assert [line["account"] for line in client.get("/_sandbox/bill").json()["lines"]] == ["sandbox-2"]


def test_a_wrong_key_gives_no_token_and_an_expired_token_is_401(tmp_path: Path) -> None:
    with sandbox(tmp_path, tokens_expire=0.0) as client:
        wrong = client.get(TOKEN, headers={"Api-Key": "stolen"})
        assert (wrong.status_code, wrong.json()["code"] == 0, wrong.json()["result"]) == (200, False, None)
        token = client.get(TOKEN, headers={"Api-Key": "sandbox"}).json()["result"]["token"]
        for value in (token, "stolen", "MTIz", ""):
            for method, path in (("POST", SUBMIT), ("GET", RESULTS), ("GET", TEMPLATES)):
                answer = client.request(method, path, headers={"Authorization": f"Bearer {value}"})
                assert (answer.status_code, answer.json()["code"]) == (401, 401)


@pytest.mark.parametrize(("template", "pictures"), [(20, 3), (21, 1), (22, 2)])
def test_a_task_has_a_sub_task_for_each_picture_and_costs_one_call(
    tmp_path: Path, template: int, pictures: int
) -> None:
    with sandbox(tmp_path) as client:
        result = submitted(client, template_id=template)
        assert len(set(result["sub_task_ids"])) == pictures
        found = results(client, result["task_id"])
        assert [item["sub_task_id"] for item in found] == result["sub_task_ids"]
        assert {item["task_status"] for item in found} == {1}
        [line] = client.get("/_sandbox/bill").json()["lines"]
        assert (line["pictures"], line["amount"], line["reference"]) == (pictures, "0.06", "ours")


def test_pictures_are_addresses_or_bare_ids_and_have_the_inputs_size(tmp_path: Path) -> None:
    with sandbox(tmp_path) as client:
        images = [item["image"] for item in results(client, submitted(client)["task_id"])]
        bare = [image for image in images if image.startswith("p_")]
        assert 0 < len(bare) < len(images)
        urls = [f"{BASE}/image/{image}.jpg" if image in bare else image for image in images]
        files = [client.get(url) for url in urls]
        assert {file.headers["content-type"] for file in files} == {"image/jpeg"}
        assert {(found.format, found.size) for found in (picture(file.content) for file in files)} == {
            ("JPEG", (96, 128))
        }
        assert len({file.content for file in files}) == 3


@pytest.mark.parametrize("name", ["p_00000000-0000-4000-8000-000000000001", "p_x", "x"])
def test_an_unknown_id_leads_to_nothing(tmp_path: Path, name: str) -> None:
    with sandbox(tmp_path) as client:
        task = submitted(client)["task_id"]
        for path in (f"{name}.jpg", f"p_{task}.jpg", f"p_{task[:-2]}09.jpg"):
            assert client.get(f"{BASE}/image/{path}").status_code == 404


@pytest.mark.parametrize(
    "image",
    [base64_of(768, 1024), base64_of(1536, 2048), base64_of(96, 128, "JPEG"), "http://127.0.0.1/unknown.png"],
)
def test_three_by_four_up_to_2048_is_taken(tmp_path: Path, image: str) -> None:
    with sandbox(tmp_path) as client:
        submitted(client, image=image)


@pytest.mark.parametrize(
    "image",
    [
        base64_of(500, 800),
        base64_of(767, 1024),
        base64_of(1539, 2052),
        base64_of(128, 96),
        "data:image/png;base64," + base64_of(96, 128),
        base64.b64encode(b"no picture").decode(),
        "",
        None,
        7,
    ],
)
def test_any_other_picture_is_refused_with_http_200(tmp_path: Path, image: object) -> None:
    with sandbox(tmp_path) as client:
        assert refused(client, image=image) == 1051


@pytest.mark.parametrize("more", [{"template_id": 0}, {"template_id": "20"}, {"template_id": 41}, {"notify_url": "x"}])
def test_other_parameters_are_refused_as_well(tmp_path: Path, more: dict[str, object]) -> None:
    with sandbox(tmp_path) as client:
        assert refused(client, **more) not in {0, 1051}


def test_the_picture_must_not_be_called_person(tmp_path: Path) -> None:
    with sandbox(tmp_path) as client:
        answer = client.post(SUBMIT, json={"person": ORDER["image"], "template_id": 20})
        assert answer.json()["code"] != 0


def test_a_request_id_is_echoed_and_not_one_task(tmp_path: Path) -> None:
    with sandbox(tmp_path) as client:
        first, second = (client.post(SUBMIT, json=ORDER).json() for _ in range(2))
        assert first["request_id"] == second["request_id"] == "ours"
        assert first["result"]["task_id"] != second["result"]["task_id"]
        assert len(client.get("/_sandbox/bill").json()["lines"]) == 2


def test_sub_tasks_appear_queue_and_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    with sandbox(tmp_path, latency=HOUR) as client:
        client.post("/_sandbox/faults", json={"fault": "withhold", "pictures": 1})
        task = submitted(client)["task_id"]
        monkeypatch.setattr(hidream, "time", clock)
        seen = []
        for part in (0.1, 0.3, 0.6, 0.8, 1.1):
            clock.ahead = part * HOUR
            seen.append([item["task_status"] for item in results(client, task)])
        assert seen == [[], [0, 0, 0], [2, 2, 2], [4], [4, 1, 1]]


def test_sub_tasks_end_apart_and_the_list_has_the_others_in_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    with sandbox(tmp_path, latency=HOUR) as client:
        tasks = [submitted(client) for _ in range(2)]
        monkeypatch.setattr(hidream, "time", clock)
        clock.ahead = 0.8 * HOUR
        found = [results(client, task["task_id"]) for task in tasks]
        assert [[item["task_status"] for item in items] for items in found] == [[1], [1, 2, 2]]
        assert found[0][0]["sub_task_id"] == tasks[0]["sub_task_ids"][0]


@pytest.mark.parametrize(("error", "status"), [("content", 4), ("no_face", 1004), ("internal", 3), ("unreadable", 3)])
def test_a_failed_task_fails_with_all_its_pictures(tmp_path: Path, error: str, status: int) -> None:
    with sandbox(tmp_path) as client:
        client.post("/_sandbox/faults", json={"fault": "fail", "error": error})
        found = results(client, submitted(client)["task_id"])
        assert [item["task_status"] for item in found] == [status] * 3
        assert all(item["description"] and "image" not in item for item in found)


def test_an_unknown_and_a_lost_task_are_refused(tmp_path: Path) -> None:
    with sandbox(tmp_path) as client:
        client.post("/_sandbox/faults", json={"fault": "lost"})
        for task in ("unknown", submitted(client)["task_id"]):
            answer = client.get(RESULTS, params={"task_id": task, "request_id": "asked"}).json()
            assert (answer["code"] == 0, answer["request_id"]) == (False, "asked")


def test_no_credit_is_told_with_http_200(tmp_path: Path) -> None:
    with sandbox(tmp_path) as client:
        client.post("/_sandbox/faults", json={"fault": "out_of_credit"})
        assert refused(client) != 0


def test_templates_come_in_pages(tmp_path: Path) -> None:
    with sandbox(tmp_path) as client:
        pages = [
            client.get(TEMPLATES, params={"gender": "man", "page_size": 15, "page_index": index}).json()["result"]
            for index in (1, 2, 3)
        ]
        assert [len(page["templates"]) for page in pages] == [15, 5, 0]
        assert (pages[0]["total_count"], pages[0]["total_page"]) == (20, 2)
        ids = [template["id"] for page in pages for template in page["templates"]]
        assert 20 in ids
        assert len(set(ids)) == 20
        assert picture(client.get(pages[0]["templates"][0]["show_image"]).content).format == "JPEG"


@pytest.mark.parametrize("query", [{}, {"gender": "cat"}, {"gender": "man", "page_size": 101}, {"page_index": "x"}])
def test_a_wrong_question_for_templates_is_refused(tmp_path: Path, query: dict[str, str | int]) -> None:
    with sandbox(tmp_path) as client:
        assert client.get(TEMPLATES, params=query).json()["code"] != 0


def test_the_callback_is_the_result(tmp_path: Path) -> None:
    with sandbox(tmp_path) as client, receiving((200, b"")) as receiver:
        task = submitted(client, notify_url=receiver.url)["task_id"]
        until(lambda: client.get("/_sandbox/stats").json()["callback_ends"] == {"taken": 1})
        assert [json.loads(body) for body in receiver.bodies] == [client.get(RESULTS, params={"task_id": task}).json()]


def test_a_callback_is_sent_three_times_at_most(tmp_path: Path) -> None:
    with sandbox(tmp_path, callback_scale=0) as client, receiving((201, b'{"code": "200"}')) as receiver:
        submitted(client, notify_url=receiver.url)
        until(lambda: client.get("/_sandbox/stats").json()["callback_ends"] == {"given_up": 1})
        assert len(receiver.bodies) == 3


def test_a_forged_callback_shows_pictures_that_are_not_there(tmp_path: Path) -> None:
    with sandbox(tmp_path, latency=HOUR) as client, receiving((200, b"")) as receiver:
        client.post("/_sandbox/faults", json={"fault": "callback_forged"})
        result = submitted(client, notify_url=receiver.url)
        until(lambda: len(receiver.bodies) == 1)
        found = json.loads(receiver.bodies[0])["result"]["sub_task_results"]
        assert [item["sub_task_id"] for item in found] == result["sub_task_ids"]
        assert {item["task_status"] for item in found} == {1}
        assert {client.get(f"{BASE}/image/{item['image']}.jpg").status_code for item in found} == {404}
