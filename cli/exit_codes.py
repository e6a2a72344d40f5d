"""Exit codes of the `recast` command."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """What a command's exit code means; docs/catalogs.md lists them for users."""

    OK = 0  # everything succeeded
    JOBS_FAILED = 1  # some jobs failed, or something differs
    USAGE = 2  # an option, an input or a setting is wrong
    PERSON = 3  # the work cannot continue without a decision
    INFRASTRUCTURE = 4  # a service does not answer
    INTERRUPTED = 130  # Ctrl-C
