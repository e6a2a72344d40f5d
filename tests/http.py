"""HTTP for tests: clients of what the tests start, transports without a network, and the errors a transport raises.

The one module of the tests that imports the HTTP library, as `providers.http` is the product's.
"""

from __future__ import annotations

from collections.abc import Callable

from httpx import (
    ASGITransport,
    AsyncClient,
    BaseTransport,
    Client,
    ConnectError,
    ConnectTimeout,
    HTTPError,
    InvalidURL,
    MockTransport,
    PoolTimeout,
    ReadError,
    ReadTimeout,
    RemoteProtocolError,
    Request,
    Response,
    Timeout,
    TransportError,
    UnsupportedProtocol,
    WriteError,
    delete,
    get,
    post,
)

from providers.http import URL
from workers.http.client import HttpClient
from workers.http.ssrf import Guard

__all__ = [
    "URL",
    "ASGITransport",
    "AsyncClient",
    "BaseTransport",
    "Client",
    "ConnectError",
    "ConnectTimeout",
    "HTTPError",
    "InvalidURL",
    "MockTransport",
    "PoolTimeout",
    "ReadError",
    "ReadTimeout",
    "RemoteProtocolError",
    "Request",
    "Response",
    "Timeout",
    "TransportError",
    "UnsupportedProtocol",
    "WriteError",
    "delete",
    "get",
    "mock_client",
    "post",
]


def mock_client(answer: Callable[[Request], Response], guard: Guard | None = None) -> HttpClient:
    """Our client, whose every request is answered by `answer`; only public addresses may be asked, or `guard`'s."""
    return HttpClient(MockTransport(answer), guard or Guard())
