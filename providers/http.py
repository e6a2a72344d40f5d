"""HTTP names: requests, responses, URLs, transports and their errors, as the whole product and its tests use them.

They are httpx's. This is the only module that imports it, so that another library means a change here and in
`workers.http.transport`, which carries the bytes; docs/decisions/httpx.md says why, and what would have to change.

Adapters build a `Request` and are answered by `providers.protocol.Reply`. `Client`, `AsyncClient` and `get` are plain
clients that retry nothing and guard nothing: for the sandbox, benchmarks, and checks of our own services, never for a
request that is paid for.
"""

from __future__ import annotations

from httpx import (
    URL,
    AsyncBaseTransport,
    AsyncClient,
    BasicAuth,
    Client,
    ConnectError,
    ConnectTimeout,
    HTTPError,
    InvalidURL,
    Limits,
    PoolTimeout,
    Request,
    Response,
    Timeout,
    TimeoutException,
    UnsupportedProtocol,
    create_ssl_context,
    get,
)

__all__ = [
    "URL",
    "AsyncBaseTransport",
    "AsyncClient",
    "BasicAuth",
    "Client",
    "ConnectError",
    "ConnectTimeout",
    "HTTPError",
    "InvalidURL",
    "Limits",
    "PoolTimeout",
    "Request",
    "Response",
    "Timeout",
    "TimeoutException",
    "UnsupportedProtocol",
    "create_ssl_context",
    "get",
]
