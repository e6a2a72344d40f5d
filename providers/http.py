"""HTTP names: requests, responses, URLs, transports and their errors, as the whole product and its tests use them.

They are httpx's. This is the only module that imports it, so that another library means a change here and in
`workers.http.transport`, which carries the bytes; docs/decisions/httpx.md says why, and what would have to change.

Adapters build a `Request` and are answered by `providers.protocol.Reply`. `Client`, `AsyncClient` and `get` are plain
clients that retry nothing and guard nothing: for the sandbox, benchmarks, and checks of our own services, never for a
request that is paid for.
"""

from __future__ import annotations

from typing import Any

import httpx
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


class Request(httpx.Request):
    """httpx's request, which can be made of any text that is an address, or refuses it as what it is.

    Raises:
        InvalidURL: the URL cannot be read; httpx lets another error through for a name in Punycode that stands for
            nothing, such as ``xn--``, which no caller expects.
    """

    def __init__(self, method: str, url: URL | str, **more: Any) -> None:
        try:
            super().__init__(method, url, **more)
        except UnicodeError as error:
            raise InvalidURL(f"its host is no name: {error}") from None
