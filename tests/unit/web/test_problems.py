"""Problems that programs read: the field is named as the request has it."""

from __future__ import annotations

import pytest

from catalog.errors import CatalogError, UnknownBatchError
from web.api.problems import ProblemError, of_path, problem_of


def test_an_option_is_a_field() -> None:
    found = problem_of(CatalogError("--max-cost: there is no price; allowed: without it"))
    assert found is not None
    assert (found.field, found.allowed) == ("max_cost", "without it")
    found = problem_of(CatalogError("the file has: no rows"))
    assert found is not None
    assert found.field is None


def test_what_is_not_there_is_named_by_the_path() -> None:
    with pytest.raises(ProblemError) as caught, of_path({"name": "spring"}):
        raise UnknownBatchError("spring")
    assert (caught.value.field, caught.value.value, int(caught.value.status)) == ("name", "spring", 404)
    with pytest.raises(UnknownBatchError), of_path({}):
        raise UnknownBatchError("spring")
    with pytest.raises(CatalogError), of_path({"name": "spring"}):
        raise CatalogError("no rows")
