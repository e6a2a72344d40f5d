"""Identities of attempts and bulk jobs."""

from __future__ import annotations

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.connection import make_engine
from models.identity import NAMESPACE, bulk_job_id, client_reference
from tests.words import names

_TEXT = st.text(st.characters(codec="utf-8"))


def test_references_never_change() -> None:
    # Recorded: after a restore, under another value nothing would be found of what was sent, and all be paid again.
    assert client_reference("job", 1) == uuid.UUID("e0c594ad-fb03-554a-835e-0fb721088033")
    # Of a row that was queued before ids of a batch began alike: it keeps its id, and its references.
    older = "ced0ca33-dac5-54e8-a890-d6cbb827ef48"
    assert client_reference(older, 2) == uuid.UUID("ebee8f1e-cf82-52db-b3fa-bb6fd635c22a")
    row = bulk_job_id("catalog", "row")
    assert row == "6576ca33-dac5-84e8-a890-d6cbb827ef48"
    assert client_reference(row, 2) == uuid.UUID("65764813-e0e7-5d66-a829-ed6833b569c2")


@given(st.text(), st.text(), st.integers(1, 99), st.integers(1, 99))
def test_another_job_or_number_is_another_reference(first: str, second: str, one: int, two: int) -> None:
    same = (first, one) == (second, two)
    surrogates = any("\ud800" <= letter <= "\udfff" for letter in first + second)

    if not surrogates:
        assert (client_reference(first, one) == client_reference(second, two)) is same


def test_only_postgresql_will_do() -> None:
    with pytest.raises(ValueError, match=names("DATABASE_URL", "postgresql://", "sqlite")):
        make_engine("sqlite:///jobs.db")


def test_a_rows_id_is_a_uuid_of_its_batch_and_key() -> None:
    for number in range(64):
        made = bulk_job_id("größe", f"k{number}")
        known = str(uuid.uuid5(NAMESPACE, f"größe/k{number}"))
        assert str(uuid.UUID(made)) == made
        assert uuid.UUID(made).version == 8
        assert uuid.UUID(made).variant == uuid.RFC_4122
        assert (made[4:14], made[15:]) == (known[4:14], known[15:])


@given(_TEXT, _TEXT, _TEXT, st.integers(1, 99))
def test_ids_of_a_batch_begin_alike_and_so_do_those_of_its_attempts(batch: str, one: str, other: str, n: int) -> None:
    ids = {bulk_job_id(batch, key) for key in (one, other)}
    references = {client_reference(each, n) for each in ids}
    assert len(ids) == len(references) == len({one, other})
    assert len({str(each)[:4] for each in ids | references}) == 1
    assert {each.version for each in references} == {5}


def test_batches_begin_differently() -> None:
    assert len({bulk_job_id(f"batch {number}", "row")[:4] for number in range(1_000)}) > 950


@pytest.mark.parametrize(
    "own",
    [
        "8" * 36, "job-00000000-8000-000000000000000000", "6576CA33-DAC5-84E8-A890-D6CBB827EF48", "", "8",
        "{6576ca33-dac5-84e8-a890-d6cbb827ef4", "ññññññññ-dac5-84e8-a890-d6cbb827ef48",
        "6576ca33-dac5-44e8-a890-d6cbb827ef48",
    ],
)  # fmt: skip
def test_producers_ids_of_any_form_have_references_as_ever(own: str) -> None:
    assert client_reference(own, 1) == uuid.uuid5(NAMESPACE, f"{own}#1")
