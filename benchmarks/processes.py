"""Processes of the benchmark: started, stopped with all their children, and their CPU time read from /proc (Linux)."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

from benchmarks.stub import HOST, Bill

ROOT = Path(__file__).parent.parent
STOP_SECONDS = 5.0  # for an orderly end; then it is killed, its figures have been taken
STATS_SECONDS = 10.0

_PROC = Path("/proc")
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
# Of /proc/PID/stat, counted after the name in parentheses: ppid; utime, stime, cutime, cstime; rss in pages
# (proc_pid_stat(5)).
_PPID, _TIMES, _RESIDENT = 1, slice(11, 15), 21
# Of the first line of /proc/stat, after its name: user, nice, system; irq, softirq, steal (proc_stat(5)).
_BUSY = (0, 1, 2, 5, 6, 7)


def cpu_seconds(*roots: int) -> list[float]:
    """User and system time so far of each of these processes, with all its descendants, also those that ended."""
    every = _processes()  # of a child that ended, its parent has the time
    return [sum(sum(map(int, fields[_TIMES])) for fields in _tree(root, every)) / _TICKS for root in roots]


def resident_bytes(root: int) -> int:
    """Resident memory of this process and all its descendants."""
    return sum(int(fields[_RESIDENT]) for fields in _tree(root, _processes())) * _PAGE_BYTES


def _processes() -> dict[int, list[str]]:
    """What the kernel says of each process, counted after its name."""
    found = {}
    for folder in _PROC.iterdir():
        if folder.name.isdigit():
            with suppress(FileNotFoundError, ProcessLookupError):  # it ended meanwhile
                found[int(folder.name)] = (folder / "stat").read_text().rpartition(")")[2].split()
    return found


def _tree(root: int, every: Mapping[int, list[str]]) -> Iterator[list[str]]:
    parents = {pid: int(fields[_PPID]) for pid, fields in every.items()}
    return (fields for pid, fields in every.items() if _descends(pid, root, parents))


def machine_cpu_seconds() -> float:
    """Time so far in which this machine's cores were busy, or taken away by its host."""
    fields = (_PROC / "stat").read_text().partition("\n")[0].split()[1:]
    return sum(int(fields[index]) for index in _BUSY) / _TICKS


def _descends(pid: int, root: int, parents: Mapping[int, int]) -> bool:
    while pid not in (0, root):
        pid = parents.get(pid, 0)
    return pid == root


@contextmanager
def running(command: Sequence[str], environment: Mapping[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A program for as long as the block runs, in a group of its own that is ended as a whole."""
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 - our own modules
            command,
            cwd=ROOT,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


class Stub:
    """The provider as a process of its own.

    Args:
        latency: seconds from a submission to its result.
        picture: what results are copies of; without it, there are no files.
    """

    def __init__(self, latency: float, picture: Path | None = None) -> None:
        command = [sys.executable, "-m", "benchmarks.stub", "--latency", str(latency)]
        command += ["--picture", str(picture)] if picture else []
        self._process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # noqa: S603
        self.pid = self._process.pid
        said = self._process.stdout.readline() if self._process.stdout else b""
        self.url = f"http://{HOST}:{json.loads(said)['port']}"

    def bill(self) -> Bill:
        """What it saw so far."""
        with urllib.request.urlopen(f"{self.url}/stats", timeout=STATS_SECONDS) as answer:  # noqa: S310 - our own stub
            return Bill(**json.load(answer))

    def arrived(self, reference: object) -> float | None:
        """When the submission with this reference came (Unix time), if it has."""
        url = f"{self.url}/arrivals/{reference}"
        with urllib.request.urlopen(url, timeout=STATS_SECONDS) as answer:  # noqa: S310 - our own stub
            at: float | None = json.load(answer)["at"]
            return at

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()  # it ends with its standard input
