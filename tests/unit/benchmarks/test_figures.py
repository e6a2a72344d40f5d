from __future__ import annotations

from dataclasses import astuple, replace

import pytest

from benchmarks.figures import Figures, Sample, TooFewError, at, compare, compare_waited, measure

#: Ten jobs a second for ten seconds; while they run the contestant uses half a core, the servers a quarter.
FINISHED = [1000 + number / 10 for number in range(100)]
SAMPLES = [
    Sample(
        1000 + second,
        contestant=7 + second / 2,
        servers=3 + second / 4,
        stub=second / 20,
        machine=second,
        resident=1e6 * second,
    )
    for second in range(12)
]

FIGURES = Figures(
    jobs_per_s=100.0,
    cpu_ms_per_job=2.0,
    servers_cpu_ms_per_job=1.0,
    steady_seconds=30.0,
    stub_load=0.1,
    other_load=0.0,
    polls_per_job=1.1,
    completed=4000,
    submitted=4500,
)


def test_a_steady_run_is_measured_between_its_percentiles() -> None:
    found = measure(FINISHED, SAMPLES, polls=1.25, submitted=120)
    assert found.jobs_per_s == pytest.approx(10.0)
    assert found.steady_seconds == pytest.approx(8.0)
    assert found.cpu_ms_per_job == pytest.approx(50.0)
    assert found.servers_cpu_ms_per_job == pytest.approx(25.0)
    assert found.stub_load == pytest.approx(0.05)
    assert found.other_load == pytest.approx(1 - 0.5 - 0.25 - 0.05)
    assert found.peak_mb == pytest.approx(11)
    assert (found.polls_per_job, found.completed, found.submitted) == (1.25, 100, 120)


def test_a_slow_start_and_a_slow_end_do_not_count() -> None:
    slow_edges = [*[900 + number * 10 for number in range(10)], *FINISHED[10:91], *[1100.0] * 9]
    assert measure(slow_edges, SAMPLES, polls=1, submitted=100).jobs_per_s == pytest.approx(10.0, rel=0.02)


@pytest.mark.parametrize("finished", [[], [1000.0], [1000.0] * 50])
def test_a_run_without_a_steady_stretch_is_refused(finished: list[float]) -> None:
    with pytest.raises(TooFewError, match=str(len(finished))):
        measure(finished, SAMPLES, polls=1, submitted=1)


def test_clocks_are_read_between_two_samples_by_proportion() -> None:
    assert astuple(at(SAMPLES, 1002.5)) == pytest.approx((1002.5, 8.25, 3.625, 0.125, 2.5, 0.0, 0.0, 2.5e6))


def faster(factor: float) -> Figures:
    return replace(FIGURES, jobs_per_s=FIGURES.jobs_per_s * factor)


def test_recast_is_held_against_the_better_pool_of_the_same_round() -> None:
    rounds = [
        {"recast": faster(6), "celery_prefork": faster(1), "celery_threads": faster(2), "bare_loop": faster(12)},
        {"recast": faster(8), "celery_prefork": faster(2), "celery_threads": faster(1), "bare_loop": faster(10)},
        {"recast": faster(9), "celery_prefork": faster(1), "celery_threads": faster(1), "bare_loop": faster(10)},
    ]
    verdict = compare(rounds, celery=["celery_prefork", "celery_threads"])
    assert verdict.ratio_to_celery == pytest.approx(4.0)
    assert verdict.ratio_to_celery_range == pytest.approx((3.0, 9.0))
    assert verdict.ratio_to_bare_loop == pytest.approx(0.8)
    assert verdict.jobs_per_s == pytest.approx(800.0)
    assert (verdict.cpu_ms_per_job, verdict.polls_per_job) == (2.0, 1.1)


def test_the_cpu_of_the_faster_pool_counts_even_if_the_slower_one_needs_less() -> None:
    round_ = {
        "recast": FIGURES,
        "celery_prefork": replace(FIGURES, jobs_per_s=50.0, cpu_ms_per_job=12.0),
        "celery_threads": replace(FIGURES, jobs_per_s=40.0, cpu_ms_per_job=8.0),
        "bare_loop": FIGURES,
    }
    verdict = compare([round_], celery=["celery_prefork", "celery_threads"])
    assert (verdict.ratio_to_celery, verdict.cpu_ratio_to_celery) == (2.0, 6.0)


def test_who_sends_is_measured_apart_from_the_rest() -> None:
    samples = [replace(sample, producer=(sample.at - 1000) / 10) for sample in SAMPLES]
    found = measure(FINISHED, samples, polls=1, submitted=100)
    assert found.producer_cpu_ms_per_job == pytest.approx(10.0)
    assert found.other_load == pytest.approx(1 - 0.5 - 0.25 - 0.05 - 0.1)


def test_where_a_producer_waits_the_ratios_are_of_the_same_round() -> None:
    rounds = [
        {"celery_prefork": faster(1), "dramatiq": faster(2), "recast": faster(4)},
        {"celery_prefork": faster(2), "dramatiq": faster(2), "recast": faster(6)},
    ]
    found = compare_waited(rounds, celery="celery_prefork")
    assert found.jobs_per_s == pytest.approx(500)
    assert found.ratio_to_celery == pytest.approx(3.5)
    assert found.ratio_to_dramatiq == pytest.approx(2.5)
