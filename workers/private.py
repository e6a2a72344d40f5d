"""Private files: the folders that Recast makes are for their owner alone (0700), and so are the files in them (0600).

Every program of ours begins with `begin`, so whatever it makes is private, also what libraries make. Folders that hold
pictures or secrets are made with `folder`; `workers.open_folders` closes those of earlier versions. What a person asks
for (exported pictures, lists of mistakes) is made within `persons`, as the person's own programs would make it.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from itertools import takewhile
from pathlib import Path

OTHERS = 0o077  # the permissions of everybody but the owner


@cache
def begin() -> int:
    """Make everything that this process makes private; returns the umask of the person who started it."""
    return os.umask(OTHERS)


@contextmanager
def persons() -> Iterator[None]:
    """Files for the person who started this process, with the permissions that the person's umask leaves."""
    if not begin.cache_info().currsize:
        yield
        return
    os.umask(begin())
    try:
        yield
    finally:
        os.umask(OTHERS)


def persons_umask() -> int:
    """The umask of the person who started this process."""
    if begin.cache_info().currsize:
        return begin()
    # It can only be read by changing it.
    found = os.umask(OTHERS)
    os.umask(found)
    return found


def folder(path: Path) -> Path:
    """Make a folder of ours, with those above it that are missing.

    Raises:
        OSError: it cannot be made.
    """
    missing = takewhile(lambda each: not each.exists(), (path, *path.parents))
    for each in reversed([*missing]):
        each.mkdir(mode=0o700, exist_ok=True)
    return path


def opener(path: str, flags: int) -> int:
    """For `open`: a new file is its owner's alone, whatever the umask."""
    return os.open(path, flags, 0o600)


def write(path: Path, content: str) -> None:
    """Replace a file of ours. Readers see the old or the new content, never a part."""
    # The name is the thread's own, as two of one process may write at once.
    partial = path.with_name(f"{path.name}.{threading.get_native_id()}.partial")
    # One that a killed process left might be open to others.
    partial.unlink(missing_ok=True)
    with open(partial, "x", encoding="utf-8", opener=opener) as file:
        file.write(content)
    partial.replace(path)
