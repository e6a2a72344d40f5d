"""The sandbox's Replicate, against Replicate's pages."""

from __future__ import annotations

import base64
import hmac
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from sandbox import SandboxConfig, replicate
from sandbox.config import WEBHOOK_SECRET
from tests.http import Client
from tests.sandbox_client import Clock, Receiver, connected, picture, receiving, until

CREATE = "/replicate/v1/predictions"
KEY = {"Authorization": "Bearer sandbox"}
HOUR = 3600.0
SWAP: dict[str, Any] = {
    "version": "codeplugtech/face-swap:278a81e7ebb22db98bcba54de985d22cc1abeead2754eb1f2af717247be69b34",
    "input": {"input_image": "http://127.0.0.1/scene.png", "swap_image": "http://127.0.0.1/face.png"},
}
PORTRAIT: dict[str, Any] = {
    "version": "8baa7ef2255075b46f4d91cd238c21d31181b3e6a864463f967960bb0112525b",
    "input": {
        "main_face_image": "http://127.0.0.1/face.png", "prompt": "an officer", "width": 256, "height": 320,
        "num_outputs": 3, "true_cfg": 1,
    },
}  # fmt: skip


@contextmanager
def sandbox(home: Path, **more: Any) -> Iterator[Client]:
    settings: dict[str, Any] = {"latency": 0.0} | more
    with connected(SandboxConfig(home=home, pictures="cheap", **settings), KEY) as client:
        yield client


def created(client: Client, body: dict[str, Any], **more: object) -> dict[str, Any]:
    answer = client.post(CREATE, json=body | more)
    assert answer.status_code == 201
    prediction: dict[str, Any] = answer.json()
    return prediction


def prediction(client: Client, handle: str) -> dict[str, Any]:
    found: dict[str, Any] = client.get(f"{CREATE}/{handle}").json()
    return found


def ends(client: Client) -> dict[str, int]:
    found: dict[str, int] = client.get("/_sandbox/stats").json()["callback_ends"]
    return found


def signed(receiver: Receiver, index: int) -> bool:
    """Check a webhook as the page "Verify webhooks" tells to."""
    headers = receiver.headers[index]
    key = base64.b64decode(WEBHOOK_SECRET.split("_")[1])
    content = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + receiver.bodies[index]
    assert abs(time.time() - int(headers["webhook-timestamp"])) < 60
    expected = base64.b64encode(hmac.digest(key, content, "sha256")).decode()
    return headers["webhook-signature"] == f"v1,{expected}"


def test_a_prediction_starts_and_runs_and_succeeds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(replicate, "time", clock)
    with sandbox(tmp_path, latency=HOUR) as client:
        handle = created(client, SWAP)["id"]
        seen = []
        for part in (0.1, 0.5, 1.1):
            clock.ahead = part * HOUR
            found = prediction(client, handle)
            times = [found[name] is not None for name in ("started_at", "completed_at", "output")]
            seen.append((found["status"], *times))
        assert seen == [
            ("starting", False, False, False),
            ("processing", True, False, False),
            ("succeeded", True, True, True),
        ]
        assert found["urls"]["get"] == f"http://sandbox{CREATE}/{handle}"
        assert (found["input"], found["model"]) == (SWAP["input"], "codeplugtech/face-swap")


def test_a_swap_has_one_address_and_a_portrait_a_list(tmp_path: Path) -> None:
    with sandbox(tmp_path) as client:
        one = created(client, SWAP)["output"]
        assert picture(client.get(one).content).format == "PNG"
        for form, found in (("webp", "WEBP"), ("jpg", "JPEG"), ("png", "PNG")):
            body = PORTRAIT | {"input": PORTRAIT["input"] | {"output_format": form}}
            urls = created(client, body)["output"]
            assert [url.rpartition(".")[2] for url in urls] == [form] * 3
            images = [picture(client.get(url).content) for url in urls]
            assert {(image.format, image.size) for image in images} == {(found, (256, 320))}
        lines = client.get("/_sandbox/bill").json()["lines"]
        assert [(line["operation"], line["pictures"], line["amount"]) for line in lines] == [
            ("swap", 1, "0.01"),
            *[("generate", 3, "0.04")] * 3,
        ]
        assert [line["handle"] for line in lines] == [line["reference"] for line in lines]


