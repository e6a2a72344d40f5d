"""What the sandbox's tests share: a client without a server between, a receiver of callbacks, a clock to move."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from anyio.from_thread import BlockingPortal, start_blocking_portal
from PIL import Image

from sandbox import SandboxConfig
from sandbox.app import build
from tests.http import ASGITransport, BaseTransport, Client, Request, Response
from tests.stack import wait_for

PATIENCE = 60.0  # seconds a call is waited for; it takes milliseconds


def until(condition: Callable[[], bool]) -> None:
    """Wait until `condition` holds, looking now and then."""
    wait_for(condition, every=0.005)


def picture(data: bytes) -> Image.Image:
    """Decode a file fully."""
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def encoded(image: Image.Image, form: str = "PNG") -> bytes:
    file = io.BytesIO()
    image.save(file, form)
    return file.getvalue()


@dataclass
class Clock:
    """Stands in for the module `time` in one module, some seconds ahead of it."""

    ahead: float = 0.0

    def time(self) -> float:
        return time.time() + self.ahead

    def monotonic(self) -> float:
        return time.monotonic() + self.ahead


@dataclass
class Receiver:
    """A server for callbacks: what came, when, and what it answers next (the last answer stays)."""

    url: str = ""
    answers: list[tuple[int, bytes]] = field(default_factory=lambda: [(200, b'{"code": "200"}')])
    bodies: list[bytes] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    times: list[float] = field(default_factory=list)


@contextmanager
def receiving(*answers: tuple[int, bytes]) -> Iterator[Receiver]:
    receiver = Receiver(answers=list(answers)) if answers else Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            receiver.times.append(time.monotonic())
            body = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.headers.append({name.lower(): value for name, value in self.headers.items()})
            receiver.bodies.append(body)
            status, answer = receiver.answers.pop(0) if len(receiver.answers) > 1 else receiver.answers[0]
            self.send_response(status)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    receiver.url = f"http://127.0.0.1:{server.server_port}/callback"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Bridge(BaseTransport):
    """Carries requests to an ASGI application that lives on the portal's event loop."""

    def __init__(self, portal: BlockingPortal, transport: ASGITransport) -> None:
        self._portal = portal
        self._transport = transport

    def handle_request(self, request: Request) -> Response:
        return self._portal.call(self._answer, request)

    async def _answer(self, request: Request) -> Response:
        answer = await self._transport.handle_async_request(request)
        return Response(answer.status_code, headers=answer.headers, content=await answer.aread())


@contextmanager
def connected(config: SandboxConfig, headers: Mapping[str, str]) -> Iterator[Client]:
    """Run a sandbox for as long as the context lasts, and give a client that sends `headers` with each request."""
    app = build(config)
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(app.router.lifespan_context(app)),
        Client(
            base_url="http://sandbox",
            headers=headers,
            transport=_Bridge(portal, ASGITransport(app)),
        ) as client,
    ):
        yield client
