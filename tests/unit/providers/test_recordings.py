"""What each provider's documents say, exchange by exchange: our request as they want it, their answer as we read it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest

from providers.protocol import Provider, Reply, UploadError
from providers.spec import Input
from tests.http import Request
from tests.unit.providers.cases import CASES
from tests.unit.providers.scripted import (
    PICTURE,
    RECORDINGS,
    REFERENCE,
    WRITE_BEFORE,
    Case,
    ScriptedHttp,
    in_turn,
    reply,
    run,
)

BY_OPERATION = {case.operation: case for case in CASES}
#: What the HTTP client adds to any request.
TRANSPORT_HEADERS = {"host", "content-length"}


def scenes() -> Iterator[Any]:
    for path in sorted(RECORDINGS.glob("*.json")):
        for scene in json.loads(path.read_text(encoding="utf-8")):
            yield pytest.param(scene, id=f"{path.stem} {scene['call']}: {scene['name']}")


def answer_of(exchange: Mapping[str, Any]) -> Reply:
    recorded = exchange["reply"]
    body = recorded["text"].encode() if "text" in recorded else recorded.get("json", b"")
    return reply(recorded.get("status", 200), body, **recorded.get("headers", {}))


async def perform(case: Case, provider: Provider, scene: Mapping[str, Any]) -> object:
    order = case.order(prompt=scene.get("prompt"), callback_url=scene.get("callback_url"), **scene.get("options", {}))
    if "urls" in scene:
        order = replace(order, inputs={role: Input(url=url) for role, url in scene["urls"].items()})
    match scene["call"]:
        case "submit":
            return await provider.submit(order, write_before=WRITE_BEFORE)
        case "poll":
            polled = await provider.poll([case.attempt(age=scene.get("age", 0.0))])
            return polled.get(REFERENCE)
        case "look_up":
            return await provider.look_up(case.attempt())
        case "locate":
            return await provider.locate(case.attempt())
        case "check":
            return await provider.check()
        case "acknowledge":
            await provider.acknowledge(scene["receipts"])
            return None
        case "upload":
            try:
                return await provider.upload(scene["role"], order, PICTURE)
            except UploadError as error:
                return error.outcome
    raise AssertionError(f"unknown call {scene['call']!r}")


def as_data(value: object) -> Any:
    """A request's or an outcome's value as the recording writes it."""
    if isinstance(value, tuple):
        return [as_data(item) for item in value]
    if hasattr(value, "__dataclass_fields__"):
        return {name: as_data(getattr(value, name)) for name in value.__dataclass_fields__}
    return value


def check_request(sent: Request, wanted: Mapping[str, Any]) -> None:
    assert sent.method == wanted["method"]
    assert str(sent.url) == wanted["url"]
    headers = {name.lower(): value for name, value in sent.headers.items() if name.lower() not in TRANSPORT_HEADERS}
    if "form" in wanted:
        content_type = headers.pop("content-type")
        assert content_type.startswith("multipart/form-data; boundary=")
        parts = sent.read().split(b"--" + content_type.partition("boundary=")[2].encode())
        assert [part.strip(b"\r\n").decode("latin-1") for part in parts[1:-1]] == wanted["form"]
    elif "json" in wanted:
        assert json.loads(sent.read()) == wanted["json"]
    else:
        assert sent.read() == b""
    assert headers == wanted["headers"]


@pytest.mark.parametrize("scene", list(scenes()))
def test_recording(scene: Mapping[str, Any]) -> None:
    case = BY_OPERATION[scene["operation"]]
    http = ScriptedHttp(in_turn([answer_of(exchange) for exchange in scene["exchanges"]]))
    provider = case.build(http, **scene.get("settings", {}))

    outcome = run(perform(case, provider, scene))

    for exchange, sent in zip(scene["exchanges"], http.requests, strict=True):
        if "request" in exchange:
            check_request(sent, exchange["request"])
    wanted = dict(scene["outcome"])
    assert type(outcome).__name__ == wanted.pop("type")
    if "value" in wanted:
        assert outcome == wanted.pop("value")
    told = as_data(outcome)
    assert {name: told[name] for name in wanted} == wanted


def test_every_operation_has_a_recorded_request_for_each_call_it_makes() -> None:
    """A submission, and a poll, stand field by field in a recording for every provider."""
    recorded = {
        (scene["operation"] if scene["call"] == "submit" else scene["operation"].partition(".")[0], scene["call"])
        for path in RECORDINGS.glob("*.json")
        for scene in json.loads(path.read_text(encoding="utf-8"))
        if any("request" in exchange for exchange in scene["exchanges"])
    }
    for case in CASES:
        assert (case.operation, "submit") in recorded
        assert (case.provider, "poll") in recorded
