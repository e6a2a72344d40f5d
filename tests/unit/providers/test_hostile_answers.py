"""A thousand hostile answers for each operation: always a named outcome that can be stored, never an exception."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import fields
from functools import cache
from random import Random
from typing import Any, get_args

import pytest

from providers.answers import MAX_HANDLE_CHARS, read
from providers.outcomes import (
    Accepted,
    Credentials,
    Done,
    Found,
    LocateOutcome,
    PollOutcome,
    Refused,
    SubmitOutcome,
    Throttled,
    Unanswered,
    Unclear,
)
from providers.protocol import Reply, UnclearError
from tests.unit.providers.cases import CASES
from tests.unit.providers.scripted import RECORDINGS, WRITE_BEFORE, Case, ScriptedHttp, always, run

pytestmark = pytest.mark.heavy

ANSWERS = 1_000

#: Every status that has a meaning of its own somewhere, and some that have none.
STATUSES = (
    100, 200, 201, 202, 204, 206, 301, 302, 303, 307, 400, 401, 402, 403, 404, 405, 408, 409, 410, 413, 415, 422, 425,
    429, 451, 499, 500, 501, 502, 503, 504, 520, 599, 999,
)  # fmt: skip

JUNK: tuple[Any, ...] = (
    None, True, False, 0, 1, 2, -1, 10**30, 1.5, float("nan"), float("inf"), -float("inf"), 1e308,
    "", " ", "\x00", "a\x00b", "\ud800", "\u202e", "200", "1", "x" * 5_000, "SUCCESS", "FAILED", "no face found",
    "https://", "https://ok.example/a b", "https://ok.example/\x00", "http://ok.example/x.png", "javascript:alert(1)",
    "file:///etc/passwd", "//host/x", [], [[]], [None], {}, {"": None}, ["https://ok.example/1.png", None, 3],
    [{"l": "https://ok.example/2.png"}], {"l": {"l": {"l": 1}}}, "HTTPS://OK.EXAMPLE/\ud800", "9" * 400, "\u0661",
)  # fmt: skip

NOISE: tuple[bytes, ...] = (
    b"", b"\x00", b"null", b"true", b"7", b'"text"', b"NaN", b"[]", b"{}", b"[" * 3_000, b'{"a":' * 3_000,
    b"\xff\xfe{\x00}\x00", b"\xef\xbb\xbf{}", b"<!doctype html><html>503</html>", b"<?xml version='1.0'?><a/>",
    b'{"code": "200", "status": "PENDING"}{"code": "200"}', b'{"code":' + b"9" * 5_000 + b"}",
    b'{"task_id": "\\ud800"}',
    b"\x89PNG\r\n\x1a\n", b"HTTP/1.1 200 OK\r\n\r\n{}", b'{"status": 1e999, "code": -0}',
)  # fmt: skip

RETRY_AFTERS = (
    "",
    "0",
    "-5",
    "7",
    "1e400",
    "nan",
    "inf",
    "soon",
    "Sat, 21 Nov 2026 05:00:00 GMT",
    "9" * 400,
    "\u0661\u0662",
)


@cache
def honest_bodies(provider: str) -> tuple[Any, ...]:
    """Every JSON body that the provider's recordings have."""
    scenes = json.loads((RECORDINGS / f"{provider}.json").read_text(encoding="utf-8"))
    bodies = [exchange["reply"].get("json") for scene in scenes for exchange in scene["exchanges"]]
    return tuple(body for body in bodies if isinstance(body, dict))


