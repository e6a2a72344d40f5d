"""Downloads of pictures from the URLs that providers and jobs give, and looks at whether there is one to download.

    Exception
    +-- DownloadError
    |   +-- DeadUrlError             the server refused: the URL expired or never existed; a fresh one may work
    |   +-- TransientDownloadError   the same URL may work later
    |       +-- NobodyThereError     there is no such host, or nothing listens there
    +-- TooLargeError                (of `workers.http.client`) the file is over the cap
    +-- ForbiddenAddressError        (of `workers.http.ssrf`) the URL, or a redirect, leads to a private address

The bytes are returned unchecked: neither the URL's extension nor the Content-Type is used, since providers are
wrong about both (Qolaba's published backend stores JPEG bytes under ``.webp``). See `workers.images.verify`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from http import HTTPStatus
from types import MappingProxyType
from typing import BinaryIO, Final, TypeVar

from providers.http import InvalidURL, Request, Response
from providers.protocol import NotSentError, UnclearError, UnreachableError
from workers.http.client import HttpClient, TooLargeError, copy_body, read_body
from workers.http.exchange import clock
from workers.http.ssrf import BadUrlError, ForbiddenAddressError

MAX_BYTES: Final = 64 * 1024 * 1024  # a 20-megapixel photo as PNG takes about 40; each download is in memory
TIMEOUT_SECONDS: Final = 60.0  # for the file with all its redirects: 64 MiB at 9 Mbit/s
# A dead link must not keep all places of a store pump for a minute; files come from fast stores, or not at all.
SILENCE_SECONDS: Final = 15.0
LOOK_SECONDS: Final = 10.0  # a server that is slower than this with one byte keeps a provider waiting as well
MAX_REDIRECTS: Final = 5

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
# Client errors that speak of the moment and not of the URL. All others mean that this URL will not work any more:
# 403 from S3 and 400 from Google Cloud Storage are how an expired signature looks.
_PASSING = frozenset(
    {
        HTTPStatus.REQUEST_TIMEOUT,
        HTTPStatus.MISDIRECTED_REQUEST,
        HTTPStatus.TOO_EARLY,
        HTTPStatus.TOO_MANY_REQUESTS,
    }
)


_FIRST_BYTE: Final = {"Range": "bytes=0-0"}
_GONE = frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.GONE})
#: Of a look: a part, or a file too short for the part that was asked for.
_SOMETHING = frozenset({HTTPStatus.PARTIAL_CONTENT, HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE})


T = TypeVar("T")
_Heard = Callable[[], object]
_Take = Callable[[Response, _Heard], Awaitable[T]]


class DownloadError(Exception):
    """A file could not be fetched; `status` is what the server answered, where it did."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class DeadUrlError(DownloadError):
    """The URL will not work again: request a fresh one from the provider."""


class TransientDownloadError(DownloadError):
    """The server or the network failed; the same URL may work later."""


class NobodyThereError(TransientDownloadError):
    """There is no such host, or nothing listens at its address."""


async def look(client: HttpClient, url: str) -> None:
    """Ask for the first byte of `url`, to see that there is something; servers that dislike this get a plain GET.

    Raises:
        DeadUrlError, TransientDownloadError, ForbiddenAddressError: as for `fetch`.
    """
    try:
        await _get(client, _request(url, _FIRST_BYTE), _nothing, LOOK_SECONDS)
    except (DeadUrlError, TransientDownloadError) as error:
        if isinstance(error, NobodyThereError) or error.status in _GONE:
            raise
        await _get(client, _request(url), _nothing, LOOK_SECONDS)


async def fetch(
    client: HttpClient,
    url: str,
    *,
    max_bytes: int = MAX_BYTES,
    timeout: float = TIMEOUT_SECONDS,  # noqa: ASYNC109 - it ends in TransientDownloadError, and not in TimeoutError
) -> bytes:
    """Download `url`, following at most 5 redirects; each of them is checked by the client's guard.

    Args:
        client: its guard decides which addresses may be read.
        url: absolute http or https URL.
        max_bytes: the longest file that is read.
        timeout: seconds for all of it; 15 s without data end it too.

    Raises:
        DeadUrlError, TransientDownloadError, TooLargeError, ForbiddenAddressError: as listed above.
    """

    async def read(response: Response, heard: _Heard) -> bytes:
        return await read_body(response, max_bytes, heard=heard)

    return await _get(client, _request(url), read, timeout)


