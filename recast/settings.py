"""Producers' settings: where the broker and the result store are, and which setting says so.

They are read from the environment, then from ``.env`` in the working folder, then from the file that a running
`recast up` keeps in its home. Blanks, line ends and unseen characters around a value are cut off; a blank variable
counts as unset. The standard library suffices, so that a producer
carries nothing that only workers need.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from recast.address import PREFIX, PREFIX_RULE, parse
from recast.errors import NotConfiguredError
from recast.hints import hint
from recast.values import trimmed, unseen

BROKER_URL = "RECAST_BROKER_URL"
RESULT_URL = "RECAST_RESULT_URL"
KEY_PREFIX = "RECAST_KEY_PREFIX"
HOME = "RECAST_HOME"
DEFAULT_HOME = ".recast"
STACK_FILE = "stack.json"  # in the home, while a `recast up` runs there

_ASSIGNMENT = re.compile(r"\s*(?:export\s+)?([A-Za-z_]\w*)\s*=\s*(.*?)\s*")
_REFERENCE = re.compile(r"\$\{([A-Za-z_]\w*)(?::-([^}]*))?\}")


@dataclass(frozen=True, slots=True, repr=False)  # the URLs hold passwords
class ProducerSettings:
    """Where a producer sends jobs and finds results."""

    broker_url: str
    result_url: str
    #: What names the broker: a variable, or the file of a running `recast up`.
    named_by: str
    #: What every key in both begins with.
    key_prefix: str = ""

    def __repr__(self) -> str:
        return f"ProducerSettings({self.place}, named by {self.named_by})"

    @property
    def place(self) -> str:
        """The broker's host and port, without its credentials."""
        return parse(self.broker_url).place


def read(environ: Mapping[str, str] | None = None, folder: Path | None = None) -> ProducerSettings:
    """Read the settings.

    Args:
        environ: instead of this process's environment.
        folder: instead of the working folder.

    Raises:
        NotConfiguredError: no broker is configured, or its configuration cannot be read.
    """
    environ = os.environ if environ is None else environ
    folder = Path.cwd() if folder is None else folder
    named = _named(environ, folder)
    broker, results = named.get(BROKER_URL), named.get(RESULT_URL)
    named_by = BROKER_URL
    if broker is None:
        stack_file = folder / named.get(HOME, DEFAULT_HOME) / STACK_FILE
        stack = _stack(stack_file)
        broker, results = stack.get("broker_url"), results or stack.get("result_url")
        if broker is None:
            raise NotConfiguredError(
                f"no broker is configured: set {BROKER_URL}, or set {HOME} to the home of a running {hint('up')}"
                f" ({stack_file} was not found)"
            )
        named_by = str(stack_file)
    prefix = named.get(KEY_PREFIX, "")
    if not PREFIX.fullmatch(prefix):
        raise NotConfiguredError(f"{KEY_PREFIX}: {PREFIX_RULE}")
    return ProducerSettings(_url(broker, named_by), _url(results or broker, RESULT_URL), named_by, prefix)


def home() -> Path:
    """The home of this machine's processes, as they read it themselves.

    Raises:
        NotConfiguredError: it cannot be read.
    """
    named = _named(os.environ, Path()).get(HOME, DEFAULT_HOME)
    if found := unseen(named):
        raise NotConfiguredError(f"{HOME}: {found} cannot be seen and is not allowed; write the value again by hand")
    return Path(named)


def _named(environ: Mapping[str, str], folder: Path) -> dict[str, str]:
    """Our variables of the environment, and those of ``.env`` that it does not have."""
    given = {name: trimmed(value) for name, value in environ.items() if name.startswith("RECAST_")}
    return {**_dotenv(folder / ".env", environ), **{name: value for name, value in given.items() if value}}


def _url(text: str, named_by: str) -> str:
    """`text`, checked; errors never repeat it, because it contains a password."""
    if found := unseen(text):
        raise NotConfiguredError(f"{named_by}: {found} cannot be part of an address; write it again by hand")
    try:
        parse(text)
    except ValueError as error:
        raise NotConfiguredError(f"{named_by} {error}") from None
    return text


def _stack(path: Path) -> Mapping[str, str]:
    """The addresses of a running `recast up`; empty if none runs."""
    try:
        found = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise NotConfiguredError(f"{path} cannot be read ({error}); set {BROKER_URL}") from None
    return {name: value for name, value in found.items() if isinstance(value, str)} if isinstance(found, dict) else {}


def _dotenv(path: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """The assignments of a ``.env`` file, with quotes, comments, ``export`` and ``${NAME:-default}``."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines() if path.is_file() else []
    except UnicodeDecodeError as error:  # its own words repeat a byte, which may be one of a password
        place = error.object[: error.start].count(b"\n") + 1
        raise NotConfiguredError(f"{path} cannot be read: line {place} is not UTF-8; save the file as UTF-8") from None
    except OSError as error:
        raise NotConfiguredError(f"{path} cannot be read ({error})") from None
    found: dict[str, str] = {}
    for line in lines:
        match = _ASSIGNMENT.fullmatch(line)
        if match is None:
            continue
        name, value = match.groups()
        quote = value[:1]
        if quote in {"'", '"'} and quote in value[1:]:
            value = value[1 : value.index(quote, 1)]
        else:
            value = re.split(r"(?:^|\s)#", value)[0].rstrip()
        known = {**environ, **found}
        value = _REFERENCE.sub(lambda part, known=known: known.get(part[1]) or part[2] or "", value)
        if value := trimmed(value):
            found[name] = value
    return found
