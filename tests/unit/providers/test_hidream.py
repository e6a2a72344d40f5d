"""HiDream's tokens: one that lasts, or an API key that is exchanged for a token of a day."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

from models.states import Reason
from providers.hidream import HidreamSettings
from providers.outcomes import Accepted, Done, Pending, PollOutcome, Refused
from providers.protocol import NotSentError, Reply
from providers.sessions import MemorySessions
from tests.http import Request
from tests.unit.providers.cases import HIDREAM_VARIATION
from tests.unit.providers.scripted import WRITE_BEFORE, ScriptedHttp, always, in_turn, reply, run
from tests.words import names, unsaid

KEY = {"token": None, "api_key": "key"}
GRANTED = reply(
    200, {"code": 0, "message": "Success", "result": {"token": "eyJ.t", "expire_time": "2026-11-22T00:00:00Z"}}
)
TAKEN = reply(200, {"code": 0, "result": {"task_id": "t1"}})


def session(token: str, seconds: float) -> bytes:
    return json.dumps({"token": token, "until": datetime.now(UTC).timestamp() + seconds}).encode()


def submitted(http: ScriptedHttp, sessions: MemorySessions) -> object:
    provider = HIDREAM_VARIATION.build(http, sessions=sessions, **KEY)
    return run(provider.submit(HIDREAM_VARIATION.order(), write_before=WRITE_BEFORE))


@pytest.mark.parametrize("credentials", [{}, {"token": "t", "api_key": "k"}])
def test_one_credential_is_wanted(credentials: dict[str, str]) -> None:
    with pytest.raises(ValidationError, match=names("token", "api_key")):
        HidreamSettings.model_validate(credentials)


def test_a_key_is_exchanged_once_and_its_token_kept() -> None:
    sessions = MemorySessions()
    http = ScriptedHttp(in_turn([GRANTED, TAKEN, TAKEN]))
    assert isinstance(submitted(http, sessions), Accepted)
    assert isinstance(submitted(http, sessions), Accepted)
    exchange, submission, again = http.requests
    assert exchange.method == "GET"
    assert str(exchange.url) == "https://www.hidreamai.com/prod-api/user/apikey2token"
    assert exchange.headers["api-key"] == "key"
    assert "authorization" not in exchange.headers
    assert submission.headers["authorization"] == again.headers["authorization"] == "Bearer eyJ.t"
    assert http.deadlines == [None, WRITE_BEFORE, WRITE_BEFORE]
    kept = json.loads(sessions.session or b"")
    assert 0 < kept["until"] - datetime.now(UTC).timestamp() < 24 * 3600


@pytest.mark.parametrize("stored", ["expired", "", "{", '{"token": "old"}', '{"until": 9e99}'])
def test_a_token_about_to_end_is_renewed_before_it_is_used(stored: str) -> None:
    http = ScriptedHttp(in_turn([GRANTED, TAKEN]))
    sessions = MemorySessions(session("old", -1) if stored == "expired" else stored.encode())
    assert isinstance(submitted(http, sessions), Accepted)
    assert len(http.requests) == 2


def test_a_rejected_token_is_renewed_once() -> None:
    http = ScriptedHttp(in_turn([reply(401), GRANTED, reply(401, {"code": 401, "message": "no"})]))
    outcome = submitted(http, MemorySessions(session("old", 3600)))
    assert isinstance(outcome, Refused)
    assert outcome.reason is Reason.AUTH
    assert len(http.requests) == 3


def test_a_key_that_is_refused_inside_http_200_is_refused() -> None:
    outcome = submitted(ScriptedHttp(always(reply(200, {"code": 1003, "message": "api-key无效"}))), MemorySessions())
    assert isinstance(outcome, Refused)
    assert outcome.reason is Reason.AUTH


@pytest.mark.parametrize("answer", [reply(500), reply(200, b"<html>"), reply(200, {"code": 0, "result": {}})])
def test_an_exchange_that_fails_without_a_refusal_sent_nothing(answer: Reply) -> None:
    with pytest.raises(NotSentError, match=names("login")):
        submitted(ScriptedHttp(always(answer)), MemorySessions())


def test_the_newer_clients_header_can_be_chosen() -> None:
    http = ScriptedHttp(in_turn([GRANTED, TAKEN]))
    provider = HIDREAM_VARIATION.build(http, sessions=MemorySessions(), **KEY, api_key_header="Refresh-Token")
    run(provider.submit(HIDREAM_VARIATION.order(), write_before=WRITE_BEFORE))
    first: Request = http.requests[0]
    assert first.headers["refresh-token"] == "key"


@pytest.mark.parametrize(
    ("body", "handle"),
    [
        (b'{"code": 0, "result": {"task_id": "t1", "sub_task_results": []}}', "t1"),
        (b'{"task_id": "t1", "result": {"sub_task_results": []}}', "t1"),
        (b'{"code": 0, "request_id": "r1", "result": {"sub_task_results": [{"sub_task_id": "s1"}]}}', None),
        (b'{"main_task_id": "m1", "result": []}', None),
    ],
)
def test_a_callback_may_name_the_task(body: bytes, handle: str | None) -> None:
    assert HIDREAM_VARIATION.build(ScriptedHttp(always(reply()))).callback_handle(body) == handle


# --- Sub tasks ---------------------------------------------------------------------------------------------------

PARTS = ("s1", "s2", "s3")
MADE = {"task_status": 1, "image": "https://s.example/{}.png"}


def polled(*tasks: dict[str, object], left: float = 100.0, parts: tuple[str, ...] = PARTS) -> PollOutcome:
    """What is read of a task's results; each of `tasks` is under its place's name unless it has one."""
    named = [
        {
            "sub_task_id": f"s{number}",
            **task,
            **({"image": f"https://s.example/{number}.png"} if "image" in task else {}),
        }
        for number, task in enumerate(tasks, 1)
    ]
    answer = reply(200, {"code": 0, "result": {"sub_task_results": named}})
    attempt = replace(HIDREAM_VARIATION.attempt(), left=left, parts=parts)
    return run(HIDREAM_VARIATION.build(ScriptedHttp(always(answer))).poll([attempt]))[attempt.reference]


@pytest.mark.parametrize(
    "tasks",
    [
        [],
        [MADE],
        [MADE, MADE],
        [MADE, {"task_status": 3}],
        [MADE, MADE, MADE | {"sub_task_id": "s2"}],  # one of them twice
        [MADE, MADE, MADE | {"sub_task_id": "another"}],
        [MADE, MADE, {"task_status": 2}],
        [MADE, MADE, {"task_status": None}],
        [MADE | {"sub_task_id": None}, MADE],
        [{"task_status": 4}, {"task_status": 3}],
    ],
)
def test_a_result_is_whole_when_every_sub_task_of_the_acceptance_has_ended(tasks: list[dict[str, object]]) -> None:
    assert isinstance(polled(*tasks), Pending)


def test_pictures_beside_failures_are_a_result_that_says_what_is_missing() -> None:
    found = polled(MADE, {"task_status": 4, "description": "审核未通过"}, {"task_status": 3})
    assert isinstance(found, Done)
    assert ([output.url for output in found.outputs], found.made) == (["https://s.example/1.png"], 3)
    assert unsaid(found.missing or "", 1, 3, "safety review", "审核未通过") == []
    whole = polled(MADE, MADE, MADE)
    assert isinstance(whole, Done)
    assert (len(whole.outputs), whole.missing) == (3, None)


def test_at_the_deadline_the_pictures_that_are_there_are_taken() -> None:
    found = polled(MADE, {"task_status": 2}, left=0.0)
    assert isinstance(found, Done)
    assert (len(found.outputs), found.made) == (1, 3)
    assert unsaid(found.missing or "", 1, 3) == []
    assert isinstance(polled({"task_status": 3}, {"task_status": 2}, left=0.0), Pending)


def test_without_the_names_of_the_acceptance_the_results_are_believed() -> None:
    """Its answer was lost, and a callback proved it."""
    found = polled(MADE, MADE, parts=())
    assert isinstance(found, Done)
    assert (len(found.outputs), found.made, found.missing) == (2, 2, None)
