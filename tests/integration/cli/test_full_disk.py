"""A disk that fills under a run: one line, exit code 4; with room again, all is done, and paid once."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from cli.exit_codes import ExitCode
from tests.stack import PORTRAITS, ROOT, wait_for

ROWS = 40
SIZE = "150m"  # the servers' files take about 100 MiB


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small disk of its own."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("only root may mount a disk")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


class Shop:
    """A catalog in a folder, with its home on the small disk."""

    def __init__(self, folder: Path, disk: Path) -> None:
        self.folder, self.home = folder, disk / "home"
        clean = {name: value for name, value in os.environ.items() if not name.startswith("RECAST_")}
        self.env = {**clean, "RECAST_HOME": str(self.home), "PYTHONPATH": str(ROOT)}
        source, target = PORTRAITS / "astronaut.png", PORTRAITS / "grace_hopper.jpg"
        rows = [f"{number},swap,{source},{target},zhiqite" for number in range(ROWS)]
        (folder / "shop.csv").write_text("\n".join(["key,kind,source,target,provider", *rows]) + "\n")

    def start(self, *words: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "cli", *words, "--sandbox"]
        return subprocess.Popen(
            command, cwd=self.folder, env=self.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def document(self, *words: str) -> Any:
        process = self.start(*words, "--json")
        output, errors = process.communicate(timeout=300)
        assert process.returncode in {0, 1}, errors
        return json.loads(output)

    def pictures(self) -> int:
        """Files in the storage: the two inputs, and one for all results, which are the same picture."""
        return sum(1 for _ in self.home.glob("sandbox/pictures/*/*/*"))


def fill(place: Path) -> Path:
    """Fill the disk to its last byte."""
    filler = place / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12, 1):
            try:
                while file.write(b"\0" * size):
                    pass
            except OSError:
                continue
    return filler


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_a_run_on_a_full_disk_ends_in_one_line_and_continues_when_there_is_room(disk: Path, tmp_path: Path) -> None:
    shop = Shop(tmp_path, disk)
    running = shop.start("run", "shop.csv", "--name", "autumn", "--yes")
    try:
        wait_for(lambda: shop.pictures() > 2, timeout=180, message="pictures are being stored")
        filler = fill(disk)
        output, errors = running.communicate(timeout=300)
    finally:
        running.kill()
    assert "Traceback" not in output + errors, errors
    assert running.returncode == ExitCode.INFRASTRUCTURE, (output, errors)

    filler.unlink()
    again = shop.start("run", "shop.csv", "--name", "autumn", "--yes")
    output, errors = again.communicate(timeout=900)
    assert again.returncode == ExitCode.OK, (output, errors)
    status = shop.document("status", "autumn")
    assert {state: number for state, number in status["states"].items() if number} == {"succeeded": ROWS}
    assert Decimal(status["spent"]["amount"]) == Decimal("0.80"), "each of them at 0.02, once"
    (bill,) = shop.home.rglob("sandbox.sqlite3")
    with closing(sqlite3.connect(bill)) as lines:
        assert lines.execute("SELECT count(*) FROM jobs").fetchone() == (ROWS,)
