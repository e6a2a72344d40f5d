from __future__ import annotations

from models.batches import SINGLES
from models.states import JobState
from workers.jobs.state_changes import Moved
from workers.messaging.task_events import BURST_SECONDS, JOBS_PER_SECOND, SAMPLED_PER_SECOND, Sampler


class Time:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def ended(number: int, state: JobState = JobState.SUCCEEDED, batch: int = 1) -> list[Moved]:
    return [Moved(f"{state}-{index}", batch, JobState.RUNNING, state) for index in range(number)]


def test_a_sample_is_all_that_failed_and_a_few_others() -> None:
    sampler = Sampler("sample", Time())
    failed = ended(300, JobState.FAILED) + ended(40, JobState.REJECTED)

    shown = sampler.choose(ended(500) + failed)

    assert set(shown) >= {move.job_id for move in failed}
    assert len(shown) == len(failed) + SAMPLED_PER_SECOND * BURST_SECONDS


def test_a_small_batch_is_shown_whole() -> None:
    assert len(Sampler("sample", Time()).choose(ended(10))) == 10


def test_all_is_all_as_far_as_flower_can_take_it() -> None:
    time = Time()
    sampler = Sampler("all", time)
    most = int(JOBS_PER_SECOND * BURST_SECONDS)

    assert len(sampler.choose(ended(500))) == 500
    assert len(sampler.choose(ended(5_000) + ended(100, JobState.FAILED))) == most - 500
    assert sampler.choose(ended(1)) == []
    time.seconds += 60
    shown = sampler.choose(ended(5_000) + ended(100, JobState.FAILED))
    assert len(shown) == most
    assert shown[:100] == [f"failed-{index}" for index in range(100)]


def test_off_is_nothing() -> None:
    assert Sampler("off", Time()).choose(ended(5, JobState.FAILED)) == []


def test_jobs_that_have_a_task_or_are_not_over_are_left_out() -> None:
    sampler = Sampler("all", Time())
    assert sampler.choose(ended(3, batch=SINGLES)) == []
    assert sampler.choose(ended(3, JobState.HELD) + ended(2, JobState.QUEUED)) == []
