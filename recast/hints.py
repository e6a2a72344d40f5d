"""Hints: the commands that messages advise, each written as a person types it.

Every message that names a command of ours gets it from here, so that quoting is right for any name, and so that a
command for the sandbox is followed by commands for the sandbox.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence

PROGRAM = "recast"
SANDBOX = "--sandbox"
#: Commands that run one process of a deployment. The sandbox's processes all run in one command.
SERVICES = frozenset({"worker", "beat", "flower", "web", "sandbox"})
TOGETHER = "up"
#: Commands that belong to no deployment.
EVERYWHERE = frozenset({"providers", "health"})

#: Set in the environment of a command that uses the sandbox and of the processes it starts.
IN_SANDBOX = "RECAST_HINTS_IN_SANDBOX"


def advise_sandbox(*, sandbox: bool) -> None:
    """Say whether this command uses the sandbox; its hints, and those of the processes it starts, then do so too."""
    if sandbox:
        os.environ[IN_SANDBOX] = "1"
    else:
        os.environ.pop(IN_SANDBOX, None)


def hint(command: str, *words: object, **options: object) -> str:
    """A command in backticks; the arguments are those of `typed`."""
    return f"`{typed(command, *words, **options)}`"


def meant(close: Sequence[str]) -> str:
    """The question whether one of the names that are `close` to an unknown one was meant; empty without any."""
    return f"did you mean {' or '.join(map(repr, close))}?" if close else ""


def typed(command: str, *words: object, **options: object) -> str:
    """A command as it is typed.

    Args:
        command: the command, such as ``schedule history``.
        words: its arguments.
        options: its options, with underscores for dashes. True means a flag, None or False leaves the option out, and
            a list gives the option several times.
    """
    in_sandbox = IN_SANDBOX in os.environ
    if in_sandbox and command in SERVICES:
        command, words, options = TOGETHER, (), {}
    flags = {SANDBOX: True} if in_sandbox and command not in EVERYWHERE else {}
    named = {f"--{name.replace('_', '-')}": value for name, value in options.items()}
    return line(command, words, {**named, **flags})


def line(command: str, words: Sequence[object], options: Mapping[str, object]) -> str:
    """A command line for a shell; `options` are by the name that is typed."""
    arguments = [str(word) for word in words]
    written = [piece for name, value in options.items() for piece in _option(name, value)]
    if any(word.startswith("-") for word in arguments):
        return shlex.join([PROGRAM, *command.split(), *written, "--", *arguments])
    return shlex.join([PROGRAM, *command.split(), *arguments, *written])


def _option(name: str, value: object) -> list[str]:
    if value is None or value is False:
        return []
    if value is True:
        return [name]
    if isinstance(value, list | tuple):
        return [piece for each in value for piece in _option(name, each)]
    text = str(value)
    # What looks like an option has to stand in one word with its name.
    return [f"{name}={text}"] if text.startswith("-") else [name, text]
