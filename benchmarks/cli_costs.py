"""The suite `cli`: processor time and memory of commands, and memory of a worker that has no work.

Everything runs on the embedded servers in a folder of its own. Each figure is the least of some rounds: what others
take of the machine only adds.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.processes import ROOT
from workers.heartbeats import file_of, judge

ROUNDS = 5
SHORT_ROUNDS = 2
START_SECONDS = 180.0  # for a deployment whose database is made first
STOP_SECONDS = 60.0
IDLE_SECONDS = 30.0  # of sweeps and looks at itself, after which a worker's memory has settled
POLL_SECONDS = 0.2
MIB = 1024.0  # KiB

#: The commands, and what they may take: seconds of a core that is not shared, and MiB.
COMMANDS: Sequence[tuple[tuple[str, ...], float, float | None]] = (
    (("--help",), 0.25, 40.0),
    (("health",), 0.3, None),
    (("status", "--sandbox"), 0.6, None),
)
WORKER_MIB = 180.0
#: A small process that starts the command: Linux counts the memory of who starts one as the new process's own.
LAUNCHER = """
import os, sys
null = os.open(os.devnull, os.O_WRONLY)
files = [(os.POSIX_SPAWN_DUP2, null, 1), (os.POSIX_SPAWN_DUP2, null, 2)]
usage = os.wait4(os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ, file_actions=files), 0)[2]
print(usage.ru_utime + usage.ru_stime, usage.ru_maxrss)
"""
#: What `status` cannot do without, loaded and not used: its limit, as the machine is at the moment.
LIBRARIES = "import typer, pydantic_settings, structlog, sqlalchemy.orm, sqlalchemy.dialects.postgresql, psycopg"


@dataclass(frozen=True, slots=True)
class Row:
    """What one command, or the idle worker, took."""

    what: str
    cpu_seconds: float | None
    cpu_limit: float | None
    peak_mib: float
    mib_limit: float | None


def spent(command: Sequence[str], folder: Path, environment: dict[str, str]) -> tuple[float, float]:
    """Processor seconds and the largest resident memory in MiB of a program that runs to its end."""
    launch = [sys.executable, "-S", "-c", LAUNCHER, *command]
    out = subprocess.run(  # noqa: S603 - our own
        launch, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True
    ).stdout
    cpu, peak = map(float, out.split())
    return cpu, peak / MIB


def measure(*, short: bool) -> Iterator[Row]:
    """Measure everything."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RECAST_")}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    environment["PYTHONPATH"] = str(ROOT)
    rounds = SHORT_ROUNDS if short else ROUNDS
    with tempfile.TemporaryDirectory(prefix="recast-bench-") as name:
        folder = Path(name)
        home = folder / ".recast" / "sandbox"
        with _deployment(folder, home, environment):
            for arguments, cpu_limit, mib_limit in COMMANDS:
                # `health` has no sandbox of its own: it is asked about a home.
                at = {**environment, "RECAST_HOME": str(home)} if arguments == ("health",) else environment
                cpu, mib = _least([sys.executable, "-m", "cli", *arguments], folder, at, rounds)
                yield Row(f"recast {' '.join(arguments)}", cpu, cpu_limit, mib, mib_limit)
            cpu, mib = _least([sys.executable, "-c", LIBRARIES], folder, environment, rounds)
            yield Row("the libraries of status alone", cpu, None, mib, None)
            time.sleep(0 if short else IDLE_SECONDS)
            pid = json.loads(file_of(home, "recast").read_text())["pid"]
            yield Row("an idle worker", None, None, round(resident(pid), 1), WORKER_MIB)


def _least(command: Sequence[str], folder: Path, environment: dict[str, str], rounds: int) -> tuple[float, float]:
    found = [spent(command, folder, environment) for _ in range(rounds)]
    cpu, mib = (min(figures) for figures in zip(*found, strict=True))
    return round(cpu, 3), round(mib, 1)


@contextmanager
def _deployment(folder: Path, home: Path, environment: dict[str, str]) -> Iterator[None]:
    """A deployment in the sandbox, from when its worker is healthy."""
    log = folder / "up.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "cli", "up", "--sandbox"],
            cwd=folder, env=environment, stdout=output, stderr=output, start_new_session=True,
        )  # fmt: skip
    try:
        deadline = time.monotonic() + START_SECONDS
        while not judge(file_of(home, "recast")).healthy:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the deployment did not start: {log.read_text()}")
            time.sleep(POLL_SECONDS)
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(STOP_SECONDS)


def resident(pid: int) -> float:
    """The resident memory of a process in MiB."""
    fields = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return int(fields["VmRSS"].split()[0]) / MIB


def sentences(found: Sequence[Row]) -> Iterator[str]:
    """What was found, a line for each."""
    for row in found:
        cpu = "" if row.cpu_seconds is None else f"{row.cpu_seconds:.2f} s of CPU{_at_most(row.cpu_limit, 's')}, "
        yield f"{row.what}: {cpu}{row.peak_mib:.0f} MiB{_at_most(row.mib_limit, 'MiB')}"


def _at_most(limit: float | None, unit: str) -> str:
    return "" if limit is None else f" (at most {limit:g} {unit})"
