"""Hostile pictures, as inputs and as results."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.hostile import pictures
from tests.hostile.cases import Case, Fate
from tests.hostile.saving import file_server, paid_for, save_all
from tests.words import unsaid
from workers.images.inputs import BadInputError, load_image
from workers.images.verify import verify

if TYPE_CHECKING:
    from tests.integration.database import Database, RuntimeFactory

pytest_plugins = ["tests.integration.database"]


@pytest.mark.parametrize("case", pictures.CASES, ids=lambda case: case.name)
def test_a_hostile_input_is_refused_or_harmless(case: Case) -> None:
    data = case.make()
    if case.fate is Fate.REFUSED:
        with pytest.raises(BadInputError) as caught:
            load_image("source", "x.jpg", data)
        assert unsaid(str(caught.value), *case.facts) == []
        assert str(caught.value).isprintable()
    else:
        assert load_image("source", "x.jpg", data).data == data


def test_hostile_results_do_no_harm_to_each_other(database: Database, make_runtime: RuntimeFactory) -> None:
    runtime = make_runtime(main={"allow_hosts": ["127.0.0.1"]})
    good = pictures.photo()
    with file_server() as files:
        jobs = {}
        for number, case in enumerate(pictures.CASES):
            jobs[case.name] = paid_for(database, [{"url": files.offer(f"/{number}", case.make())}])
            jobs[f"beside {case.name}"] = paid_for(database, [{"url": files.offer(f"/{number}/good", good)}])
        save_all(database, runtime)
    ends = {row.id: row for row in database.sql("SELECT id, state, reason, error FROM jobs")}
    results = {row.job_id: row for row in database.sql("SELECT * FROM results")}

    for case in pictures.CASES:
        end, beside = ends[jobs[case.name]], ends[jobs[f"beside {case.name}"]]
        if case.fate is Fate.REFUSED:
            assert (end.state, end.reason) == ("failed", "bad_output"), case.name
            assert unsaid(end.error, *case.facts) == [], case.name
            assert jobs[case.name] not in results
        else:
            assert end.state == "succeeded", (case.name, end)
            stored = verify(runtime.storage.get(results[jobs[case.name]].key))
            assert stored == verify(case.make()), case.name
        assert beside.state == "succeeded", case.name
        assert results[jobs[f"beside {case.name}"]].original_sha256 == load_image("source", "good", good).sha256
