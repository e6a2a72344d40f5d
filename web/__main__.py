"""The web process: the application under uvicorn, with logs as all services write them (``python -m web``)."""

from __future__ import annotations

import argparse
import logging
import sys
from asyncio import Protocol
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from ipaddress import ip_network
from socket import socket
from threading import Thread
from typing import cast

import structlog
import uvicorn

from web.accept_filter import AcceptFilter
from web.app import build
from web.connections import Connections, most_connections
from web.front import Front
from web.listener import Listener, listening
from web.peers import behind
from web.protocol import LimitedProtocol, end
from workers import private
from workers.config.settings import SettingsError, settings
from workers.images.storage import StorageError
from workers.messaging.publish import connect
from workers.observability.logs import LogLevel, configure_logs

MAX_HEAD = 16 * 1024  # bytes of a request before its body that are kept while the rest has not come
BAD_SETTINGS = 2  # the exit code of every command that gets bad input
NOT_STARTED = 3  # uvicorn's own, for example when the port is taken

log = structlog.get_logger()


class _Server(uvicorn.Server):
    """A server that ends what does not end by itself before it waits for all answers."""

    def __init__(self, config: uvicorn.Config, end: Callable[[], None], connections: Connections | None = None) -> None:
        super().__init__(config)
        self._end = end
        self._connections = Connections() if connections is None else connections

    async def shutdown(self, sockets: list[socket] | None = None) -> None:
        """Stop serving."""
        self._end()
        end(self._connections)
        await super().shutdown(sockets)


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until a stop signal arrives; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m web", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    listener = parser.add_mutually_exclusive_group(required=True)
    listener.add_argument("--port", type=int)
    listener.add_argument("--fd", type=int, help="Descriptor of an inherited, bound socket")
    parser.add_argument("--loglevel", type=LogLevel, choices=LogLevel, default=LogLevel.INFO)
    given = parser.parse_args(arguments)
    private.begin()
    configure_logs(given.loglevel.number)
    try:
        app = build()
    except (SettingsError, StorageError) as error:
        log.critical("not_started", service="web", error=str(error))
        return BAD_SETTINGS
    # Each request that is not HTTP would be a line, so that anybody could fill a disk.
    logging.getLogger("uvicorn.error").addFilter(lambda record: record.levelno != logging.WARNING)
    proxies = settings().trusted_proxies
    connections = Connections(map(ip_network, proxies), most_connections())
    http = cast("type[Protocol]", partial(LimitedProtocol, connections))
    # uvicorn's own log configuration would write lines in another format; access lines would contain callback tokens.
    config = uvicorn.Config(
        behind(Front(app, app.state.is_signed), proxies), log_config=None, access_log=False, server_header=False,
        http=http, ws="none", h11_max_incomplete_event_size=MAX_HEAD,
        # Read by us: by default uvicorn would believe everybody on this machine, and nobody would know who came.
        proxy_headers=False,
    )  # fmt: skip
    server = _Server(config, app.state.end, connections)
    try:
        listeners = _listeners(given, AcceptFilter(connections, app.state.is_signed))
    except OSError as error:
        log.critical("not_started", service="web", error=str(error))
        return NOT_STARTED
    Thread(target=connect, name="recast-broker", daemon=True).start()  # nothing waits for it
    with suppress(KeyboardInterrupt):  # it has ended well
        server.run([*listeners])
    return 0 if server.started else NOT_STARTED


def _listeners(given: argparse.Namespace, takes: AcceptFilter) -> list[Listener]:
    made = listening(given.host, given.port) if given.fd is None else [Listener(fileno=given.fd)]
    for each in made:
        each.takes = takes
    return made


if __name__ == "__main__":
    sys.exit(main())
