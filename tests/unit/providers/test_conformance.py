"""What every adapter must do with every provider's bad day; one suite for all of them."""

from __future__ import annotations

import inspect
import json
import uuid
from typing import Any, get_args

import pytest

from models.states import Reason
from providers import PROVIDERS, operation
from providers.outcomes import (
    LocateOutcome,
    NotYetKnown,
    PollOutcome,
    Refused,
    SubmitOutcome,
    Throttled,
    Unanswered,
    Unclear,
)
from providers.protocol import MAX_ANSWER_BYTES, Endpoint, NotSentError, Provider, Reply, UnclearError
from providers.spec import FittedOptions
from tests.unit.providers.cases import CASES
from tests.unit.providers.scripted import (
    REFERENCE,
    SECRET,
    WRITE_BEFORE,
    Case,
    ScriptedHttp,
    always,
    raises,
    reply,
    run,
)
from tests.words import names

HTML = b"<!doctype html><title>Bad gateway</title>"
HTTP_DATE = "Sat, 21 Nov 2026 05:00:{:02d} GMT"

each_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.operation)


def submitted(case: Case, answer: Reply) -> SubmitOutcome:
    return run(case.build(ScriptedHttp(always(answer))).submit(case.order(), write_before=WRITE_BEFORE))


def polled(case: Case, answer: Reply) -> PollOutcome:
    return run(case.build(ScriptedHttp(always(answer))).poll([case.attempt()]))[REFERENCE]


def test_every_operation_has_a_case() -> None:
    assert {case.operation for case in CASES} == {name for adapter in PROVIDERS.values() for name in adapter.OPERATIONS}


@each_case
def test_the_adapter_meets_the_protocol(case: Case) -> None:
    adapter = case.adapter
    for name, wanted in inspect.getmembers(Provider, inspect.isfunction):
        if not name.startswith("_"):
            given = inspect.signature(getattr(adapter, name))
            assert list(given.parameters) == list(inspect.signature(wanted).parameters), name
    assert PROVIDERS[adapter.NAME] is adapter
    assert adapter.POLL_MANY >= 1


@each_case
def test_the_operation_describes_itself(case: Case) -> None:
    found = operation(case.operation)
    assert found.name == case.operation
    assert found.name.startswith(f"{case.adapter.NAME}.")
    of_columns = {role for role, need in found.needs.items() if need.option is None}
    assert of_columns == ({"source", "target"} if found.kind == "swap" else {"image"})
    assert {need.option for need in found.needs.values() if need.option} <= set(found.options.model_fields)
    assert issubclass(found.options, FittedOptions) == any(need.exact for need in found.needs.values())
    assert found.summary
    if found.count is not None:
        assert found.pictures_for({}) == found.options.model_fields[found.count].default
        assert found.pictures_for({found.count: 3}) == 3


def test_an_unknown_operation_is_answered_with_the_known_ones() -> None:
    with pytest.raises(KeyError, match=r"zhiqite\.swap"):
        operation("zhiqite.sing")


@each_case
def test_unknown_options_and_settings_are_errors_that_name_the_field(case: Case) -> None:
    for model, values in ((operation(case.operation).options, case.options), (case.adapter.SETTINGS, case.settings)):
        with pytest.raises(ValueError, match="no_such_field"):
            model.model_validate({**values, "no_such_field": 1})


@each_case
def test_another_providers_settings_are_refused_at_start(case: Case) -> None:
    foreign = next(other for other in CASES if other.provider != case.provider)
    endpoint = Endpoint(
        "main", case.base_url, ScriptedHttp(always(reply())), foreign.adapter.SETTINGS.model_validate(foreign.settings)
    )
    with pytest.raises(Exception, match=names("accounts.main")):
        case.adapter(endpoint)  # type: ignore[call-arg]


@each_case
def test_only_the_submission_is_paid_and_it_carries_the_deadline(case: Case) -> None:
    http = ScriptedHttp(always(reply(502, HTML)))
    provider = case.build(http)
    run(provider.submit(case.order(), write_before=WRITE_BEFORE))
    assert http.deadlines[-1] == WRITE_BEFORE
    assert http.timeouts[-1] == 30.0
    before = len(http.requests)
    run(provider.poll([case.attempt()]))
    run(provider.locate(case.attempt()))
    run(provider.check())
    assert set(http.deadlines[before:]) <= {None}


@each_case
@pytest.mark.parametrize("status", [401, 403])
def test_refused_credentials(case: Case, status: int) -> None:
    outcome = submitted(case, reply(status, HTML))
    assert isinstance(outcome, Refused)
    assert outcome.reason is Reason.AUTH
    assert run(case.build(ScriptedHttp(always(reply(status, HTML)))).check()).ok is False


@each_case
def test_no_credit(case: Case) -> None:
    outcome = submitted(case, reply(402, {"message": "no"}))
    assert isinstance(outcome, Refused)
    assert outcome.reason is Reason.CREDIT


@each_case
@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "12"}, 12.0),
        ({"retry-after": HTTP_DATE.format(40), "date": HTTP_DATE.format(10)}, 30.0),
        ({"retry-after": "soon"}, None),
        ({}, None),
    ],
)
def test_throttled(case: Case, headers: dict[str, str], seconds: float | None) -> None:
    answer = Reply(429, headers, b"slow down")
    outcome = submitted(case, answer)
    assert outcome == Throttled(seconds, raw=b"slow down")
    asked = polled(case, answer)
    assert isinstance(asked, Unanswered)
    assert asked.retry_after == seconds