def places(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The path of every member and item inside `value`."""
    children: list[tuple[str | int, Any]] = []
    if isinstance(value, dict):
        children = list(value.items())
    elif isinstance(value, list):
        children = list(enumerate(value))
    for key, child in children:
        yield (*path, key)
        yield from places(child, (*path, key))


def damaged(chance: Random, body: Any) -> Any:
    """A copy of `body` with up to three members lost, wrapped, or replaced by junk, and perhaps one nobody heard of."""
    body = copy.deepcopy(body)
    for _ in range(chance.randint(0, 3)):
        paths = list(places(body))
        if not paths:
            break
        *parents, last = chance.choice(paths)
        holder = body
        for key in parents:
            holder = holder[key]
        damage = chance.randint(0, 5)
        if damage == 0:
            del holder[last]
        elif damage == 1:
            holder[last] = [holder[last]]
        else:
            holder[last] = copy.deepcopy(chance.choice(JUNK))
    if chance.random() < 0.5:
        body["unheard_of"] = copy.deepcopy(chance.choice(JUNK))
    return body


def hostile_body(chance: Random, provider: str) -> bytes:
    """Noise, or an honest body that was damaged somewhere, in one of five cases cut off as well."""
    if chance.random() < 0.2:
        return chance.choice(NOISE) if chance.random() < 0.5 else chance.randbytes(chance.randint(0, 64))
    raw = json.dumps(damaged(chance, chance.choice(honest_bodies(provider)))).encode()
    return raw[: chance.randint(0, len(raw))] if chance.random() < 0.2 else raw


def hostile_reply(chance: Random, provider: str) -> Reply:
    headers = {"retry-after": chance.choice(RETRY_AFTERS), "date": chance.choice(RETRY_AFTERS)}
    status = 200 if chance.random() < 0.5 else chance.choice(STATUSES)
    return Reply(status, headers, hostile_body(chance, provider))


def assert_storable(value: object) -> None:
    """PostgreSQL takes it: no NUL, no lone surrogates, no NaN, nothing unbounded."""
    text = json.dumps(value, allow_nan=False, ensure_ascii=False)
    text.encode("utf-8")
    assert "\\u0000" not in text
    assert len(text) < 100_000


def assert_sound(outcome: Any, answer: Reply) -> None:
    told: dict[str, Any] = {field.name: getattr(outcome, field.name) for field in fields(outcome)}
    raw = told.pop("raw", b"")
    assert isinstance(raw, bytes)
    assert len(raw) <= 2 * len(answer.body)
    if isinstance(outcome, Done):
        assert outcome.outputs
        for output in told.pop("outputs"):
            assert output.url.lower().startswith(("http://", "https://"))
            assert " " not in output.url
            assert_storable([output.url, dict(output.facts)])
        told["facts"] = dict(outcome.facts)
    assert_storable(told)
    if isinstance(outcome, Accepted | Found):
        assert 0 < len(outcome.handle) <= MAX_HANDLE_CHARS
        assert outcome.handle.isascii()
    if isinstance(outcome, Throttled | Unanswered) and outcome.retry_after is not None:
        assert 0 <= outcome.retry_after <= 24 * 3600
    if "message" in told:
        assert told["message"].strip()


def assert_careful(outcome: SubmitOutcome, answer: Reply) -> None:
    """What cannot be read is neither an acceptance nor a refusal, unless the status itself proves one."""
    if read(answer.body).problem and (answer.status < 300 or answer.status >= 500):
        assert isinstance(outcome, Unclear)
    if isinstance(outcome, Refused | Throttled) and answer.status < 300:
        assert read(answer.body).is_object


def assert_survives(case: Case, answer: Reply) -> None:
    provider = case.build(ScriptedHttp(always(answer)))
    submitted = run(provider.submit(case.order(), write_before=WRITE_BEFORE))
    assert type(submitted) in get_args(SubmitOutcome)
    assert_sound(submitted, answer)
    assert_careful(submitted, answer)
    polled: Mapping[Any, PollOutcome] = run(provider.poll([case.attempt(age=1e6)]))
    for outcome in polled.values():
        assert type(outcome) in get_args(PollOutcome)
        assert_sound(outcome, answer)
    looked_up = run(provider.look_up(case.attempt()))
    assert type(looked_up) in get_args(PollOutcome)
    assert_sound(looked_up, answer)
    with suppress(UnclearError):
        for choice in run(provider.choices()):
            assert_storable([choice.value, dict(choice.about)])
    located = run(provider.locate(case.attempt()))
    assert type(located) in get_args(LocateOutcome)
    assert_sound(located, answer)
    checked = run(provider.check())
    assert isinstance(checked, Credentials)
    assert_sound(checked, answer)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.operation)
def test_a_thousand_hostile_answers(case: Case) -> None:
    for number in range(ANSWERS):
        # A seed of each answer's own: one that fails is made again by itself, whatever came before it.
        answer = hostile_reply(Random(f"{case.operation} {number}"), case.provider)
        try:
            assert_survives(case, answer)
        except Exception as error:
            error.add_note(f"answer {number} of {case.operation}: {answer!r}")
            raise
