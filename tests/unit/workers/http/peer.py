"""A server on loopback for tests of the HTTP client: it misbehaves as it is told, and keeps what it was asked."""

from __future__ import annotations

import asyncio
import datetime as dt
import ipaddress
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from workers.http.client import HttpClient, build_client
from workers.http.ssrf import Guard

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
PATIENCE = 10.0  # seconds; far beyond what any of these tests takes


class Peer:
    """A server on loopback: `serve` is called for each request that was read completely."""

    def __init__(self, serve: Callable[[Peer, bytes, asyncio.StreamWriter], Awaitable[None]]) -> None:
        self.serve = serve
        self.port = 0
        self.connections = 0
        self.requests: list[bytes] = []
        self.asked = asyncio.Event()
        #: How each connection ended: "closed", "reset", or the exception's name.
        self.endings: asyncio.Queue[str] = asyncio.Queue()

    def url(self, path: str = "/", scheme: str = "http") -> str:
        return f"{scheme}://127.0.0.1:{self.port}{path}"

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        ending = "closed"
        try:
            while request := await self.read(reader):
                self.requests.append(request)
                self.asked.set()
                await self.serve(self, request, writer)
                await writer.drain()
        except ConnectionResetError:
            ending = "reset"
        except asyncio.IncompleteReadError as error:
            ending = f"cut off after {len(error.partial)} bytes"
        finally:
            writer.transport.abort()
            await self.endings.put(ending)

    async def read(self, reader: asyncio.StreamReader) -> bytes:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError as error:
            if error.partial:
                raise
            return b""
        length = next((int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")), 0)
        return head + await reader.readexactly(length)


async def answer(_peer: Peer, _request: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(OK)


async def hang_up(_peer: Peer, _request: bytes, writer: asyncio.StreamWriter) -> None:
    writer.close()


async def stay_silent(_peer: Peer, _request: bytes, _writer: asyncio.StreamWriter) -> None:
    return


@asynccontextmanager
async def peer(
    serve: Callable[[Peer, bytes, asyncio.StreamWriter], Awaitable[None]] = answer, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Peer]:
    made = Peer(serve)
    server = await asyncio.start_server(made.handle, "127.0.0.1", 0, ssl=tls)
    made.port = server.sockets[0].getsockname()[1]
    async with server:
        yield made


def client(*allow: str, max_connections: int = 8) -> HttpClient:
    return build_client(Guard(allow or ["127.0.0.1"]), max_connections=max_connections)


def run(story: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(PATIENCE):
            await story()

    asyncio.run(bounded())


def resolve_to(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    def getaddrinfo(_host: Any, port: Any, *_: Any, **__: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, int(port))) for address in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


def server_tls(folder: Path) -> ssl.SSLContext:
    """A server's TLS context with a certificate for 127.0.0.1 that only its own file vouches for."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "loopback")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context
