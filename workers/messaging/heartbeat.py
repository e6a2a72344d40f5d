"""The heartbeat of a process: a small file that it writes after real work."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import structlog

from workers import private

FORGET_AFTER = timedelta(days=1)  # files of hosts that no longer exist, such as containers

log = structlog.get_logger()


class Heartbeat:
    """The file of one process. Only one thread may write it."""

    def __init__(self, path: Path, every: float) -> None:
        self._path, self._every = path, every
        self._parts: dict[str, dict[str, Any]] = {}

    def write(self, errors: Mapping[str, str | None]) -> None:
        """Write each part's answer: None, or what is wrong with it. A file that cannot be written becomes old."""
        now = datetime.now(UTC).isoformat()
        for name, error in errors.items():
            before = self._parts.get(name)
            changed = before is None or before["ok"] is not (error is None)
            if changed and (error is not None or before is not None):
                log.warning("health_changed", part=name, ok=error is None, error=error)
            since = now if before is None or changed else before["since"]
            self._parts[name] = {"ok": error is None, "since": since, "error": error}
        document = {"pid": os.getpid(), "at": now, "every": self._every, "parts": self._parts}
        try:
            private.folder(self._path.parent)
            private.write(self._path, json.dumps(document))
        except OSError as error:
            log.error("heartbeat_not_written", path=str(self._path), error=str(error))  # noqa: TRY400 - the path is enough

    def remove(self) -> None:
        """Remove the file of a process that ended normally, and those of processes silent for long."""
        with suppress(OSError):
            self._path.unlink(missing_ok=True)
            for path in self._path.parent.glob("*.json"):
                written = datetime.fromtimestamp(path.stat().st_mtime, UTC)
                if datetime.now(UTC) - written > FORGET_AFTER:
                    path.unlink(missing_ok=True)
