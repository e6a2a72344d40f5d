"""The web process: the application under uvicorn, with logs as all services write them (``python -m web``)."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import structlog
import uvicorn

from web.app import build
from workers.config.settings import SettingsError
from workers.images.storage import StorageError
from workers.observability.logs import LogLevel, configure_logs

BAD_SETTINGS = 2  # the exit code of every command that gets bad input

log = structlog.get_logger()


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until a stop signal arrives; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m web", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    listener = parser.add_mutually_exclusive_group(required=True)
    listener.add_argument("--port", type=int)
    listener.add_argument("--fd", type=int, help="Descriptor of an inherited, bound socket")
    parser.add_argument("--loglevel", type=LogLevel, choices=LogLevel, default=LogLevel.INFO)
    given = parser.parse_args(arguments)
    configure_logs(given.loglevel.number)
    try:
        app = build()
    except (SettingsError, StorageError) as error:
        log.critical("not_started", service="web", error=str(error))
        return BAD_SETTINGS
    # uvicorn's own log configuration would write lines in another format; access lines would contain callback tokens.
    uvicorn.run(
        app, host=given.host, port=given.port or 0, fd=given.fd, log_config=None, access_log=False, server_header=False
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
