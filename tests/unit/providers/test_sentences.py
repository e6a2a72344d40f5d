"""What providers' sentences are taken for: the corpus, and that what a message only quotes decides nothing."""

from __future__ import annotations

import string
from unicodedata import normalize

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.states import ACCOUNT_REASONS, REJECTING_REASONS, Reason
from providers.classify import Table, classify, ends_the_job, in_words
from providers.plain_words import normalized
from tests.unit.providers.sentences import TABLES, Sentence, group, measure, sentences

CORPUS = sentences()
LEAST_SENTENCES = 300
FLOOR = 0.97  # of precision and of recall, for each meaning
#: In words alone, and not quoted as a whole: what can stand within a longer message.
PLAIN = [each for each in CORPUS if each == Sentence(each.meaning, each.text) and "prompt:" not in each.text]
_SEPARATING = set("'\"`:/<>(),;")
MISLEADING = [
    each.text for each in PLAIN if each.meaning is not None and not set(normalize("NFKC", each.text)) & _SEPARATING
]
KNOWN = [each for each in PLAIN if not each.text.startswith('"') and not each.text.startswith("提示词")]


def test_the_corpus_is_large_and_has_both_languages() -> None:
    assert len(CORPUS) >= LEAST_SENTENCES
    assert len({(each.text, each.provider, each.code, each.name, each.status) for each in CORPUS}) == len(CORPUS)
    for reason in {each.meaning for each in CORPUS}:
        said = [each.text for each in CORPUS if each.meaning is reason]
        assert any(text.isascii() for text in said), reason
        assert any(not text.isascii() for text in said), reason


def test_no_sentence_about_a_picture_closes_an_account() -> None:
    wrong = [each.text for each in CORPUS if group(each.meaning) == "picture" and each.read in ACCOUNT_REASONS]
    assert wrong == []


def test_no_sentence_about_an_account_fails_or_rejects_a_job() -> None:
    wrong = [each.text for each in CORPUS if group(each.meaning) == "account" and each.read not in ACCOUNT_REASONS]
    assert wrong == []


def test_no_sentence_about_the_service_ends_a_job_or_an_account() -> None:
    ending = ACCOUNT_REASONS | REJECTING_REASONS
    assert [each.text for each in CORPUS if group(each.meaning) == "service" and each.read in ending] == []


def test_precision_and_recall() -> None:
    for name, (precision, recall, number) in measure(CORPUS).items():
        assert min(precision, recall) >= FLOOR, (name, precision, recall, number)


# --- What is only quoted -------------------------------------------------------------------------------------------


def slug(text: str) -> str:
    return "_".join(text.split())


WRAPPINGS = {
    "an address": lambda known, said: f"{known} https://cdn.example/{slug(said)}/a?why={slug(said)}",
    "an address before": lambda known, said: f"https://cdn.example/{slug(said)} {known}",
    "a path": lambda known, said: f"{known} /srv/{slug(said)}/a.png",
    "a file's name": lambda known, said: f"{known} ({slug(said)}.png)",
    "a file's name before": lambda known, said: f"{slug(said)}.jpg: {known}",
    "double quotes": lambda known, said: f'{known} "{said}"',
    "single quotes": lambda known, said: f"{known} '{said}'",
    "curly quotes": lambda known, said: f"“{said}” {known}",
    "Chinese quotes": lambda known, said: f"{known}「{said}」",
    "back quotes": lambda known, said: f"`{said}`: {known}",
    "a prompt": lambda known, said: f"{known} (prompt: {said})",
    "a prompt at the end": lambda known, said: f"{known}; prompt={said}",
    "a quoted prompt": lambda known, said: f'{known}, prompt: "{said}"',
    "a Chinese prompt": lambda known, said: f"{known}；提示词：{said}",
}


@pytest.mark.heavy
@pytest.mark.parametrize("how", WRAPPINGS)
@given(known=st.sampled_from(KNOWN), said=st.sampled_from(MISLEADING))
@settings(max_examples=150, derandomize=True, deadline=None)
def test_what_is_only_quoted_decides_nothing(how: str, known: Sentence, said: str) -> None:
    assert in_words(WRAPPINGS[how](known.text, said)) is known.meaning


@given(st.text(max_size=400), st.sampled_from([None, *(each.text for each in CORPUS)]))
@settings(max_examples=300, derandomize=True, deadline=None)
def test_any_text_is_read(noise: str, known: str | None) -> None:
    classify(noise, known, f"{noise}{known}")


@pytest.mark.heavy
@given(st.text(alphabet=string.ascii_letters + " /:.'\"_-", min_size=1_500, max_size=4_000))
@settings(max_examples=30, derandomize=True)
def test_a_long_text_is_read_in_time(text: str) -> None:
    classify(text)  # within hypothesis' deadline


# --- The order of the evidence -------------------------------------------------------------------------------------

TABLE = Table(
    codes={"7": Reason.CREDIT}, likely_codes={"403": Reason.AUTH}, names={"face error": Reason.NO_FACE},
    sentences={"list index out of range": Reason.NO_FACE},
)  # fmt: skip


@pytest.mark.parametrize(
    ("text", "more", "reason"),
    [
        ("no face detected", {"code": "7", "name": "face error", "status": 401}, Reason.CREDIT),
        ("insufficient balance", {"name": "Face Error", "status": 401}, Reason.NO_FACE),
        ("no face detected", {"status": 401}, Reason.AUTH),
        ("no face detected", {"status": 403}, Reason.NO_FACE),
        ("no such thing", {"status": 403}, Reason.AUTH),
        ("no face detected", {"code": "403"}, Reason.NO_FACE),
        ("no such thing", {"code": "403"}, Reason.AUTH),
        ("IndexError: list index out of range.", {}, Reason.NO_FACE),
        ("the list index out of range was not it", {}, None),
        ("no such thing", {"status": 422}, Reason.BAD_INPUT),
        ("insufficient balance", {"status": 400}, Reason.CREDIT),
        ("insufficient balance", {"status": 429}, Reason.CREDIT),
        ("no such thing", {"code": "9"}, None),
    ],
)
def test_code_then_structure_then_words(text: str, more: dict[str, object], reason: Reason | None) -> None:
    assert classify(text, table=TABLE, **more) is reason  # type: ignore[arg-type]


def test_every_adapter_has_a_table() -> None:
    for table in TABLES.values():
        keys = [*table.codes, *table.likely_codes, *table.names, *table.sentences, *table.nothing_made]
        assert all(key == key.lower() for key in keys)


@pytest.mark.parametrize(
    ("text", "ends"),
    [
        ("no face detected", True),
        ("图片下载失败", True),
        ("invalid parameter businessTaskId", False),
        ("参数错误", False),
        ("algorithm error", False),
        ("insufficient balance", False),
    ],
)
def test_only_words_about_its_picture_end_a_job_that_was_asked_for(text: str, ends: bool) -> None:
    assert ends_the_job(classify(text), [text]) is ends


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("task 7a1f failed at 10:31", "task 8b2c failed at 11:02"),
        ("cannot use https://a.example/1.png", "cannot use https://b.example/2.png"),
        ("Step 'a' broke", "step 'b' broke"),
    ],
)
def test_what_differs_from_job_to_job_does_not_make_another_kind(one: str, other: str) -> None:
    assert normalized(one) == normalized(other)
    assert normalized(one) != normalized("something else")
