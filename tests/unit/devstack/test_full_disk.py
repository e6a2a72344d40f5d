"""A server that ended on a full disk: what is said of it is one line, because its log ends where the disk was full."""

from __future__ import annotations

import shutil
import signal
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from cli.stack import Parts, Stack
from devstack.errors import ServerError
from devstack.process import ServerProcess
from devstack.room import LEAST_BYTES
from tests.words import unsaid
from workers.config.settings import Settings


@pytest.mark.parametrize("free", [0, 1 << 30])
def test_a_full_disk_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free))
    process = ServerProcess("worker", tmp_path / "worker.log", tmp_path / "worker.lock", death_signal=signal.SIGTERM)
    process.start([sys.executable, "-c", "print('the last words')"], folder=tmp_path)
    try:
        with pytest.raises(ServerError) as ended:
            process.wait_until(lambda: False, 60.0)
    finally:
        process.stop()
    told = str(ended.value)
    assert unsaid(told, "worker", tmp_path) == []
    assert ("\n" in told) is (free > 0), "one line where there is no room, and the log otherwise"


def test_a_stack_on_a_full_disk_says_so_while_its_processes_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = Stack(Settings(home=tmp_path), Parts(), external=True)
    stack.check_room()
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=LEAST_BYTES - 1))
    with pytest.raises(ServerError) as full:
        stack.check_room()
    assert unsaid(str(full.value), tmp_path) == []
    assert "\n" not in str(full.value)
