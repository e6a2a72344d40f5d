"""The log of a command: warnings on standard error. Services log otherwise: `workers.observability.logs`."""

from __future__ import annotations

import logging
import sys

import structlog


def to_standard_error() -> None:
    """Log warnings to standard error, because standard output is for the command's result."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            # Its own way to show an exception shows the values of variables too, some of which are secrets.
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
            ),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
