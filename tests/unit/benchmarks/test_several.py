from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks.processes import ROOT

# Says what it was given, in a file of its own name, and ends with a code of its own when it is told to.
WORKER = """
import signal, sys, time
from pathlib import Path
code, folder, *given = sys.argv[1:]
signal.signal(signal.SIGTERM, lambda *_: sys.exit(int(code)))
Path(folder, given[-1].partition("@")[0]).write_text(" ".join(given))
time.sleep(60)
"""


@pytest.mark.parametrize(("code", "ended"), [("0", 0), ("3", 3)])
def test_each_has_a_name_the_first_has_beat_and_all_end_together(code: str, ended: int, tmp_path: Path) -> None:
    worker = tmp_path / "worker.py"
    worker.write_text(WORKER)
    command = [sys.executable, str(worker), code, str(tmp_path), "-B"]
    written = [tmp_path / "worker1", tmp_path / "worker2"]
    process = subprocess.Popen([sys.executable, "-m", "benchmarks.several", "2", *command], cwd=ROOT)
    try:
        ends_at = time.monotonic() + 30
        while not all(path.exists() and path.read_text() for path in written):
            assert process.poll() is None
            assert time.monotonic() < ends_at
            time.sleep(0.01)
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == ended
    assert [path.read_text() for path in written] == ["-B -n worker1@%h", "-n worker2@%h"]
