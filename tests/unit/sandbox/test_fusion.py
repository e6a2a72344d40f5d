"""The sandbox's Multiple Face Swap, against what Zhiqite's page says, its callback included."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from sandbox import SandboxConfig
from tests.http import Client
from tests.sandbox_client import Receiver, connected, picture, receiving, until

FUSION = "/zhiqite/AIGCImgOpenServ/saas/tool/face/fusion"
KEYS = {"X-Request-req-accessKeyId": "sandbox", "X-Request-req-accessKeySecret": "sandbox"}
FACE, OTHER, SCENE = (f"http://127.0.0.1/{name}.png" for name in ("face", "other", "scene"))


@contextmanager
def sandbox(home: Path, **more: Any) -> Iterator[Client]:
    settings: dict[str, Any] = {"latency": 0.0} | more
    with connected(SandboxConfig(home=home, pictures="cheap", **settings), KEYS) as client:
        yield client


def order(**more: object) -> dict[str, object]:
    return {"sourceUrl": [FACE], "targetUrl": SCENE, "businessTaskId": "111612"} | more


def ends(client: Client) -> dict[str, int]:
    found: dict[str, int] = client.get("/_sandbox/stats").json()["callback_ends"]
    return found


@pytest.mark.parametrize("more", [{}, {"sourceUrl": [FACE, OTHER]}, {"faceIdx": 2}, {"callbackUrl": ""}])
def test_a_fusion_is_queried_under_its_own_tool(tmp_path: Path, more: dict[str, object]) -> None:
    with sandbox(tmp_path) as client:
        answer = client.post(FUSION, json=order(**more)).json()
        assert (answer["code"], answer["data"]["toolTask"]) == ("200", "face/fusion")
        query = client.post(f"{FUSION}/queryTask", json={"businessTaskId": "111612"}).json()
        assert (query["code"], query["data"]["status"]) == ("200", 1)
        assert picture(client.get(query["data"]["outputImageUrl"]).content).format == "PNG"
        other = client.post(FUSION.replace("face/fusion", "v2/roop") + "/queryTask", json={"businessTaskId": "111612"})
        assert other.json()["code"] != "200"
        [line] = client.get("/_sandbox/bill").json()["lines"]
        assert (line["operation"], line["amount"], line["reference"]) == ("swap_faces", "0.04", "111612")


@pytest.mark.parametrize(
    "more",
    [
        {"sourceUrl": FACE},
        {"sourceUrl": []},
        {"sourceUrl": [FACE, OTHER, FACE]},
        {"sourceUrl": [7]},
        {"targetUrl": [SCENE]},
        {"faceIdx": 0},
        {"faceIdx": "1"},
        {"faceIdx": True},
        {"callbackUrl": "somewhere"},
    ],
)
def test_bad_parameters_are_refused_and_not_billed(tmp_path: Path, more: dict[str, object]) -> None:
    with sandbox(tmp_path) as client:
        assert client.post(FUSION, json=order(**more)).json()["code"] != "200"
        assert client.get("/_sandbox/bill").json()["lines"] == []


@pytest.mark.parametrize("answer", [b'{"code": "200"}', b'{"code": 200, "msg": "ok"}'])
def test_the_callback_is_the_envelope_of_the_result(tmp_path: Path, answer: bytes) -> None:
    with sandbox(tmp_path) as client, receiving((200, answer)) as receiver:
        client.post(FUSION, json=order(callbackUrl=receiver.url))
        until(lambda: ends(client) == {"taken": 1})
        [body] = map(json.loads, receiver.bodies)
        assert body == client.post(f"{FUSION}/queryTask", json={"businessTaskId": "111612"}).json()
        assert body["data"]["status"] == 1
        assert receiver.headers[0]["content-type"] == "application/json"


def test_a_failure_is_called_back_as_well(tmp_path: Path) -> None:
    with sandbox(tmp_path) as client, receiving() as receiver:
        client.post("/_sandbox/faults", json={"fault": "fail", "error": "no_face"})
        client.post(FUSION, json=order(callbackUrl=receiver.url))
        until(lambda: len(receiver.bodies) == 1)
        assert json.loads(receiver.bodies[0])["data"]["status"] == 2


@pytest.mark.parametrize("tool", ["roop", "v2/roop"])
def test_the_single_swaps_have_no_callback(tmp_path: Path, tool: str) -> None:
    with sandbox(tmp_path) as client, receiving() as receiver:
        single = order(sourceUrl=FACE, callbackUrl=receiver.url)
        assert client.post(FUSION.replace("face/fusion", tool), json=single).json()["code"] == "200"
        client.post(FUSION, json=order(callbackUrl=receiver.url))
        until(lambda: ends(client) == {"taken": 1})
        assert [json.loads(body)["data"]["toolTask"] for body in receiver.bodies] == ["face/fusion"]


def test_http_200_alone_is_not_enough_and_repetitions_come_later_and_later(tmp_path: Path) -> None:
    not_taken = [(200, b""), (200, b"ok"), (200, b'{"code": "500"}')]
    with sandbox(tmp_path, callback_scale=0.02) as client, receiving(*not_taken, (500, b'{"code": "200"}')) as receiver:
        client.post(FUSION, json=order(callbackUrl=receiver.url))
        until(lambda: ends(client) == {"taken": 1})
        waits = [later - earlier for earlier, later in zip(receiver.times, receiver.times[1:], strict=False)]
        assert len(set(receiver.bodies)) == 1
        assert [wait >= 0.02 * seconds for wait, seconds in zip(waits, (3, 5, 15), strict=True)] == [True] * 3


def test_a_callback_is_repeated_ten_times_and_given_up(tmp_path: Path) -> None:
    with sandbox(tmp_path, callback_scale=0) as client, receiving((200, b"{}")) as receiver:
        client.post(FUSION, json=order(callbackUrl=receiver.url))
        until(lambda: ends(client) == {"given_up": 1})
        assert len(receiver.bodies) == 1 + 10
        assert client.get("/_sandbox/stats").json()["callbacks"] == 11


def test_nobody_there_is_not_taken(tmp_path: Path) -> None:
    with receiving() as gone:
        pass
    with sandbox(tmp_path, callback_scale=0) as client:
        client.post(FUSION, json=order(callbackUrl=gone.url))
        until(lambda: ends(client) == {"given_up": 1})


def fault(client: Client, name: str, **more: object) -> None:
    assert client.post("/_sandbox/faults", json={"fault": name, **more}).status_code == 200


def submitted(client: Client, receiver: Receiver, *references: str) -> None:
    for reference in references:
        client.post(FUSION, json=order(businessTaskId=reference, callbackUrl=receiver.url))


def test_a_dropped_callback_never_comes(tmp_path: Path) -> None:
    with sandbox(tmp_path) as client, receiving() as receiver:
        fault(client, "callback_dropped", times=1, where={"operation": "swap_faces"})
        submitted(client, receiver, "one", "two")
        until(lambda: ends(client) == {"taken": 1})
        task_id = client.post(f"{FUSION}/queryTask", json={"businessTaskId": "two"}).json()["data"]["taskId"]
        assert [json.loads(body)["data"]["taskId"] for body in receiver.bodies] == [task_id]
        assert client.get("/_sandbox/stats").json()["faults"] == {"callback_dropped": 1}


def test_a_late_callback_comes_after_the_others(tmp_path: Path) -> None:
    with sandbox(tmp_path) as client, receiving() as receiver:
        fault(client, "callback_late", times=1, seconds=0.3)
        submitted(client, receiver, "one", "two")
        until(lambda: ends(client) == {"taken": 2})
        assert [json.loads(body)["data"]["taskId"] for body in receiver.bodies] == ["1117", "1116"]


def test_a_duplicated_callback_comes_twice(tmp_path: Path) -> None:
    with sandbox(tmp_path) as client, receiving() as receiver:
        fault(client, "callback_duplicated", times=1)
        submitted(client, receiver, "one")
        until(lambda: ends(client) == {"taken": 2})
        assert len(set(receiver.bodies)) == 1


def test_a_forged_callback_claims_a_success_while_the_job_runs(tmp_path: Path) -> None:
    with sandbox(tmp_path, latency=0.3) as client, receiving() as receiver:
        fault(client, "callback_forged", times=1)
        submitted(client, receiver, "one")
        until(lambda: len(receiver.bodies) == 1)
        forged = json.loads(receiver.bodies[0])["data"]
        running = client.post(f"{FUSION}/queryTask", json={"businessTaskId": "one"}).json()["data"]
        assert (forged["taskId"], forged["status"], running["status"]) == (running["taskId"], 1, 3)
        assert client.get(forged["outputImageUrl"]).status_code == 404
        until(lambda: ends(client) == {"taken": 2})
        assert client.get(json.loads(receiver.bodies[1])["data"]["outputImageUrl"]).status_code == 200


def test_other_faults_do_not_happen_to_callbacks(tmp_path: Path) -> None:
    with sandbox(tmp_path) as client, receiving() as receiver:
        fault(client, "throttle", where={"call": "callback"})
        fault(client, "callback_dropped", where={"call": "submit"})
        submitted(client, receiver, "one")
        until(lambda: ends(client) == {"taken": 1})
        assert client.get("/_sandbox/stats").json()["faults"] == {}


def test_a_lost_job_calls_nobody_back(tmp_path: Path) -> None:
    with sandbox(tmp_path) as client, receiving() as receiver:
        fault(client, "lost", times=1)
        submitted(client, receiver, "one", "two")
        until(lambda: ends(client) == {"taken": 1})
        assert len(receiver.bodies) == 1


def test_a_restart_calls_back_for_what_was_running(tmp_path: Path) -> None:
    with receiving() as receiver:
        with sandbox(tmp_path, latency=0.5) as client:
            submitted(client, receiver, "one")
        assert receiver.bodies == []
        with sandbox(tmp_path) as client:
            until(lambda: ends(client) == {"taken": 1})
        assert json.loads(receiver.bodies[0])["data"]["status"] == 1
