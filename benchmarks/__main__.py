"""``python -m benchmarks``: the contestants one after the other on the embedded servers, and how they compare.

Progress goes to standard error; standard output has a table, or one JSON object with ``--json``.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict

from rich.console import Console
from rich.table import Table

from benchmarks.contestants import LATENCY_SECONDS
from benchmarks.figures import Figures, TooFewError, Verdict, compare
from benchmarks.lineup import BareLoop, Contestant, IdiomaticCelery, Recast
from benchmarks.runner import RunError, run

FULL_SECONDS = 42.0  # of which 80 per cent of the completions, and so more than 30 s, are measured
SHORT_SECONDS = 25.0
DISTURBED_CORES = 0.25  # on an idle machine the kernel and the observer take 0.02 to 0.15

Rounds = Sequence[Mapping[str, Figures]]


def lineup(*, short: bool) -> list[Contestant]:
    """The contestants. A short run leaves out the slower of Celery's pools.

    The pools have the size that was best on two cores: prefork of 4 did 230 to 250 jobs/s, of 2 and of 8 fewer; threads
    about 185, whether 8 or 16, because they share one interpreter lock.
    """
    celery: list[Contestant] = [IdiomaticCelery("prefork", 4)]
    if not short:
        celery.append(IdiomaticCelery("threads", 8))
    return [*celery, Recast(), BareLoop()]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, print, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--short", action="store_true", help="finish in under three minutes: shorter runs, one Celery pool"
    )
    parser.add_argument("--rounds", type=int, default=1, help="number of rounds; ratios are computed within a round")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args(arguments)
    if sys.platform != "linux":
        parser.error("CPU times are read from /proc: this needs Linux")
    contestants = lineup(short=options.short)
    seconds = SHORT_SECONDS if options.short else FULL_SECONDS
    try:
        rounds = [_round(contestants, seconds, number + 1) for number in range(options.rounds)]
    except (RunError, TooFewError) as error:
        print(error, file=sys.stderr)
        return 1
    verdict = compare(rounds, celery=[item.name for item in contestants if isinstance(item, IdiomaticCelery)])
    if options.json:
        print(json.dumps(_document(verdict, rounds, contestants, seconds)))
    else:
        _show(verdict, rounds, contestants)
    return 0


def _round(contestants: Sequence[Contestant], seconds: float, number: int) -> dict[str, Figures]:
    figures: dict[str, Figures] = {}
    for contestant in contestants:
        print(f"round {number}: {contestant.title}, {seconds:g} s ...", file=sys.stderr, flush=True)
        figures[contestant.name] = found = run(contestant, seconds)
        print(
            f"    {found.jobs_per_s:.0f} jobs/s, {found.cpu_ms_per_job:.2f} ms of its CPU a job,"
            f" {found.polls_per_job:.2f} polls a job",
            file=sys.stderr,
            flush=True,
        )
        if found.other_load > DISTURBED_CORES:
            print(f"    disturbed: something else kept {found.other_load:.1f} cores busy", file=sys.stderr, flush=True)
    return figures


def _document(verdict: Verdict, rounds: Rounds, contestants: Sequence[Contestant], seconds: float) -> dict[str, object]:
    return {
        **asdict(verdict),
        "provider_latency_s": LATENCY_SECONDS,
        "seconds": seconds,
        "machine": {"cores": os.cpu_count(), "python": platform.python_version(), "system": platform.platform()},
        "contestants": {item.name: item.title for item in contestants},
        "rounds": [{name: asdict(figures) for name, figures in found.items()} for found in rounds],
    }


def _show(verdict: Verdict, rounds: Rounds, contestants: Sequence[Contestant]) -> None:
    table = Table(title=f"Submit, poll, one row; the provider takes {LATENCY_SECONDS:g} s. CPU in ms a job")
    table.add_column("contestant", no_wrap=True)
    for heading in ("jobs/s", "CPU", "servers'", "polls", "steady", "jobs"):
        table.add_column(heading, justify="right")
    for item in contestants:
        runs = [found[item.name] for found in rounds]
        table.add_row(
            item.title,
            f"{statistics.median(figures.jobs_per_s for figures in runs):.0f}",
            f"{statistics.median(figures.cpu_ms_per_job for figures in runs):.2f}",
            f"{statistics.median(figures.servers_cpu_ms_per_job for figures in runs):.2f}",
            f"{statistics.median(figures.polls_per_job for figures in runs):.2f}",
            f"{statistics.median(figures.steady_seconds for figures in runs):.0f}",
            f"{sum(figures.completed for figures in runs)}",
        )
    console = Console()
    console.print(table)
    low, high = verdict.ratio_to_celery_range
    spread = f" ({low:.1f} to {high:.1f} over {len(rounds)} rounds)" if len(rounds) > 1 else ""
    console.print(
        f"Recast does {verdict.ratio_to_celery:.1f} times the work of idiomatic Celery{spread}"
        f" at {1 / verdict.cpu_ratio_to_celery:.0%} of its CPU a job,"
        f" and {verdict.ratio_to_bare_loop:.0%} of the bare loop's."
    )


if __name__ == "__main__":
    sys.exit(main())
