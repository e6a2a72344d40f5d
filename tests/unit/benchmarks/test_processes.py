from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import processes

BURN = """
import sys, time
while time.process_time() < 0.3: pass
print("burnt", flush=True)
sys.stdin.read()
"""
#: One child that has ended and been waited for, and one that still runs.
PARENT = f"""
import subprocess, sys
subprocess.run([sys.executable, "-c", {BURN!r}], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=True)
subprocess.run([sys.executable, "-c", {BURN!r}])
"""
# Two children of 0.3 s each, counted in ticks of 10 ms.
BOTH = 0.55
STUBBORN = """
import os, signal, subprocess, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
print(child.pid, flush=True)
signal.pause()
"""


def ended(pid: int) -> bool:
    """Whether it is gone, or dead and nobody waited for it yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_the_time_of_children_counts_while_they_run_and_after_they_ended() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "burnt\n"
        both, none = processes.cpu_seconds(process.pid, 2**22 + 1)  # pids end below that (proc_sys_kernel(5))
        process.communicate("")
    assert both >= BOTH
    assert none == 0


def test_the_machine_is_at_least_as_busy_as_this_process() -> None:
    before = processes.machine_cpu_seconds()
    ends = os.times().user + 0.2
    while os.times().user < ends:
        pass
    assert processes.machine_cpu_seconds() - before >= 0.15


def test_a_program_that_does_not_listen_is_ended_with_its_children(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "STOP_SECONDS", 0.1)
    log = tmp_path / "log"
    with processes.running([sys.executable, "-c", STUBBORN], {}, log) as process:
        while not log.read_text().endswith("\n"):
            assert process.poll() is None
    assert process.returncode == -signal.SIGKILL
    child = int(log.read_text())
    while not ended(child):  # the test's time-out is the limit
        pass


def test_a_program_is_told_its_environment(tmp_path: Path) -> None:
    log = tmp_path / "log"
    command = [sys.executable, "-c", "import os; print(os.environ['BENCH_WORD'])"]
    with processes.running(command, {"BENCH_WORD": "hello"}, log) as process:
        process.wait(30)
    assert log.read_text() == "hello\n"
