"""Hostile answers of a provider, in one group with honest ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from tests.hostile import answers
from tests.hostile.cases import Case
from tests.hostile.saving import MAX_SLICES, FileServer, file_server
from workers.engine import runner
from workers.engine.poll import PollPump
from workers.engine.runtime import Runtime
from workers.engine.submit import SubmitPump

if TYPE_CHECKING:
    from tests.integration.database import Database, RuntimeFactory

pytest_plugins = ["tests.integration.database"]


def key_of(asked: Any) -> str:
    """A submission is known by its target, a query by our reference."""
    return str(asked.get("targetUrl") or asked["businessTaskId"])


@pytest.fixture
def provider() -> Iterator[FileServer]:
    with file_server(key_of) as server:
        yield server


def runtime_for(make_runtime: RuntimeFactory, provider: FileServer) -> Runtime:
    settings = {"connections": 600, "slice_seconds": 2.0}
    return make_runtime(settings, main={"base_url": provider.url(""), "max_in_flight": 1_000})


def judged(database: Database, cases: tuple[Case, ...], honest: str) -> None:
    """Hold what became of each case's attempt against what should have."""
    rows = {row.job_id: row for row in database.sql("SELECT * FROM attempts")}
    jobs = sorted(rows)
    for number, case in enumerate(cases):
        own, beside = rows[jobs[2 * number]], rows[jobs[2 * number + 1]]
        assert own.state == case.says, (case.name, own.state, own.error)
        assert beside.state == honest, (case.name, beside.error)
        assert (own.send_count, own.number) == (1, 1), case.name
        assert own.error is None or all(char.isprintable() or char in "\n\t" for char in own.error), case.name


def in_pairs(cases: tuple[Case, ...], offer: Callable[[int, Any], None], honest: Any) -> None:
    for number, case in enumerate(cases):
        offer(2 * number, case.make())
        offer(2 * number + 1, honest)


def ask_all(runtime: Runtime, pump: SubmitPump | PollPump, provider: FileServer) -> None:
    """Run slices until the provider was asked for everything it has an answer to: a busy machine needs several."""
    for _ in range(MAX_SLICES):
        runner.run(runtime, pump, None)
        if provider.answers.keys() <= set(provider.asked):
            return
    raise AssertionError(f"never asked for: {provider.answers.keys() - set(provider.asked)}")


def test_hostile_answers_to_submissions(database: Database, make_runtime: RuntimeFactory, provider: FileServer) -> None:
    runtime = runtime_for(make_runtime, provider)

    def offer(number: int, answer: Any) -> None:
        target = f"https://example.com/{number}.jpg"
        provider.answers[target] = answer
        (job,) = database.jobs(1)
        database.sql("UPDATE jobs SET target = :target WHERE id = :id", target=target, id=job)

    in_pairs(answers.SUBMISSIONS, offer, answers.HONEST)
    ask_all(runtime, SubmitPump(runtime, "main"), provider)

    judged(database, answers.SUBMISSIONS, "running")
    assert len(provider.asked) == len(set(provider.asked)) == 2 * len(answers.SUBMISSIONS)


def test_hostile_answers_to_polls(database: Database, make_runtime: RuntimeFactory, provider: FileServer) -> None:
    runtime = runtime_for(make_runtime, provider)

    def offer(_: int, answer: Any) -> None:
        (job,) = database.jobs(1, state="running")
        reference = database.attempt(job, next_poll_at="clock_timestamp()", handle="'x'")
        provider.answers[str(reference)] = answer

    in_pairs(answers.POLLS, offer, answers.of(answers.finished("https://cdn.example/good.png")))
    ask_all(runtime, PollPump(runtime, "main"), provider)

    judged(database, answers.POLLS, "done")
    assert {row.state for row in database.sql("SELECT state FROM jobs")} == {"running", "saving"}
    outputs = [row.outputs for row in database.sql("SELECT outputs FROM attempts WHERE outputs IS NOT NULL")]
    assert all(len(output) == 1 and output[0]["url"].startswith("http") for output in outputs)
