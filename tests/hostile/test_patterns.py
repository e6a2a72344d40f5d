"""Texts from outside without an end: each pattern that meets them takes a time that grows with them, and no more."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from contextlib import suppress

import pytest

from catalog.cells import is_failed_formula
from catalog.lines import text_lines
from catalog.rows import parse_json
from providers import plain_words
from recast.money import Money
from recast.values import trimmed, unseen
from workers.config.passed_over import is_link
from workers.config.units import duration, price, rate
from workers.http.addresses import advice_for, one_form, visible, web_address
from workers.http.shown_urls import without_url_secrets
from workers.images import xmp

CHARS = 20_000
LONGEST = 0.5  # seconds of CPU for so many; a pattern that looks at each place once takes some hundredths
FRAGMENTS = (
    " ", "a", "1", "\\", '"', "'", "<", "/", ":", "@", "=", "%", "#", "-", ".", ",", "\t", "\n", "[", "{", "a.", "a ",
    "1 ", "//", "a/", ":/", "https://", "https://a@", "?a=", "&a=", "token=", "a,https:/", "\u00e9", "\u3000", "\ufdfa",
    "\u300a", ".jpg", ".jpg?", "#A", "Bearer ", "<a:DigitalSourceType>", '"a"a', "$ ", "a: ", "www.", "s3://",
)  # fmt: skip


def packet(text: str) -> None:
    xmp.stated(text.encode())
    xmp.with_source_type(text.encode(), "https://example.com/term")


def lines(text: str) -> None:
    list(text_lines("here", io.BytesIO(text.encode())))


READERS: dict[str, Callable[[str], object]] = {
    "money": Money.parse, "price": price, "duration": duration, "rate": rate, "an address": one_form,
    "a web address": web_address, "advice": advice_for, "what is shown": visible, "a formula": is_failed_formula,
    "a refusal": plain_words.normalized, "a line of a log": without_url_secrets, "JSON": parse_json,
    "a text of JSON": lambda text: parse_json(f'"{text}"'), "the lines of a catalog": lines, "XMP": packet,
    "a service's address": is_link, "what is cut": trimmed, "what cannot be seen": unseen,
}  # fmt: skip


@pytest.mark.parametrize("name", READERS)
def test_a_text_without_an_end_takes_the_time_of_its_length(name: str) -> None:
    slow = {}
    for fragment in FRAGMENTS:
        for first, last in (("", ""), ("1", "x"), ("https://a", "\n")):
            text = first + fragment * (CHARS // len(fragment)) + last
            began = time.process_time()
            with suppress(Exception):
                READERS[name](text)
            if (seconds := time.process_time() - began) > LONGEST:
                slow[fragment] = seconds
    assert slow == {}
