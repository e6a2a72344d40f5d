"""The lenient reading of answers, getter by getter."""

from __future__ import annotations

import json
from typing import Any

import pytest

from providers.answers import MAX_HANDLE_CHARS, MAX_ITEMS, MAX_TEXT_CHARS, Answer, clean, read
from providers.protocol import MAX_ANSWER_BYTES


def test_missing_members_lead_nowhere_without_raising() -> None:
    answer = read(b'{"a": [{"b": "c"}]}')
    assert answer["a"][0]["b"].text == "c"
    for missing in (answer["x"]["y"][3], answer["a"]["b"], answer["a"][-1], answer["a"][9], answer["a"][0]["b"][0]):
        assert missing == Answer()
        assert (missing.text, missing.code, missing.integer, missing.number, missing.flag) == (None,) * 5
        assert (missing.handle, missing.url, list(missing)) == (None, None, [])


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"", "empty"),
        (b"  <!DOCTYPE html><p>", "HTML"),
        (b'{"a": ', "damaged"),
        (b"\x89PNG", "JSON"),
        (b"[" * 100_000, "nested"),
        (b"3", "object"),
        (b'{"a": ' + b"9" * 5_000 + b"}", "damaged"),
        (b" " * (MAX_ANSWER_BYTES + 1), "more than"),
    ],
)
def test_an_unreadable_answer_says_why(body: bytes, problem: str) -> None:
    answer = read(body)
    assert problem in answer.problem
    assert not answer.is_object
    assert answer["a"].text is None


def test_damage_elsewhere_does_not_cost_the_handle() -> None:
    answer = read(b'\xef\xbb\xbf{"note": "\xff", "share": NaN, "limit": -Infinity, "task_id": "abc"}')
    assert answer["task_id"].handle == "abc"
    assert answer["share"].number is None
    assert answer["limit"].number is None
    assert answer["note"].text == "\ufffd"


@pytest.mark.parametrize(
    ("value", "code", "integer", "number"),
    [
        ("200", "200", 200, None),
        (200, "200", 200, 200.0),
        (200.0, "200", 200, 200.0),
        (1.5, None, None, 1.5),
        (True, None, None, None),
        (" A01 ", "A01", None, None),
        ("-3", "-3", -3, None),
        ("1_000", "1_000", None, None),
        ("\u0661", "\u0661", None, None),
        (10**15, None, None, 1e15),
        (10**400, None, None, None),
        (float("inf"), None, None, None),
        ("a\x00", None, None, None),
        ([], None, None, None),
    ],
)
def test_numbers_and_codes(value: Any, code: str | None, integer: int | None, number: float | None) -> None:
    answer = Answer(value)
    assert (answer.code, answer.integer, answer.number) == (code, integer, number)


@pytest.mark.parametrize("value", ["", "a b", "\u00e9", "x" * MAX_HANDLE_CHARS, "a\n", None, True, {}, 1.5])
def test_what_is_no_handle(value: Any) -> None:
    assert Answer(value).handle is None


@pytest.mark.parametrize(
    "value",
    [
        "",
        "https://",
        "ftp://a.example/x",
        "//a.example",
        "javascript:1",
        "https://a.example/ b",
        "https://a\x00",
        "https://a.example/\ufffd",
        "https://a.example/" + "x" * 9_000,
        7,
        None,
    ],
)
def test_what_is_no_url(value: Any) -> None:
    assert Answer(value).url is None


def test_urls_stay_as_they_were_written() -> None:
    signed = "https://a.example/x%2Fy%7E.png?X-Sig=a%2Bb&n=\u00e9"
    assert Answer(f" {signed}\n").url == signed


def test_text_is_cleaned_and_cut() -> None:
    dirty = "a\x00b\ud800c\x1b[31m\n" + "x" * 5_000
    text = clean(dirty)
    assert text.startswith("a\ufffdb?c\ufffd[31m\nxxx")
    assert len(text) == MAX_TEXT_CHARS
    assert Answer("   ").text is None


def test_lists_are_bounded() -> None:
    answer = read(json.dumps(list(range(MAX_ITEMS + 5))).encode())
    assert len(list(answer)) == MAX_ITEMS
    assert answer[MAX_ITEMS] == Answer()


def test_the_first_member_with_a_value() -> None:
    answer = read(b'{"link_hd": "", "link": "low", "other": "x"}')
    assert answer.first("link_hd", "link", "other").text == "low"
    assert answer.first("nothing") == Answer()


@pytest.mark.parametrize(
    ("value", "secret"),
    [("a.b-c_d=", "a.b-c_d="), ("a b", None), ("a\r\nX: y", None), ("\u00e9", None), ("", None), (7, None)],
)
def test_secrets_fit_into_a_header(value: Any, secret: str | None) -> None:
    assert Answer(value).secret == secret


def test_a_value_can_be_kept_as_json() -> None:
    assert read(b'{"a": {"b": ["\\ud800", NaN]}}')["a"].dump() == b'{"b": ["\\ud800", null]}'
    nested: list[Any] = []
    for _ in range(100_000):
        nested = [nested]
    assert Answer(nested).dump() == b""
