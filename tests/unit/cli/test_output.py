from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from cli.output import REASONS, ago, duration, emit, listing, priced, table, why
from models.states import Reason
from tests.words import names


@pytest.mark.parametrize(
    ("seconds", "written"),
    [(0.4, "0 s"), (59.4, "59 s"), (59.6, "1 min 0 s"), (200, "3 min 20 s"), (7_500, "2 h 5 min"), (90_000, "1 d 1 h")],
)
def test_durations(seconds: float, written: str) -> None:
    assert duration(seconds) == written


@pytest.mark.parametrize(("seconds", "written"), [(-2, "0 s"), (59, "59 s"), (200, "3 min"), (90_000, "1 d")])
def test_times_since_are_in_their_largest_unit(seconds: float, written: str) -> None:
    now = datetime(2026, 1, 2, tzinfo=UTC)
    assert ago(now - timedelta(seconds=seconds), now) == f"{written} ago"
    assert ago(None, now) == ""


def test_every_reason_has_plain_words() -> None:
    assert set(REASONS) == set(Reason)


def test_why_quotes_the_provider() -> None:
    assert why("no_face", "Zhiqite: none") == f"{REASONS[Reason.NO_FACE]} (Zhiqite: none)"
    assert why(None, "later") == "later"
    assert why(None, None)


def test_json_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    document = {"rows": [{"cost": Decimal("0.0200"), "left": None}], "at": datetime(2026, 1, 2, tzinfo=UTC), "key": "ü"}
    emit(priced(document, "EUR"))
    assert json.loads(capsys.readouterr().out) == {
        "rows": [{"cost": {"amount": "0.02", "currency": "EUR"}, "left": None}], "at": "2026-01-02T00:00:00+00:00",
        "key": "ü",
    }  # fmt: skip
    with pytest.raises(TypeError, match=names("amount", "currency")):
        emit(document)


def test_what_looks_like_markup_is_shown_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    table(("key",), [("[red]x[/red] :smile:",)])
    assert "[red]x[/red] :smile:" in capsys.readouterr().out


def test_a_list_is_a_table_a_sentence_or_a_document(capsys: pytest.CaptureFixture[str]) -> None:
    def said(*rows: str, as_json: bool = False) -> str:
        documents = [{"key": row} for row in rows]
        listing(("key",), [(row,) for row in rows], documents, empty="there is none", as_json=as_json)
        return capsys.readouterr().out

    assert said("a", "b").split() == ["key", "a", "b"]
    assert said().strip() == "there is none"
    assert json.loads(said("a", as_json=True)) == [{"key": "a"}]
    assert json.loads(said(as_json=True)) == []
