"""The file of a process's heartbeat: where it is, and what it says of the process.

`recast health` reads it every few seconds in a process of its own, so this module needs little.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from workers.failures import describe

GRACE_SECONDS = 10.0  # a heartbeat later than this is missing: what is late on a loaded machine is not yet stuck


def file_of(home: Path, name: str) -> Path:
    """Where the process called `name` keeps its heartbeat; without an ``@HOST`` it is one of this machine."""
    node = name if "@" in name else f"{name}@{socket.gethostname()}"
    return home / "health" / f"{quote(node, safe='@')}.json"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a heartbeat says of its process."""

    healthy: bool
    #: What is wrong, a sentence for each; empty when all is well.
    reasons: tuple[str, ...]
    #: Seconds since it was written; None where there is none.
    age: float | None
    #: As the process wrote them.
    parts: Mapping[str, Mapping[str, Any]]

    def document(self) -> dict[str, Any]:
        """As plain JSON."""
        return asdict(self)


def judge(path: Path, now: datetime | None = None) -> Verdict:
    """Whether the process that keeps this heartbeat is well."""
    now = now or datetime.now(UTC)
    try:
        document = json.loads(path.read_text())
        age = (now - datetime.fromisoformat(document["at"])).total_seconds()
        limit = float(document["every"]) + GRACE_SECONDS
        parts: dict[str, dict[str, Any]] = document["parts"]
        reasons = [f"{name}: {part['error']} (since {part['since']})" for name, part in parts.items() if not part["ok"]]
    except FileNotFoundError:
        return Verdict(
            False, (f"no heartbeat at {path}: it has not started, has exited, or has another name",), None, {}
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        return Verdict(False, (f"the heartbeat at {path} cannot be read: {describe(error)}",), None, {})
    # A clock that was set back makes it as unreliable as a long silence.
    if abs(age) > limit:
        reasons.insert(0, f"no recent heartbeat: the last one is {age:.0f} s old; the limit is {limit:.0f} s")
    return Verdict(not reasons, tuple(reasons), age, parts)
