"""The web process of a test, in a thread of it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from starlette.types import ASGIApp

from tests.stack import wait_for
from web.__main__ import _Server


@contextmanager
def serving(app: ASGIApp, listener: socket.socket) -> Iterator[None]:
    """Serve `app` for as long as the block runs; the listener is closed afterwards."""
    # As in the web process, what never ends by itself is ended first.
    end = getattr(getattr(app, "state", None), "end", lambda: None)
    server = _Server(uvicorn.Config(app, log_level="warning"), end)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        wait_for(lambda: server.started, message="the web process listens")
        yield
    finally:
        server.should_exit = True
        thread.join(30)
        listener.close()