async def save(
    client: HttpClient,
    url: str,
    file: BinaryIO,
    *,
    headers: Mapping[str, str] = MappingProxyType({}),
    max_bytes: int,
    timeout: float,  # noqa: ASYNC109 - as for `fetch`
) -> Mapping[str, str]:
    """`fetch` into a file, piece by piece; what the server says of it (its headers, by their names in small letters).

    Args:
        client: its guard decides which addresses may be read.
        url: absolute http or https URL.
        file: where it goes.
        headers: sent to `url`, and not to where it redirects.
        max_bytes: the longest file that is read.
        timeout: seconds for all of it; 15 s without data end it too.

    Raises:
        DeadUrlError, TransientDownloadError, TooLargeError, ForbiddenAddressError: as for `fetch`.
    """

    async def copy(response: Response, heard: _Heard) -> Mapping[str, str]:
        await copy_body(response, file, max_bytes, heard=heard)
        return {name.lower(): value for name, value in response.headers.items()}

    return await _get(client, _request(url, headers), copy, timeout)


def _request(url: str, headers: Mapping[str, str] = MappingProxyType({})) -> Request:
    try:
        return Request("GET", url, headers=headers)
    except (InvalidURL, UnicodeError) as error:  # the second: a name in Punycode that stands for nothing
        raise BadUrlError(f"the URL cannot be read: {error}") from None


async def _nothing(_: Response, __: _Heard) -> None:
    """What is read of a response that is only looked at."""


async def _get(client: HttpClient, request: Request, take: _Take[T], seconds: float) -> T:
    """What `take` reads of the answer to a request, wherever it is redirected to."""
    deadline = clock() + seconds
    for _ in range(MAX_REDIRECTS + 1):
        left = deadline - clock()
        if left <= 0:
            raise TransientDownloadError(f"{request.url.host}: not finished within {seconds:g} s")
        answer = await _file_or_redirect(client, request, take, left)
        if not isinstance(answer, Request):
            return answer
        request = answer
    raise DeadUrlError(f"{request.url.host}: more than {MAX_REDIRECTS} redirects")


async def _file_or_redirect(client: HttpClient, request: Request, take: _Take[T], left: float) -> T | Request:
    """The file, or the request that the server redirects to, within `left` seconds."""
    try:
        async with (
            asyncio.timeout(SILENCE_SECONDS) as silence,
            client.stream(request, timeout=left) as response,
        ):
            if response.status_code not in _REDIRECTS:
                _require_ok(response, looking=take is _nothing)
                return await take(response, partial(_heard, silence))
    except TimeoutError as error:
        message = f"{request.url.host}: no data for {SILENCE_SECONDS:g} s"
        raise TransientDownloadError(message) from error
    except (ForbiddenAddressError, TooLargeError):
        raise
    except UnreachableError as error:
        raise NobodyThereError(f"nobody answers there: {error.cause}") from error
    except (NotSentError, UnclearError) as error:
        raise TransientDownloadError(str(error)) from error
    return _redirected(response)


def _heard(silence: asyncio.Timeout) -> None:
    silence.reschedule(asyncio.get_running_loop().time() + SILENCE_SECONDS)


def _require_ok(response: Response, *, looking: bool) -> None:
    status, host = response.status_code, response.request.url.host
    if status == HTTPStatus.OK or (looking and status in _SOMETHING):
        return
    if 400 <= status < 500 and status not in _PASSING:  # noqa: PLR2004 - the 4xx class
        raise DeadUrlError(f"{host} answered {status}: the URL has expired or does not exist", status)
    raise TransientDownloadError(f"{host} answered {status} instead of the file", status)


def _redirected(response: Response) -> Request:
    host = response.request.url.host
    location = response.headers.get("location")
    if not location:
        raise TransientDownloadError(f"{host} answered {response.status_code} without a Location header")
    try:
        return Request("GET", response.request.url.join(location), headers=_kept(response.request))
    except (InvalidURL, UnicodeError) as error:  # the second: a name in Punycode that stands for nothing
        raise BadUrlError(f"{host} redirects to a URL that cannot be read: {error}") from None


def _kept(request: Request) -> Mapping[str, str]:
    return _FIRST_BYTE if "range" in request.headers else {}
