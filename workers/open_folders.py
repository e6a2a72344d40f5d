"""Folders of ours that others may read: those of earlier versions, or whose permissions a person changed."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from pathlib import Path

import structlog

from workers.private import OTHERS

PASSABLE = 0o011  # of these, to pass through a folder to what is in it
READABLE = 0o066  # of these, all but to pass through a folder, as a server that runs as another user has to

#: What a home has in it; a folder that has others in it belongs to another program or person too.
HOME_FOLDERS = frozenset(
    {"postgres", "valkey", "logs", "health", "pictures", "sandbox", "providers", "servers", "files", "inputs"}
)

log = structlog.get_logger()


def close_home(path: Path) -> None:
    """Close what of a home others may read; the folder itself, if there is nothing in it but what a home has.

    The path is a setting, and one that is wrong may lead anywhere: to a file, a project's folder or ``/etc``.
    """
    found = _folders_in(path)
    ours = [each for each in found if each.name in HOME_FOLDERS]
    _close(path, [path, *ours] if ours and len(ours) == len(found) else ours)


def close(path: Path) -> None:
    """Close a folder of ours, and the folders in it, that others may read.

    A line of the log says so, if others could come as far as this folder.

    Folders of other users, and those that everybody is meant to use, such as ``/tmp``, are left as they are.
    """
    _close(path, [path, *_folders_in(path)])


def _close(path: Path, folders: Iterable[Path]) -> None:
    found = [each for each in folders if _is_open(each)]
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
    return (
        stat.S_ISDIR(found.st_mode) and bool(found.st_mode & READABLE) and found.st_uid == os.geteuid() and not shared
    )
