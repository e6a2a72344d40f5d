"""Identities of attempts and bulk jobs."""

from __future__ import annotations

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.connection import make_engine
from models.identity import NAMESPACE, bulk_job_id, client_reference
from tests.words import names


def test_references_never_change() -> None:
    # Recorded from the first release: another value would submit every open job a second time.
    assert client_reference("job", 1) == uuid.UUID("e0c594ad-fb03-554a-835e-0fb721088033")
    assert bulk_job_id("catalog", "row") == "ced0ca33-dac5-54e8-a890-d6cbb827ef48"


@given(st.text(), st.text(), st.integers(1, 99), st.integers(1, 99))
def test_another_job_or_number_is_another_reference(first: str, second: str, one: int, two: int) -> None:
    same = (first, one) == (second, two)
    surrogates = any("\ud800" <= letter <= "\udfff" for letter in first + second)

    if not surrogates:
        assert (client_reference(first, one) == client_reference(second, two)) is same


def test_only_postgresql_will_do() -> None:
    with pytest.raises(ValueError, match=names("DATABASE_URL", "postgresql://", "sqlite")):
        make_engine("sqlite:///jobs.db")


def test_a_rows_id_is_the_uuid5_of_its_batch_and_key() -> None:
    for number in range(64):
        assert bulk_job_id("größe", f"k{number}") == str(uuid.uuid5(NAMESPACE, f"größe/k{number}"))