@pytest.mark.parametrize(
    "body",
    [
        {},
        SWAP | {"version": "0" * 64},
        SWAP | {"input": None},
        SWAP | {"input": {"input_image": "http://127.0.0.1/a"}},
        SWAP | {"input": SWAP["input"] | {"swap_image": "face.png"}},
        SWAP | {"webhook": "nowhere"},
        SWAP | {"webhook": "http://127.0.0.1/", "webhook_events_filter": ["end"]},
        SWAP | {"webhook": "http://127.0.0.1/", "webhook_events_filter": "completed"},
        PORTRAIT | {"input": PORTRAIT["input"] | {"num_outputs": 5}},
        PORTRAIT | {"input": PORTRAIT["input"] | {"width": 255}},
    ],
)
def test_what_cannot_be_run_is_a_problem_and_not_billed(tmp_path: Path, body: dict[str, Any]) -> None:
    with sandbox(tmp_path) as client:
        answer = client.post(CREATE, json=body)
        assert (answer.status_code, answer.json()["status"]) == (422, 422)
        assert answer.json().keys() == {"title", "detail", "status"}
        assert client.get("/_sandbox/bill").json()["lines"] == []


def test_wrong_tokens_and_unknown_predictions(tmp_path: Path) -> None:
    with sandbox(tmp_path) as client:
        handle = created(client, SWAP)["id"]
        for path in (f"{CREATE}/{handle}", "/replicate/v1/account", "/replicate/v1/webhooks/default/secret"):
            assert client.get(path).status_code == 200
            answer = client.get(path, headers={"Authorization": "Bearer stolen"})
            assert (answer.status_code, answer.json()["title"]) == (401, "Unauthenticated")
        assert client.post(CREATE, json=SWAP, headers={"Authorization": ""}).status_code == 401
        assert client.get(f"{CREATE}/unknown").status_code == 404
        assert client.get(f"{CREATE}/{handle}", headers={"Authorization": "Bearer sandbox-2"}).status_code == 404


def test_the_account_and_the_signing_secret(tmp_path: Path) -> None:
    with sandbox(tmp_path) as client:
        assert client.get("/replicate/v1/account").json()["username"] == "sandbox"
        assert client.get("/replicate/v1/webhooks/default/secret").json() == {"key": WEBHOOK_SECRET}


@pytest.mark.parametrize(
    ("rule", "status", "error"),
    [
        ({"error": "no_face"}, "failed", "No face"),
        ({"error": "content"}, "failed", "NSFW"),
        ({"error": "internal"}, "failed", "interrupted"),
        ({"form": "canceled"}, "canceled", None),
    ],
)
def test_a_prediction_can_fail_or_be_canceled(
    tmp_path: Path, rule: dict[str, str], status: str, error: str | None
) -> None:
    with sandbox(tmp_path) as client:
        client.post("/_sandbox/faults", json={"fault": "fail", **rule})
        found = prediction(client, created(client, SWAP)["id"])
        assert (found["status"], found["output"]) == (status, None)
        assert found["error"] is None if error is None else error in found["error"]


@pytest.mark.parametrize(("withheld", "left"), [(2, 1), (3, 0)])
def test_withheld_pictures_are_missing_and_without_any_it_fails(tmp_path: Path, withheld: int, left: int) -> None:
    with sandbox(tmp_path) as client:
        client.post("/_sandbox/faults", json={"fault": "withhold", "pictures": withheld})
        found = created(client, PORTRAIT)
        assert (found["status"], len(found["output"] or [])) == ("succeeded" if left else "failed", left)


