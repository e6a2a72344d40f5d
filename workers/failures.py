"""Errors as one line, for logs and messages, and the one that many writers share: a full disk."""

from __future__ import annotations

import errno

#: No space, a quota, and a limit on the size of files.
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def describe(error: BaseException) -> str:
    """An error on one line."""
    return f"{type(error).__name__}: {(str(error).strip() or 'no message').splitlines()[0]}"


def is_full(error: BaseException) -> bool:
    """Whether a file could not be written because there was no room for it."""
    return isinstance(error, OSError) and error.errno in _FULL