@pytest.mark.heavy
@each_case
@pytest.mark.parametrize("status", [200, 202, 204, 303, 408, 409, 500, 502, 503, 504, 520])
@pytest.mark.parametrize("body", [HTML, b"", b"{", b'{"truncated": [1, 2', b"null", b"[]", b"7", b"[" * 50_000])
def test_an_answer_that_decides_nothing_is_unclear(case: Case, status: int, body: bytes) -> None:
    """The provider may have taken the job: neither paid again nor forgotten."""
    answer = reply(status, body, retry_after="5")
    outcome = submitted(case, answer)
    assert isinstance(outcome, Unclear), outcome
    assert outcome.raw == body
    assert str(status) in outcome.message
    assert isinstance(polled(case, answer), Unanswered)


@each_case
@pytest.mark.parametrize(
    ("status", "reason"), [(301, "provider_error"), (307, "provider_error"), (404, "provider_error")]
)
def test_a_wrong_address_is_a_refusal_that_says_so(case: Case, status: int, reason: str) -> None:
    outcome = submitted(case, reply(status, HTML, location="https://elsewhere.example/"))
    assert isinstance(outcome, Refused)
    assert outcome.reason == reason
    assert "base_url" in outcome.message


@each_case
def test_no_answer_is_the_engines_business(case: Case) -> None:
    """`NotSentError` and `UnclearError` come through as they are, from every call that sends."""
    for error in (NotSentError("refused"), UnclearError("reset")):
        http = ScriptedHttp(raises(error))
        provider = case.build(http)
        with pytest.raises(type(error)):
            run(provider.submit(case.order(), write_before=WRITE_BEFORE))
        with pytest.raises(type(error)):
            run(provider.poll([case.attempt()]))
        if case.adapter.CAN_LOCATE:
            with pytest.raises(type(error)):
                run(provider.locate(case.attempt()))
        with pytest.raises(type(error)):
            run(provider.check())


@each_case
def test_an_unusable_answer_never_makes_a_submission_absent(case: Case) -> None:
    for answer in (reply(200, HTML), reply(200, b"{"), reply(500, HTML), reply(429), reply(401), reply(404, HTML)):
        outcome = run(case.build(ScriptedHttp(always(answer))).locate(case.attempt()))
        assert isinstance(outcome, NotYetKnown), (answer, outcome)
        assert outcome.message


@each_case
def test_an_attempt_that_the_provider_never_named_is_not_polled_into_an_end(case: Case) -> None:
    """Without a handle a poll may find an answer or none, but it must not raise and not fail the job."""
    nameless = type(case.attempt())(uuid.uuid4(), case.operation, handle=None)
    outcomes = run(case.build(ScriptedHttp(always(reply(502, HTML)))).poll([nameless]))
    assert all(isinstance(outcome, Unanswered) for outcome in outcomes.values())


@each_case
def test_secrets_show_up_in_requests_only(case: Case) -> None:
    provider = case.build(ScriptedHttp(always(reply(401, {"message": "wrong"}))))
    seen = [
        run(provider.submit(case.order(), write_before=WRITE_BEFORE)),
        run(provider.poll([case.attempt()])),
        run(provider.check()),
        case.adapter.SETTINGS.model_validate(case.settings),
    ]
    assert SECRET not in repr(seen)
    with pytest.raises(ValueError, match="no_such_field") as caught:
        case.adapter.SETTINGS.model_validate({**case.settings, "no_such_field": SECRET})
    assert SECRET not in str(caught.value)


@each_case
@pytest.mark.parametrize("start", [b'{"a": "', b"[", b'{"a": [1, 2, {"b": "'])
def test_the_longest_answer_that_is_read_is_survived(case: Case, start: bytes) -> None:
    """`Http` reads no more than `MAX_ANSWER_BYTES`; what is longer it reports as unclear itself."""
    answer = reply(200, start.ljust(MAX_ANSWER_BYTES, b"x" if start.endswith(b'"') else b"["))
    assert isinstance(submitted(case, answer), Unclear)
    assert isinstance(polled(case, answer), Unanswered)


@each_case
@pytest.mark.parametrize(
    "body", [HTML, b"", b"{", b"null", b"[]", b'"x"', b"[" * 50_000, b'{"id": {}, "task_id": [1]}']
)
def test_a_callback_that_names_nothing_proves_nothing(case: Case, body: bytes) -> None:
    assert case.build(ScriptedHttp(always(reply()))).callback_handle(body) is None


@each_case
def test_the_outcomes_are_closed_sets(case: Case) -> None:
    answer = reply(200, {"anything": "else"})
    assert type(submitted(case, answer)) in get_args(SubmitOutcome)
    assert type(polled(case, answer)) in get_args(PollOutcome)
    located = run(case.build(ScriptedHttp(always(answer))).locate(case.attempt()))
    assert type(located) in get_args(LocateOutcome)


@each_case
def test_options_come_back_from_json_as_they_were(case: Case) -> None:
    """Options lie in the job's row as JSON until they are sent."""
    options = case.order().options
    stored: Any = json.loads(options.model_dump_json())
    assert type(options).model_validate(stored) == options
