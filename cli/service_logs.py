"""`recast logs`: the logs of the processes that the embedded stack or `recast up` runs, as they wrote them."""

from __future__ import annotations

import os
import sys
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from cli.environment import SandboxOption, choose
from cli.exit_codes import ExitCode
from recast.hints import hint
from workers.config.settings import SettingsError

FOLLOW_SECONDS = 0.3  # between two looks for new lines
TAIL_BYTES = 1024 * 1024  # of a log's end in which its last lines are looked for


class Tail:
    """One log, of which each line is read once; a log that begins anew is read from its beginning."""

    def __init__(self, path: Path) -> None:
        self.name = path.stem
        self._path = path
        self._at = 0
        self._file: int | None = None
        self._rest = b""

    def last(self, number: int) -> list[str]:
        """The last `number` lines; `new` continues after them."""
        self._at = max(0, (self._path.stat().st_size if self._path.exists() else 0) - TAIL_BYTES)
        cut = self._at > 0
        lines = self.new()
        return list(deque(lines[1:] if cut else lines, maxlen=number))

    def new(self) -> list[str]:
        """The lines that were finished since the last call."""
        try:
            with self._path.open("rb") as log:
                seen = os.fstat(log.fileno())
                if self._file not in (None, seen.st_ino) or seen.st_size < self._at:
                    self._at, self._rest = 0, b""
                self._file = seen.st_ino
                log.seek(self._at)
                read = log.read()
        except FileNotFoundError:
            return []
        self._at += len(read)
        *lines, self._rest = (self._rest + read).split(b"\n")
        return [line.decode(errors="replace") for line in lines]


def logs(
    service: Annotated[
        str | None, typer.Argument(help="One of them, such as worker or web. Default: all.", show_default=False)
    ] = None,
    *,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Print new lines until Ctrl-C.")] = False,
    lines: Annotated[int, typer.Option(min=0, help="Lines of each log to begin with.")] = 20,
    sandbox: SandboxOption = False,
) -> None:
    """Print the logs of this machine's services.

    They are those of the processes that `recast up` and `recast run` start. A service that was started by itself writes
    to its own standard error.
    """
    folder = choose(sandbox=sandbox).home / "logs"
    found = sorted(path for path in folder.glob("*.log") if service in (None, path.stem))
    if not found:
        raise SettingsError(_nothing(folder, service))
    tails = [Tail(path) for path in found]
    for tail in tails:
        _print(tail, tail.last(lines), named=len(tails) > 1)
    try:
        while follow:
            time.sleep(FOLLOW_SECONDS)
            for tail in tails:
                _print(tail, tail.new(), named=len(tails) > 1)
    except KeyboardInterrupt:
        raise typer.Exit(ExitCode.INTERRUPTED) from None


def _print(tail: Tail, lines: Sequence[str], *, named: bool) -> None:
    for line in lines:
        sys.stdout.write(f"{tail.name} | {line}\n" if named else f"{line}\n")
    sys.stdout.flush()


def _nothing(folder: Path, service: str | None) -> str:
    known = sorted(path.stem for path in folder.glob("*.log"))
    if service is not None and known:
        return f"{service!r} has no log in {folder}; allowed: {', '.join(known)}"
    return f"there are no logs in {folder}: nothing has run there; {hint('up')} starts everything"
