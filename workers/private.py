"""Private files: the folders that Recast makes are for their owner alone (0700), and so are the files in them (0600).

Every program of ours begins with `begin`, so whatever it makes is private, also what libraries make. Folders that hold
pictures or secrets are made with `folder`, and `close` closes those of earlier versions. What a person asks for
(exported pictures, lists of mistakes) is made within `persons`, as the person's own programs would make it.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import structlog

OTHERS = 0o077  # the permissions of everybody but the owner
PASSABLE = 0o011  # of these, to pass through a folder to what is in it
READABLE = 0o066  # of these, all but to pass through a folder, as a server that runs as another user has to

log = structlog.get_logger()


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
    missing = [each for each in (path, *path.parents) if not each.exists()]
    for each in reversed(missing):
        each.mkdir(mode=0o700, exist_ok=True)
    return path


def close(path: Path) -> None:
    """Close a folder of ours, and the folders in it, that others may read.

    A line of the log says so, if others could come as far as this folder.

    Folders of other users, and those that everybody is meant to use, such as ``/tmp``, are left as they are.
    """
    found = [each for each in (path, *_folders_in(path)) if _is_open(each)]
    for each in found:
        each.chmod(stat.S_IMODE(each.stat().st_mode) & ~OTHERS)
    if found and all(each.stat().st_mode & PASSABLE for each in path.absolute().parents):
        log.warning("folders_closed", folder=str(path), number=len(found), because="other users could read them")


def _folders_in(path: Path) -> list[Path]:
    try:
        return [each for each in path.iterdir() if each.is_dir() and not each.is_symlink()]
    except OSError:
        return []


def _is_open(path: Path) -> bool:
    try:
        found = path.stat()
    except OSError:
        return False
    shared = found.st_mode & stat.S_ISVTX or path in {Path(path.anchor), Path.home()}
    return bool(found.st_mode & READABLE) and found.st_uid == os.geteuid() and not shared


def opener(path: str, flags: int) -> int:
    """For `open`: a new file is its owner's alone, whatever the umask."""
    return os.open(path, flags, 0o600)


def write(path: Path, content: str) -> None:
    """Replace a file of ours. Readers see the old or the new content, never a part."""
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    # One that a killed process left might be open to others.
    partial.unlink(missing_ok=True)
    with open(partial, "x", encoding="utf-8", opener=opener) as file:
        file.write(content)
    partial.replace(path)
