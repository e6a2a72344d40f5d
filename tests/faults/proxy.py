"""A link between processes that can swallow everything: nothing is refused, reset or closed, and nothing arrives."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import ParamSpec, Self
from urllib.parse import urlsplit, urlunsplit

P = ParamSpec("P")

CHUNK = 64 * 1024


class _Pipe:
    """One connection through the link."""

    def __init__(self) -> None:
        #: Clear while the link swallows; what belongs to a forgotten connection stays clear for ever.
        self.flows = asyncio.Event()

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass bytes, and the end of them, on in one direction."""
        with suppress(OSError):
            while data := await reader.read(CHUNK):
                await self.flows.wait()
                writer.write(data)
                await writer.drain()
        await self.flows.wait()
        await _close(writer)


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()


class Proxy:
    """Forwards TCP connections of `listener` to `host` and `port`; the kernel acknowledges what it swallows."""

    def __init__(self, host: str, port: int, listener: socket.socket | None = None) -> None:
        self._target = (host, port)
        self._listener = listener or socket.create_server(("127.0.0.1", 0))
        self.address: tuple[str, int] = self._listener.getsockname()[:2]
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._pipes: set[_Pipe] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._swallows = False

    @classmethod
    def of(cls, url: str, listener: socket.socket | None = None) -> Self:
        """A link to the server that `url` names."""
        parts = urlsplit(url)
        assert parts.hostname is not None
        assert parts.port is not None
        return cls(parts.hostname, parts.port, listener)

    def url(self, url: str) -> str:
        """`url` through this link."""
        parts = urlsplit(url)
        user, at, _ = parts.netloc.rpartition("@")
        host, port = self.address
        return urlunsplit(parts._replace(netloc=f"{user}{at}{host}:{port}"))

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._serve(), self._loop).result()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def swallow(self) -> None:
        """From now on nothing passes; whoever connects is accepted and never answered."""
        self._call(self._stop_flowing)

    def heal(self, *, forget: bool) -> None:
        """Everything passes again, but for connections made before, where `forget`: their state was lost."""
        self._call(self._flow, forget)

    def _call(self, work: Callable[P, None], *args: P.args, **kwargs: P.kwargs) -> None:
        async def run() -> None:
            work(*args, **kwargs)

        asyncio.run_coroutine_threadsafe(run(), self._loop).result()

    def _stop_flowing(self) -> None:
        self._swallows = True
        for pipe in self._pipes:
            pipe.flows.clear()

    def _flow(self, forget: bool) -> None:
        self._swallows = False
        if forget:
            self._pipes.clear()
        for pipe in self._pipes:
            pipe.flows.set()

    async def _serve(self) -> None:
        self._server = await asyncio.start_server(self._begin, sock=self._listener)

    def _begin(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._connect(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        pipe = _Pipe()
        self._pipes.add(pipe)
        if not self._swallows:
            pipe.flows.set()
        writers = [writer]
        try:
            await pipe.flows.wait()
            with suppress(OSError):
                far_reader, far_writer = await asyncio.open_connection(*self._target)
                writers.append(far_writer)
                await asyncio.gather(pipe.carry(reader, far_writer), pipe.carry(far_reader, writer))
        finally:
            self._pipes.discard(pipe)
            for each in writers:
                each.transport.abort()
                await _close(each)

    async def _close(self) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
