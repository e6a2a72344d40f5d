"""Errors travel through a result backend that keeps their class and their positional arguments only."""

from __future__ import annotations

import pickle

import pytest

from recast.errors import DirectCallError, InvalidJobError, JobError, JobFailedError, JobRejectedError, RecastError
from tests.words import unsaid

ERRORS = [
    InvalidJobError("options.batch", "9 is not allowed"),
    DirectCallError("use swap.delay(...)"),
    JobFailedError("timed_out", "no result within 600 s", "job-1"),
    JobRejectedError("no_face", "there is no face", "job-2"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_an_error_survives_its_journey(error: RecastError) -> None:
    rebuilt = [pickle.loads(pickle.dumps(error)), type(error)(*error.args)]  # noqa: S301 - our own bytes

    for copy in rebuilt:
        assert type(copy) is type(error)
        assert str(copy) == str(error)
        assert vars(copy) == vars(error)


def test_messages_say_where_and_what_to_do() -> None:
    assert unsaid(str(ERRORS[0]), "options.batch", 9) == []
    assert unsaid(str(ERRORS[2]), "600 s", "timed_out", "recast show job-1") == []
    assert isinstance(ERRORS[3], JobError)
