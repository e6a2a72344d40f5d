"""Faults on request, and what each leaves on the bill."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import pytest

from sandbox import SandboxConfig
from sandbox.faults import Call, Faults, Rule
from tests.http import Client
from tests.sandbox_client import connected
from workers.images.segments import BadPictureError
from workers.images.verify import verify

V1 = "/zhiqite/AIGCImgOpenServ/saas/tool/roop"
HEADERS = {
    "X-Request-req-accessKeyId": "sandbox",
    "X-Request-req-accessKeySecret": "sandbox",
    "Authorization": "Bearer sandbox",
}
ORDER = {"sourceUrl": "http://127.0.0.1/a", "targetUrl": "http://127.0.0.1/b", "businessTaskId": "one"}
GENERATION = {
    "app_id": "ap-SwsTOsD7STxJ0obCkskUHw", "image": "http://127.0.0.1/a", "prompt": "an officer", "batch": 3,
    "height": 256, "width": 256, "num_inference_steps": 20, "guidance_scale": 7, "strength": 1, "celery": True,
}  # fmt: skip


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    with connected(SandboxConfig(home=tmp_path, pictures="cheap", latency=0), HEADERS) as client:
        yield client


def fault(client: Client, name: str, **more: Any) -> None:
    assert client.post("/_sandbox/faults", json={"fault": name, **more}).status_code == 200


def billed(client: Client) -> int:
    return len(client.get("/_sandbox/bill").json()["lines"])


def query(client: Client) -> dict[str, Any]:
    answer: dict[str, Any] = client.post(f"{V1}/queryTask", json={"businessTaskId": "one"}).json()
    return answer


def test_throttled_says_when_in_both_forms_and_takes_nothing(client: Client) -> None:
    fault(client, "throttle", retry_after=7, times=1)
    fault(client, "throttle", retry_after=60, retry_after_form="http-date", times=1)
    first, second, third = (client.post(V1, json=ORDER) for _ in range(3))
    assert (first.status_code, first.headers["Retry-After"]) == (429, "7")
    until = parsedate_to_datetime(second.headers["Retry-After"]) - datetime.now(UTC)
    assert 55 <= until.total_seconds() <= 60
    assert third.json()["code"] == "200"
    assert billed(client) == 1


@pytest.mark.parametrize(("stage", "lines"), [("before", 0), ("after", 1)])
def test_a_gateway_error_hides_whether_the_job_was_taken(client: Client, stage: str, lines: int) -> None:
    fault(client, "error5xx", stage=stage, status=504, where={"call": "submit"})
    answer = client.post(V1, json=ORDER)
    assert (answer.status_code, answer.headers["content-type"][:9]) == (504, "text/html")
    assert billed(client) == lines
    assert (query(client)["code"] == "200") == bool(lines)


@pytest.mark.parametrize(("stage", "lines"), [("before", 0), ("after", 1)])
def test_a_reset_hides_whether_the_job_was_taken(client: Client, stage: str, lines: int) -> None:
    fault(client, "reset", stage=stage)
    with pytest.raises(ConnectionResetError):
        client.post(V1, json=ORDER)
    assert billed(client) == lines


def test_a_malformed_answer_is_half_of_one(client: Client) -> None:
    fault(client, "malformed", where={"call": "submit"})
    answer = client.post(V1, json=ORDER)
    assert answer.status_code == 200
    with pytest.raises(ValueError, match=r"Unterminated|Expecting"):
        answer.json()
    assert billed(client) == 1


def test_a_lost_job_is_billed_and_unknown(client: Client) -> None:
    fault(client, "lost")
    assert client.post(V1, json=ORDER).json()["code"] == "200"
    assert query(client)["code"] != "200"
    handle = client.post("/qolaba/getImagetoImage", json=GENERATION).json()["task_id"]
    assert client.post("/qolaba/getImage", json={"id": handle}).json()["status"] == "PENDING"
    assert [line["status"] for line in client.get("/_sandbox/bill").json()["lines"]] == ["lost", "lost"]


def test_a_late_job_is_pending_for_longer(client: Client) -> None:
    fault(client, "late", seconds=3600)
    client.post(V1, json=ORDER)
    assert query(client)["data"]["status"] not in {1, 2}


@pytest.mark.parametrize("name", ["auth", "out_of_credit"])
def test_refusals_have_the_providers_own_form(client: Client, name: str) -> None:
    fault(client, name)
    zhiqite = client.post(V1, json=ORDER)
    assert zhiqite.status_code == 200
    assert zhiqite.json()["code"] != "200"
    qolaba = client.post("/qolaba/getImagetoImage", json=GENERATION)
    assert qolaba.status_code == {"auth": 500, "out_of_credit": 402}[name]
    assert billed(client) == 0


def test_withheld_pictures(client: Client) -> None:
    fault(client, "withhold", pictures=2)
    handle = client.post("/qolaba/getImagetoImage", json=GENERATION).json()["task_id"]
    output = client.post("/qolaba/getImage", json={"id": handle}).json()["output"]
    assert (len(output["result"]), output["Has_NSFW_Content"]) == (1, [True, True, False])


def test_a_dead_url_lives_again_when_asked_later(client: Client) -> None:
    client.post(V1, json=ORDER)
    url = query(client)["data"]["outputImageUrl"]
    fault(client, "expired_url", status=403, times=1)
    fault(client, "malformed", where={"call": "file"}, times=1)
    dead, half, whole = (client.get(url) for _ in range(3))
    assert (dead.status_code, half.status_code, whole.status_code) == (403, 200, 200)
    assert half.content == whole.content[: len(whole.content) // 2]


@pytest.mark.parametrize("damage", ["half", "empty", "html", "noise"])
def test_a_damaged_file_is_answered_as_a_whole_one(client: Client, damage: str) -> None:
    client.post(V1, json=ORDER)
    url = query(client)["data"]["outputImageUrl"]
    fault(client, "damaged", damage=damage, times=1)
    damaged, whole = client.get(url), client.get(url)
    assert (damaged.status_code, damaged.headers["Content-Type"]) == (200, whole.headers["Content-Type"])
    assert not damaged.content.startswith(whole.content)
    verify(whole.content)
    with pytest.raises(BadPictureError):
        verify(damaged.content)


@pytest.mark.parametrize(("given", "header"), [({"retry_after": 9}, "9"), ({}, None)])
def test_a_gateway_says_when_to_come_back_if_it_is_told_to(
    client: Client, given: dict[str, Any], header: str | None
) -> None:
    fault(client, "error5xx", stage="before", status=503, where={"call": "poll"}, **given)
    answer = client.post(f"{V1}/queryTask", json={"businessTaskId": "one"})
    assert (answer.status_code, answer.headers.get("Retry-After")) == (503, header)


def test_files_expire(tmp_path: Path) -> None:
    config = SandboxConfig(home=tmp_path, pictures="cheap", latency=0, files_expire=0)
    with connected(config, HEADERS) as client:
        client.post(V1, json=ORDER)
        assert client.get(query(client)["data"]["outputImageUrl"]).status_code == 404


def test_a_file_is_not_there_before_its_job_is_done(tmp_path: Path) -> None:
    config = SandboxConfig(home=tmp_path, pictures="cheap", latency=3600)
    with connected(config, HEADERS) as client:
        client.post(V1, json=ORDER)
        for name in ("1-0.png", "2-0.png", "1-0.jpg", "x"):
            assert client.get(f"/_files/zhiqite/{name}").status_code == 404


def test_rules_are_listed_counted_and_dropped(client: Client) -> None:
    fault(client, "auth", times=1)
    client.post(V1, json=ORDER)
    [rule] = client.get("/_sandbox/faults").json()
    assert (rule["fault"], rule["fired"]) == ("auth", 1)
    assert client.delete("/_sandbox/faults").json() == []
    assert client.get("/_sandbox/stats").json()["faults"] == {"auth": 1}


@pytest.mark.parametrize(
    "rule",
    [{"fault": "explode"}, {"fault": "reset", "stage": "during"}, {"fault": "reset", "where": {"user": "x"}}, {}],
)
def test_a_wrong_rule_is_refused(client: Client, rule: dict[str, Any]) -> None:
    assert client.post("/_sandbox/faults", json=rule).status_code == 400
    assert client.get("/_sandbox/faults").json() == []


CALL = Call("zhiqite", "submit", "swap", "sandbox-2", "job-17")


@pytest.mark.parametrize(
    ("where", "meant"),
    [
        ({}, True),
        ({"provider": "zhiqite", "call": "submit", "operation": "swap", "account": "sandbox-2"}, True),
        ({"reference": "job-1?"}, True),
        ({"reference": "job-2*"}, False),
        ({"provider": "qolaba"}, False),
        ({"call": "poll"}, False),
        ({"operation": "swap_v2"}, False),
        ({"account": "sandbox"}, False),
    ],
)
def test_where(where: dict[str, str], meant: bool) -> None:
    faults = Faults()
    faults.add(Rule.model_validate({"fault": "reset", "where": where}))
    assert (faults.draw(CALL) is not None) == meant


def test_chance_is_repeatable_and_near_what_was_asked() -> None:
    def draws(seed: int) -> list[bool]:
        faults = Faults()
        faults.add(Rule(fault="reset", probability=0.3, seed=seed))
        return [faults.draw(CALL) is not None for _ in range(1000)]

    assert draws(1) == draws(1) != draws(2)
    assert 250 < sum(draws(1)) < 350


def test_a_fault_of_a_job_does_not_happen_to_a_poll() -> None:
    faults = Faults()
    faults.add(Rule(fault="lost", times=1))
    assert faults.draw(Call("zhiqite", "poll", "swap", "sandbox", "one")) is None
    assert faults.draw(CALL) is not None