def test_a_lost_prediction_is_unknown_and_billed(tmp_path: Path) -> None:
    with sandbox(tmp_path) as client:
        client.post("/_sandbox/faults", json={"fault": "lost"})
        assert client.get(f"{CREATE}/{created(client, SWAP)['id']}").status_code == 404
        assert [line["status"] for line in client.get("/_sandbox/bill").json()["lines"]] == ["lost"]


def test_what_is_removed_says_so(tmp_path: Path) -> None:
    with sandbox(tmp_path, files_expire=0.0) as client:
        found = created(client, SWAP)
        assert (found["status"], found["output"], found["data_removed"], found["input"]) == (
            "succeeded",
            None,
            True,
            {},
        )


def test_throttled_says_when_in_its_text_and_no_credit_is_402(tmp_path: Path) -> None:
    with sandbox(tmp_path) as client:
        client.post("/_sandbox/faults", json={"fault": "throttle", "retry_after": 30, "times": 1})
        client.post("/_sandbox/faults", json={"fault": "out_of_credit", "times": 1})
        throttled, broke = client.post(CREATE, json=SWAP), client.post(CREATE, json=SWAP)
        assert (throttled.status_code, "resets in ~30s" in throttled.json()["detail"]) == (429, True)
        assert "Retry-After" not in throttled.headers
        assert (broke.status_code, broke.json()["title"]) == (402, "Insufficient credit")
        assert client.get("/_sandbox/bill").json()["lines"] == []


def test_webhooks_are_signed_and_have_the_form_of_the_prediction(tmp_path: Path) -> None:
    with sandbox(tmp_path) as client, receiving((204, b"")) as receiver:
        found = created(client, SWAP, webhook=receiver.url, webhook_events_filter=["completed"])
        until(lambda: ends(client) == {"taken": 1})
        assert json.loads(receiver.bodies[0]) == prediction(client, found["id"])
        assert signed(receiver, 0)


@pytest.mark.parametrize(
    ("events", "count"),
    [(None, 2), (["start", "output", "logs", "completed"], 3), (["start"], 1), (["completed"], 1), (["logs"], 0)],
)
def test_the_filter_chooses_events(tmp_path: Path, events: list[str] | None, count: int) -> None:
    with sandbox(tmp_path) as client, receiving((200, b"")) as receiver:
        more = {} if events is None else {"webhook_events_filter": events}
        created(client, SWAP, webhook=receiver.url, **more)
        created(client, SWAP, webhook=receiver.url, webhook_events_filter=["completed"])
        until(lambda: ends(client) == {"taken": count + 1})
        assert len({headers["webhook-id"] for headers in receiver.headers}) == count + 1


def test_the_last_webhook_is_repeated_under_its_id_and_the_others_are_not(tmp_path: Path) -> None:
    with sandbox(tmp_path, callback_scale=0) as client, receiving((500, b"")) as receiver:
        created(client, SWAP, webhook=receiver.url)
        until(lambda: ends(client) == {"given_up": 2})
        ids = [headers["webhook-id"] for headers in receiver.headers]
        assert sorted(ids.count(found) for found in set(ids)) == [1, 1 + 5]
        assert all(signed(receiver, index) for index in range(len(ids)))


def test_a_forged_webhook_has_no_valid_signature(tmp_path: Path) -> None:
    with sandbox(tmp_path, latency=0.3) as client, receiving((200, b"")) as receiver:
        client.post("/_sandbox/faults", json={"fault": "callback_forged"})
        created(client, SWAP, webhook=receiver.url, webhook_events_filter=["completed"])
        until(lambda: ends(client) == {"taken": 2})
        bodies = [json.loads(body) for body in receiver.bodies]
        assert [body["status"] for body in bodies] == ["succeeded", "succeeded"]
        assert [client.get(body["output"]).status_code for body in bodies] == [404, 200]
        assert [signed(receiver, index) for index in range(2)] == [False, True]
