"""``python -m benchmarks [SUITE]``: contestants one after the other on the embedded servers, and how they compare.

Suites: `engine` (a catalog's jobs, without pictures; the default), `producers` (jobs that a producer sends one by one
and waits for), `pictures` (results that are fetched, checked and stored), `latency` (from `swap.delay` to the
provider), `rows` (a database with millions of finished jobs against an empty one, and claims beside a transaction that
is held open), `archive` (a month of finished jobs that moves to files, beside claims), `inflight` (a worker's memory
and end while many jobs wait at the provider), `scale` (more workers, more accounts), `gallery` (pages of a batch of a
million pictures) and `cli` (what commands and an idle worker take).
Progress goes to standard error; standard output has a table, or one JSON object with ``--json``.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shlex
import shutil
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks import archiving, cli_costs, gallery, inflight, latency, pictures, rows, scale
from benchmarks.contestants import LATENCY_SECONDS
from benchmarks.deployed import Deployed
from benchmarks.durable import Dbos
from benchmarks.figures import Figures, TooFewError, Verdict, WaitedVerdict, compare, compare_waited
from benchmarks.lineup import BareLoop, Contestant, Dramatiq, IdiomaticCelery, Recast
from benchmarks.processes import ROOT
from benchmarks.runner import RunError, run
from benchmarks.waited import WaitedCelery, WaitedDeployed, WaitedDramatiq, WaitedRecast

FULL_SECONDS = 42.0  # of which 80 per cent of the completions, and so more than 30 s, are measured
SHORT_SECONDS = 25.0
DISTURBED_CORES = 0.25  # on an idle machine the kernel and the observer take 0.02 to 0.15

Rounds = Sequence[Mapping[str, Figures]]


@dataclass(frozen=True, slots=True)
class Suite:
    """One kind of work, and who does it."""

    title: str
    #: The contestants, of a short run or of a full one.
    lineup: Callable[[bool], list[Contestant]]
    #: The verdict over the rounds, and what it says.
    judge: Callable[[Rounds, Sequence[Contestant]], tuple[Any, str]]
    #: The pictures that results are copies of, of a short run or of a full one; none: results have no picture.
    pictures: Callable[[bool], Sequence[str]] = lambda _: ()


def lineup(*, short: bool) -> list[Contestant]:
    """The contestants of the suite `engine`.

    A short run leaves out the slower of Celery's pools, DBOS, and Recast with its default settings.

    The pools have the size that was best on two cores: prefork of 4 did 230 to 250 jobs/s, of 2 and of 8 fewer; threads
    about 185, whether 8 or 16, because they share one interpreter lock.
    """
    celery: list[Contestant] = [IdiomaticCelery("prefork", 4)]
    if not short:
        celery.append(IdiomaticCelery("threads", 8))
    dbos: list[Contestant] = [] if short else [Dbos(2)]
    recast: list[Contestant] = [Recast()] if short else [Recast(), Deployed()]
    return [*celery, Dramatiq(2, 8), *dbos, *recast, BareLoop()]


def _judge_engine(rounds: Rounds, contestants: Sequence[Contestant]) -> tuple[Verdict, str]:
    verdict = compare(rounds, celery=[item.name for item in contestants if isinstance(item, IdiomaticCelery)])
    low, high = verdict.ratio_to_celery_range
    dramatiq = f", {verdict.ratio_to_dramatiq:.1f} times that of Dramatiq" if verdict.ratio_to_dramatiq else ""
    spread = f" ({low:.1f} to {high:.1f} over {len(rounds)} rounds)" if len(rounds) > 1 else ""
    return verdict, (
        f"Recast does {verdict.ratio_to_celery:.1f} times the work of idiomatic Celery{spread}"
        f" at {1 / verdict.cpu_ratio_to_celery:.0%} of its CPU a job{dramatiq},"
        f" and {verdict.ratio_to_bare_loop:.0%} of the bare loop's."
    )


def _waited(_short: bool) -> list[Contestant]:
    """The contestants of the suite `producers`: Dramatiq with a process for each core, as its command starts them."""
    return [WaitedCelery("prefork", 4), WaitedDramatiq(2, 8), WaitedRecast(), WaitedDeployed()]


def _judge_producers(rounds: Rounds, contestants: Sequence[Contestant]) -> tuple[WaitedVerdict, str]:
    verdict = compare_waited(rounds, celery=contestants[0].name)
    return verdict, (
        f"Recast does {verdict.ratio_to_celery:.1f} times the work of idiomatic Celery, and"
        f" {verdict.ratio_to_dramatiq:.1f} times that of Dramatiq, at {verdict.cpu_ms_per_job:.1f} ms of its CPU a job."
    )


SUITES = {
    "engine": Suite("Submit, poll, one row", lambda short: lineup(short=short), _judge_engine),
    "producers": Suite("Sent by a producer, submit, poll, one row, got by the producer", _waited, _judge_producers),
    "pictures": Suite(
        "Submit, poll, fetch and store the picture, one row",
        lambda _: list(pictures.contestants()),
        _judge_engine,
        lambda short: pictures.cases(short=short),
    ),
    "scale": Suite(
        "Submit, poll, one row, by several workers",
        lambda short: list(scale.lineup(short=short)),
        lambda rounds, _: scale.judge(rounds),
    ),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, print, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("suite", nargs="?", choices=[*SUITES, *MEASURES], default="engine", help="what is measured")
    parser.add_argument("--short", action="store_true", help="finish within a few minutes: shorter runs, less work")
    parser.add_argument("--rounds", type=int, help="number of rounds (1; of rows 5); ratios are within a round")
    parser.add_argument("--finished", type=int, help="of rows and archive: finished jobs (3,000,000; 300,000)")
    parser.add_argument("--waiting", type=int, help="of inflight: jobs in flight (1,000,000)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args(arguments)
    if sys.platform != "linux":
        parser.error("CPU times are read from /proc: this needs Linux")
    try:
        if options.suite in MEASURES:
            MEASURES[options.suite](options)
        else:
            _compare(SUITES[options.suite], options)
    except (RunError, TooFewError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _compare(suite: Suite, options: argparse.Namespace) -> None:
    contestants = suite.lineup(options.short)
    seconds = SHORT_SECONDS if options.short else FULL_SECONDS
    found: list[dict[str, object]] = []
    cases = suite.pictures(options.short)
    for case in cases or (None,):
        with pictures.made(case) if case is not None else nullcontext() as picture:
            rounds = [_round(contestants, seconds, number + 1, picture) for number in range(options.rounds or 1)]
        verdict, sentence = suite.judge(rounds, contestants)
        found.append({"picture": case, **asdict(verdict), **_document(rounds, contestants, seconds)})
        if not options.json:
            _show(f"{suite.title} ({case})" if case is not None else suite.title, sentence, rounds, contestants)
    if options.json:
        print(json.dumps({"pictures": found} if cases else found[0]))


def _latency(options: argparse.Namespace) -> None:
    found = latency.measure(short=options.short)
    said = [
        f"{part}: p50 {times.p50_ms:.0f} ms, p95 {times.p95_ms:.0f} ms, of {times.jobs} jobs"
        for part, times in found.items()
    ]
    _say(options, latency.document(found), said)


def _rows(options: argparse.Namespace) -> None:
    found = rows.measure(short=options.short, rounds=options.rounds, finished=options.finished)
    _say(options, found.document(), rows.sentences(found))


def _archive(options: argparse.Namespace) -> None:
    found = archiving.measure(short=options.short, finished=options.finished)
    _say(options, archiving.document(found), archiving.sentences(found))


def _inflight(options: argparse.Namespace) -> None:
    found = inflight.measure(short=options.short, waiting=options.waiting)
    _say(options, asdict(found), inflight.sentences(found))


def _gallery(options: argparse.Namespace) -> None:
    found = gallery.measure(short=options.short)
    _say(options, found.document(), gallery.sentences(found))


def _cli(options: argparse.Namespace) -> None:
    found = list(cli_costs.measure(short=options.short))
    _say(options, {"commands": [asdict(row) for row in found]}, cli_costs.sentences(found))


#: The suites in which Recast is measured alone.
MEASURES: Mapping[str, Callable[[argparse.Namespace], None]] = {
    "latency": _latency,
    "rows": _rows,
    "archive": _archive,
    "inflight": _inflight,
    "gallery": _gallery,
    "cli": _cli,
}


def _say(options: argparse.Namespace, document: Mapping[str, Any], sentences: Iterable[str]) -> None:
    print(json.dumps({**document, "machine": _machine()}) if options.json else "\n".join(sentences))


def _round(contestants: Sequence[Contestant], seconds: float, number: int, picture: Path | None) -> dict[str, Figures]:
    figures: dict[str, Figures] = {}
    for contestant in contestants:
        print(f"round {number}: {contestant.title}, {seconds:g} s ...", file=sys.stderr, flush=True)
        figures[contestant.name] = found = run(contestant, seconds, picture)
        print(
            f"    {found.jobs_per_s:.0f} jobs/s, {found.cpu_ms_per_job:.2f} ms of its CPU a job,"
            f" {found.polls_per_job:.2f} polls a job",
            file=sys.stderr,
            flush=True,
        )
        if found.other_load > DISTURBED_CORES:
            print(f"    disturbed: something else kept {found.other_load:.1f} cores busy", file=sys.stderr, flush=True)
    return figures


def _document(rounds: Rounds, contestants: Sequence[Contestant], seconds: float) -> dict[str, object]:
    return {
        "provider_latency_s": LATENCY_SECONDS,
        "seconds": seconds,
        "machine": _machine(),
        "contestants": {item.name: item.title for item in contestants},
        "without": {item.name: item.without for item in contestants if item.without},
        "polls": {item.name: _median(rounds, item, "polls_per_job") for item in contestants},
        "rounds": [{name: asdict(figures) for name, figures in found.items()} for found in rounds],
    }


def _machine() -> dict[str, object]:
    """Where, of what and how this was measured, as results must say."""
    return {
        "cores": os.cpu_count(), "python": platform.python_version(), "system": platform.platform(),
        "commit": _commit(), "command": shlex.join(["python", "-m", "benchmarks", *sys.argv[1:]]),
    }  # fmt: skip


def _commit() -> str | None:
    """The commit of this checkout; None where it is none, or there is no git."""
    git = shutil.which("git")
    if git is None:
        return None
    asked = [git, "describe", "--always", "--dirty"]
    said = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603 - git itself
    return said.stdout.strip() or None


def _show(title: str, sentence: str, rounds: Rounds, contestants: Sequence[Contestant]) -> None:
    table = Table(title=f"{title}; the provider takes {LATENCY_SECONDS:g} s. CPU in ms a job")
    table.add_column("contestant", no_wrap=True)
    for heading in ("jobs/s", "CPU", "servers'", "producer's", "polls", "MB", "steady", "jobs"):
        table.add_column(heading, justify="right")
    for item in contestants:
        table.add_row(
            item.title,
            f"{_median(rounds, item, 'jobs_per_s'):.0f}",
            f"{_median(rounds, item, 'cpu_ms_per_job'):.2f}",
            f"{_median(rounds, item, 'servers_cpu_ms_per_job'):.2f}",
            f"{_median(rounds, item, 'producer_cpu_ms_per_job'):.2f}",
            f"{_median(rounds, item, 'polls_per_job'):.2f}",
            f"{max(found[item.name].peak_mb for found in rounds):.0f}",
            f"{_median(rounds, item, 'steady_seconds'):.0f}",
            f"{sum(found[item.name].completed for found in rounds)}",
        )
    console = Console()
    console.print(table)
    console.print(sentence)
    for item in contestants:
        if item.without:
            console.print(f"{item.title}: without {', '.join(item.without)}, which are on by default.")


def _median(rounds: Rounds, contestant: Contestant, figure: str) -> float:
    """The median of a contestant's figure over the rounds."""
    return float(statistics.median(getattr(found[contestant.name], figure) for found in rounds))


if __name__ == "__main__":
    sys.exit(main())
