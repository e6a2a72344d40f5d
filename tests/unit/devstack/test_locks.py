"""Locks that end with their holder."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from devstack import locks


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "some.lock"


def test_a_lock_has_one_holder(path: Path) -> None:
    assert not locks.is_held(path)
    first = locks.try_lock(path)
    assert first is not None
    assert locks.try_lock(path) is None
    assert locks.is_held(path)

    locks.close(first)

    assert not locks.is_held(path)
    second = locks.try_lock(path)
    assert second is not None
    locks.close(second)


def test_a_process_that_inherited_the_lock_holds_it_until_it_ends(path: Path) -> None:
    lock = locks.try_lock(path)
    assert lock is not None
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=[lock]) as child:
        locks.close(lock)
        assert locks.is_held(path)
        child.communicate(b"\n")
    assert not locks.is_held(path)


# Celery's prefork pool forks in the same way.
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_fork_does_not_hold_the_lock(path: Path) -> None:
    lock = locks.try_lock(path)
    assert lock is not None
    ready, end = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        os.write(ready[1], b".")  # the fork's hooks have run
        os.close(end[1])
        os.read(end[0], 1)
        os._exit(0)
    try:
        os.read(ready[0], 1)
        locks.close(lock)
        assert not locks.is_held(path)
    finally:
        for descriptor in (*ready, *end):
            os.close(descriptor)
        os.waitpid(child, 0)
