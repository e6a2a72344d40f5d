"""Errors as one line, for logs and messages."""

from __future__ import annotations


def describe(error: BaseException) -> str:
    """An error on one line."""
    return f"{type(error).__name__}: {(str(error).strip() or 'no message').splitlines()[0]}"
