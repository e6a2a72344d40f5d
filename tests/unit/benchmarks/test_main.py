from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import __main__ as command
from benchmarks import archiving, deployed, gallery, held, inflight, latency, lineup, pictures, rows, runner
from benchmarks.figures import Figures, TooFewError
from benchmarks.stub import Bill
from devstack.servers import Urls
from tests.words import names, unsaid

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


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, float]]:
    calls: list[tuple[str, float]] = []

    def run(contestant: lineup.Contestant, seconds: float, picture: Path | None) -> Figures:
        assert picture is None or picture.is_file()
        calls.append((contestant.name, seconds))
        return FIGURES

    monkeypatch.setattr(command, "run", run)
    return calls


def failing(error: Exception) -> Callable[..., Figures]:
    def run(*_: object) -> Figures:
        raise error

    return run


def test_json_is_one_object_with_the_comparison(
    ran: list[tuple[str, float]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.main(["--short", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {name: found[name] for name in ("jobs_per_s", "ratio_to_celery", "ratio_to_bare_loop")} == {
        "jobs_per_s": 100.0,
        "ratio_to_celery": 1.0,
        "ratio_to_bare_loop": 1.0,
    }
    assert (found["cpu_ms_per_job"], found["polls_per_job"]) == (2.0, 1.1)
    assert list(found["rounds"][0]) == [name for name, _ in ran]


@pytest.mark.parametrize("suite", ["engine", "producers"])
def test_every_contestants_polls_and_what_is_switched_off_are_said(
    suite: str, ran: list[tuple[str, float]], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert command.main([suite, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["polls"] == {name: 1.1 for name, _ in ran}
    assert list(found["without"]) == ["recast"]
    monkeypatch.setenv("COLUMNS", "200")
    assert command.main([suite]) == 0
    assert unsaid(capsys.readouterr().out, *found["without"]["recast"]) == []


def test_recast_with_its_default_settings_switches_nothing_off() -> None:
    stage = lineup.Stage(Path("/nowhere"), Urls("postgresql://nowhere", "", ""), "http://127.0.0.1:1")
    bare, whole = lineup.Recast(), deployed.Deployed()
    switches = bare.environment(stage).keys() - whole.environment(stage).keys()
    assert switches == bare.OFF.keys()
    assert len(switches) == len(bare.without)
    assert not whole.without


def test_a_short_run_ends_within_three_minutes_and_a_full_one_is_steady_for_thirty_seconds(
    ran: list[tuple[str, float]],
) -> None:
    command.main(["--short"])
    assert {"recast", "bare_loop"} < {name for name, _ in ran}
    # Start, filling the pipeline and the end take up to 20 s each.
    assert sum(seconds + 20 for _, seconds in ran) <= 180
    ran.clear()
    command.main([])
    everybody = {"celery_prefork", "celery_threads", "dramatiq", "dbos", "recast", "recast_deployed", "bare_loop"}
    assert everybody == {name for name, _ in ran}
    assert all(seconds * 0.8 > 30 for _, seconds in ran)


def test_the_table_names_everybody_and_the_ratio(
    ran: list[tuple[str, float]], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    command.main(["--rounds", "2"])
    output = capsys.readouterr().out
    assert len(ran) == 2 * len(command.lineup(short=False))
    for contestant in command.lineup(short=False):
        assert contestant.title in output
    assert unsaid(output, "1.0") == []


@pytest.mark.parametrize(("load", "said"), [(0.2, False), (1.3, True)])
def test_a_disturbed_run_says_so(
    load: float, said: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "run", lambda *_: replace(FIGURES, other_load=load))
    command.main(["--short", "--json"])
    assert (unsaid(capsys.readouterr().err, "1.3") == []) is said


@pytest.mark.parametrize("error", [runner.RunError("recast ended with status 1"), TooFewError("3 jobs were completed")])
def test_a_run_that_cannot_be_measured_fails_with_its_reason(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "run", failing(error))
    assert command.main(["--short", "--json"]) == 1
    output = capsys.readouterr()
    assert output.out == ""
    assert str(error) in output.err


def test_a_contestant_that_paid_twice_is_not_measured(tmp_path: Path) -> None:
    stage = lineup.Stage(tmp_path, Urls("postgresql://nowhere", "", ""), "http://127.0.0.1:1")
    bill = Bill(submits=10, repeats=1, polls=10, finished=10, polls_of_finished=10, cpu_seconds=0.0)
    with pytest.raises(runner.RunError, match=names("1")):
        runner._read_out(lineup.BareLoop(), stage, [], bill)


def test_the_suite_producers_compares_those_that_are_waited_for(
    ran: list[tuple[str, float]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.main(["producers", "--short", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [name for name, _ in ran] == ["celery_prefork", "dramatiq", "recast", "recast_deployed"]
    assert (found["ratio_to_celery"], found["ratio_to_dramatiq"], found["cpu_ms_per_job"]) == (1.0, 1.0, 2.0)


def test_the_suite_pictures_compares_for_each_kind_of_picture(
    ran: list[tuple[str, float]], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "2048.webp" in pictures.cases(short=False)
    monkeypatch.setattr(pictures, "SIDES", (64, 128))  # which are made in no time
    assert command.main(["pictures", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["pictures"]
    assert {(each["picture"], each["ratio_to_celery"]) for each in found} == {
        (f"{side}.{ending}", 1.0) for side in (64, 128) for ending in ("jpg", "png", "webp")
    }
    assert len(ran) == len(found) * 5


def test_the_suite_latency_says_both_parts(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    figures = latency.of([0.001 * number for number in range(1, 102)])
    monkeypatch.setattr(latency, "measure", lambda short: {"idle": figures, "beside_a_batch": figures})
    assert command.main(["latency", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["idle"]["p50_ms"] == pytest.approx(51)
    assert found["beside_a_batch"]["p95_ms"] == pytest.approx(96)


def test_the_suite_rows_compares_within_each_round(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    aged = [replace(FIGURES, database_cpu_ms_per_job=cpu) for cpu in (0.6, 1.2, 0.5)]
    empty = replace(FIGURES, database_cpu_ms_per_job=0.5)
    claims = held.Claims(passed=50, claims=10, p50_ms=2.0, p99_ms=4.0, longest_ms=9.0)
    found = rows.Rows(7, [{"empty": empty, "aged": each} for each in aged], claims, claims, {"jobs": 8192})
    monkeypatch.setattr(rows, "measure", lambda **_: found)
    assert command.main(["rows", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["finished"], said["ratios"]["database_cpu_ms_per_job"]) == (7, pytest.approx(1.2))
    assert said["claims"]["held"]["p99_ms"] == 4.0
    assert command.main(["rows"]) == 0
    assert unsaid(capsys.readouterr().out, "0.60", "4.0") == []


def test_the_suite_archive_says_what_a_month_takes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    claims = held.Claims.of(0, [0.002] * 99 + [0.009])
    assert claims.claims == 100
    assert [claims.p50_ms, claims.longest_ms] == pytest.approx([2.0, 9.0])
    found = archiving.Trial(
        finished=30, moved=10, seconds=0.02, jobs_per_s=500.0, cpu_ms_per_job=0.5, database_cpu_ms_per_job=0.25,
        peak_mib=335.0, file_bytes_per_job=268.0, row_bytes_per_job=1755.0, lock_waits=3, longest_write_s=1.25,
        claims=claims, claims_beside=claims,
    )  # fmt: skip
    asked: dict[str, object] = {}

    def measure(**options: object) -> archiving.Trial:
        asked.update(options)
        return found

    monkeypatch.setattr(archiving, "measure", measure)
    assert command.main(["archive", "--finished", "30", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert asked == {"short": False, "finished": 30}
    assert said["hours_of_a_planned_month"] == pytest.approx(25e6 / 500 / 3600)
    assert said["claims_beside"]["longest_ms"] == pytest.approx(9.0)
    assert command.main(["archive"]) == 0
    assert unsaid(capsys.readouterr().out, "335", "268", "1755", "1.25", "3 others", "13.9 hours") == []


def test_the_suite_inflight_says_what_was_lost(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = inflight.InFlight(20, idle_mb=250.0, waiting_mb=1.0, polled_mb=2.0, sigterm_s=1.5, lost=3, repeats=0)
    monkeypatch.setattr(inflight, "measure", lambda **_: found)
    assert command.main(["inflight"]) == 0
    assert unsaid(capsys.readouterr().out, "250", "1.5", "3") == []


def test_the_suite_scale_compares_with_one_worker_on_as_many_accounts(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rates = {"recast_1w_1a": 100.0, "recast_2w_1a": 150.0, "recast_1w_8a": 50.0, "recast_2w_8a": 100.0}
    monkeypatch.setattr(command, "run", lambda of, *_: replace(FIGURES, jobs_per_s=rates[of.name]))
    assert command.main(["scale", "--short", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["jobs_per_s"] == rates
    assert found["ratio_to_one_worker"] == {name: 1.0 for name in rates if "_1w_" in name} | {
        "recast_2w_1a": 1.5,
        "recast_2w_8a": 2.0,
    }


def test_the_suite_gallery_says_what_each_page_takes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = gallery.Page(p50_ms=5.5, p95_ms=7.25, cpu_ms=4.0, kilobytes=29.0)
    monkeypatch.setattr(gallery, "measure", lambda short: gallery.Gallery(20, {"far page": page}))
    assert command.main(["gallery", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["pages"]["far page"]["p95_ms"] == 7.25
    assert command.main(["gallery"]) == 0
    assert unsaid(capsys.readouterr().out, "20", "far page", "5.5") == []
