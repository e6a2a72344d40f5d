"""The log of a service: each line is one JSON object with ``time``, ``level``, ``event`` and ``logger``.

That holds for our own lines and for all that others say in our processes: records of the standard library's loggers
(Celery, kombu, uvicorn, Tornado, asyncio), warnings, uncaught exceptions, and what Celery prints. An
exception is a field. Secrets in URLs are taken out of every line.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
from datetime import UTC, datetime
from enum import StrEnum
from types import TracebackType
from typing import Any, TextIO

import structlog
from structlog.stdlib import ProcessorFormatter
from structlog.typing import EventDict, Processor, WrappedLogger

from workers.http.shown_urls import without_url_secrets

_FIRST = ("time", "level", "event", "logger")

log = structlog.get_logger("recast")


class LogLevel(StrEnum):
    """From which level on a service logs."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"

    @property
    def number(self) -> int:
        """As the standard library counts levels."""
        return logging.getLevelNamesMapping()[self.value.upper()]


def configure_logs(level: int = logging.INFO, stream: TextIO | None = None) -> None:
    """Have this process log from `level` on, to `stream` or standard error. What is off costs nothing.

    Debug lines are ours alone: those of the libraries, many for each task, would hide the lines about jobs.
    """
    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, *_common(), ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=_Loggers(level),
        cache_logger_on_first_use=True,
    )
    handler = _Handler(stream or sys.stderr)
    handler.setFormatter(
        ProcessorFormatter(
            foreign_pre_chain=_common(),
            processors=[
                ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                _without_secrets,
                _ordered,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    logging.basicConfig(handlers=[handler], level=max(level, logging.INFO), force=True)
    logging.captureWarnings(capture=True)
    sys.excepthook = _uncaught
    sys.unraisablehook = _unraisable
    threading.excepthook = _uncaught_in_thread


def are_configured() -> bool:
    """Whether this process logs as a service does."""
    return any(isinstance(handler, _Handler) for handler in logging.getLogger().handlers)


def say_at_once(message: object, *_: object) -> None:
    """Write a line from within a signal handler, where a logger might wait for itself: past all buffers and locks."""
    handler = next((handler for handler in logging.getLogger().handlers if isinstance(handler, _Handler)), None)
    stream = sys.stderr if handler is None else handler.stream
    os.write(stream.fileno(), (_bare_line("info", str(message).strip()) + "\n").encode())


def _common() -> list[Processor]:
    return [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        structlog.processors.StackInfoRenderer(),
    ]


def _without_secrets(_: WrappedLogger, __: str, line: EventDict) -> EventDict:
    return {name: without_url_secrets(value) if isinstance(value, str) else value for name, value in line.items()}


def _ordered(_: WrappedLogger, __: str, line: EventDict) -> EventDict:
    """Begin with what every line has."""
    return {**{name: line.pop(name) for name in _FIRST if name in line}, **line}


def _bare_line(level: str, event: str, **fields: str) -> str:
    line = {"time": datetime.now(UTC).isoformat(), "level": level, "event": event, "logger": "recast", **fields}
    return json.dumps({name: without_url_secrets(value) for name, value in line.items()})


class _Loggers(structlog.stdlib.LoggerFactory):
    """Makes our own loggers, named by their modules."""

    def __init__(self, level: int) -> None:
        super().__init__(ignore_frame_names=[__name__])
        self._level = level

    def __call__(self, *args: Any) -> logging.Logger:
        """The logger of the module that asks, or of a name."""
        logger = super().__call__(*args)
        logger.setLevel(self._level)
        return logger


class _Handler(logging.StreamHandler[TextIO]):
    """Writes lines; a record that cannot be put into words becomes a line that says so."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Log that a line was lost, and why."""
        error = sys.exception()
        if isinstance(error, BrokenPipeError | ValueError) and self.stream.closed:
            return  # the reader is gone
        line = _bare_line("error", "log_line_failed", source=record.name, error=repr(error), template=repr(record.msg))
        self.stream.write(line + self.terminator)
        self.flush()


def _uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if not issubclass(kind, KeyboardInterrupt):
        log.critical("uncaught_exception", exc_info=(kind, error, trace))


def _unraisable(raised: Any) -> None:
    log.error(
        "exception_ignored",
        where=repr(raised.object),
        said=raised.err_msg,
        exc_info=(raised.exc_type, raised.exc_value, raised.exc_traceback),
    )


def _uncaught_in_thread(raised: threading.ExceptHookArgs) -> None:
    if raised.exc_value is not None and not issubclass(raised.exc_type, SystemExit):
        thread = raised.thread.name if raised.thread is not None else None
        log.critical(
            "uncaught_exception", thread=thread, exc_info=(raised.exc_type, raised.exc_value, raised.exc_traceback)
        )
