"""Locks on files (flock), which the kernel releases when the last process that holds them is gone, however it ended.

They answer the two questions process ids cannot, since ids are given out again: does the owner of a home live, and does
a server of it. A server holds its lock through a descriptor it inherits, and so do the processes it forks.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

# Descriptors that must not live on in forks of this process (Celery's prefork pool), or its end would go unnoticed.
_not_for_children: set[int] = set()


def _close_in_child() -> None:
    for descriptor in _not_for_children:
        os.close(descriptor)
    _not_for_children.clear()


os.register_at_fork(after_in_child=_close_in_child)


def keep_from_children(descriptor: int) -> None:
    """Have `descriptor` closed in every later fork of this process. exec closes it anyway."""
    _not_for_children.add(descriptor)


def close(descriptor: int) -> None:
    """Close a descriptor, also one that was kept from children.

    In a fork it is closed already and its number may belong to someone else: forks do not call this.
    """
    _not_for_children.discard(descriptor)
    os.close(descriptor)


def try_lock(path: Path) -> int | None:
    """A descriptor that holds the lock on `path`, or None while another one does."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    keep_from_children(descriptor)
    return descriptor


def is_held(path: Path) -> bool:
    """Whether a process holds the lock on `path`; a shared lock tests it, so that two tests can run at once."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
