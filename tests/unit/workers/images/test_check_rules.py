"""The rules of quality checks: scores between 0 and 1, thresholds by operation, words for people."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import pytest

from faces.comparing import Compared
from models.checks import CheckName
from workers.images.check_rules import (
    PER_OPERATION,
    SENTENCES,
    THRESHOLDS,
    Measured,
    bands,
    near_duplicate,
    scored,
    threshold_of,
)

FINE = Measured(
    entropy=7.0, presence=1.0, before=1, after=1, face_difference=25.0, person_distance=0.35, outside_difference=1.0,
    sharpness=1.0,
    size=(1024, 1024), expected=(1024, 1024),
)  # fmt: skip
SWAP = "zhiqite.swap"


def flagged(measured: Measured, operation: str = SWAP) -> set[str]:
    return {score.name.value for score in scored(measured, operation) if score.flagged}


def test_every_check_has_a_threshold_below_one_and_a_sentence() -> None:
    assert SENTENCES.keys() == THRESHOLDS.keys() == set(CheckName)
    assert all(0 < threshold < 1 for threshold in THRESHOLDS.values())
    assert all(sentence.endswith(".") for sentence in SENTENCES.values())


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"presence": 0.1, "after": 0}, "no_face"),
        ({"before": 3, "after": 2}, "fewer_faces"),
        ({"before": 1, "after": 2}, "more_faces"),
        ({"face_difference": 2.0}, "face_unchanged"),
        ({"person_distance": 0.8}, "other_person"),
        ({"outside_difference": 50.0}, "changed_outside"),
        ({"sharpness": 0.1}, "blurred"),
        ({"size": (1024, 900)}, "other_size"),
        ({"size": (512, 512)}, "other_size"),
        ({"entropy": 1.0}, "blank"),
    ],
)
def test_each_fault_is_flagged_by_its_own_check_alone(change: dict[str, object], name: str) -> None:
    assert flagged(FINE) == set()
    assert flagged(replace(FINE, **change)) == {name}  # type: ignore[arg-type]


def test_what_is_not_known_is_not_judged() -> None:
    assert {score.name for score in scored(Measured(entropy=7.0), SWAP)} == {CheckName.BLANK}
    # A face that nobody saw before cannot be missed.
    assert flagged(replace(FINE, before=0, after=0, presence=0.0, face_difference=None)) == set()
    assert flagged(replace(FINE, size=(2048, 2048))) == set(), "larger is not a fault"


def test_an_operation_may_leave_a_check_out() -> None:
    (operation,) = [name for name, own in PER_OPERATION.items() if CheckName.NO_FACE in own]
    assert flagged(Measured(7.0, presence=0.0)) == {"no_face"}
    assert flagged(Measured(7.0, presence=0.0), operation) == set()


def test_an_account_sets_thresholds_of_an_operation_or_leaves_checks_out() -> None:
    soft = replace(FINE, sharpness=0.15)
    assert [
        {score.name for score in scored(soft, SWAP, own) if score.flagged}
        for own in ({}, {CheckName.BLURRED: 0.9}, {CheckName.BLURRED: None}, {CheckName.BLURRED: 0.85})
    ] == [{CheckName.BLURRED}, set(), set(), {CheckName.BLURRED}]
    # Also what is left out by itself can be asked for.
    assert threshold_of(CheckName.NO_FACE, "qolaba.avatar", {CheckName.NO_FACE: 0.9}) == 0.9
    assert near_duplicate(0, SWAP, {CheckName.NEAR_DUPLICATE: None}) == []


@pytest.mark.parametrize("value", [-9.0, 0.0, 0.3, 1e9])
def test_scores_and_ranks_lie_between_0_and_1(value: float) -> None:
    measured = replace(FINE, face_difference=value, outside_difference=value, sharpness=value, presence=value)
    for score in scored(measured, SWAP):
        assert 0 <= score.score <= 1
        assert 0 <= score.rank <= 1


def test_hashes_that_differ_in_three_bits_share_a_quarter() -> None:
    base = -0x1234_5678_9ABC_DEF0
    for bits in combinations(range(0, 64, 5), 3):
        other = base
        for bit in bits:
            other ^= 1 << bit
        assert any(one == two for one, two in zip(bands(base), bands(other), strict=True))


def test_copies_are_flagged_but_where_every_picture_has_the_same_scene() -> None:
    assert [score.flagged for distance in (3, 20) for score in near_duplicate(distance, SWAP)] == [True, False]
    assert near_duplicate(0, "hidream.variation") == []


def test_what_is_compared_is_what_is_judged() -> None:
    assert set(Compared.__dataclass_fields__) <= set(Measured.__dataclass_fields__)
