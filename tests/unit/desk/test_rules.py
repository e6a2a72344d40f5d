from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from desk.rules import Judged, chosen_after, deciding
from models.verdicts import Verdict

A, N, U = Verdict.APPROVED, Verdict.NEEDS_WORK, Verdict.UNREVIEWED


def pictures(*verdicts: Verdict, former: int = 0) -> list[Judged]:
    """Pictures judged in this order, numbered from 1; the first `former` of them belong to a former version."""
    return [
        Judged(number, number > former, verdict, number * 10 if verdict is not U else 0)
        for number, verdict in enumerate(verdicts, 1)
    ]


@pytest.mark.parametrize(
    ("verdicts", "chosen", "judged", "used"),
    [
        ((A,), None, 1, 1),
        ((N,), None, 1, None),
        ((A, A), 1, 2, 2),
        ((A, N), 2, 2, 1),
        ((N, N), 2, 2, None),
        ((A, N), 1, 2, 1),
        ((A, A, U), 3, 3, 2),
    ],
)
def test_which_picture_is_used(verdicts: tuple[Verdict, ...], chosen: int | None, judged: int, used: int) -> None:
    assert chosen_after(pictures(*verdicts), chosen, judged) == used


@pytest.mark.parametrize(
    ("verdicts", "former", "chosen", "counts"),
    [
        ((U,), 0, None, (U, None)),
        ((A,), 0, 1, (A, 10)),
        ((N, N), 0, None, (N, 20)),
        ((N, U), 0, None, (U, 10)),
        ((U, N), 1, None, (N, 20)),
        ((N, A), 0, 2, (A, 20)),
        ((A, U), 0, 2, (U, None)),
    ],
)
def test_what_counts_for_a_job(
    verdicts: tuple[Verdict, ...], former: int, chosen: int | None, counts: tuple[Verdict, int | None]
) -> None:
    assert deciding(pictures(*verdicts, former=former), chosen) == counts


@given(st.lists(st.tuples(st.integers(1, 4), st.sampled_from(list(Verdict))), max_size=30))
def test_an_approved_job_has_an_approved_picture_that_is_used(answers: list[tuple[int, Verdict]]) -> None:
    state = {number: Judged(number, present=True) for number in range(1, 5)}
    chosen: int | None = None
    for count, (number, verdict) in enumerate(answers, 1):
        state[number] = Judged(number, True, verdict, count)
        chosen = chosen_after(list(state.values()), chosen, number)
        found, verdict_id = deciding(list(state.values()), chosen)
        approved = {each.result_id for each in state.values() if each.verdict is A}
        assert (found is A) == bool(approved) == (chosen is not None)
        assert chosen is None or (chosen in approved and state[chosen].verdict_id == verdict_id)
