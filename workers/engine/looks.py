"""Looks at addresses before money is spent on them: public pictures that jobs name, and our own links to ours.

What was seen is remembered for a while in this process, so that a thousand jobs with one picture cost one look.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar
from urllib.parse import urlsplit

from recast.hints import hint
from workers.cache import Cache
from workers.config.settings import Settings
from workers.http.client import HttpClient
from workers.http.ssrf import ForbiddenAddressError
from workers.http.urls import MEDIA
from workers.images.download import DeadUrlError, DownloadError, NobodyThereError, TransientDownloadError, look

REMEMBERED = 10_000  # addresses; an entry takes about 200 bytes
FINE_SECONDS = 300.0  # for which an address that answered is taken to work
BAD_SECONDS = 10.0  # for which one that did not is not asked again; shorter than any wait of its jobs
OWN_FINE_SECONDS = 5.0  # our own web is asked again sooner: all jobs of an account depend on it
OWN_BAD_SECONDS = 1.0  # so that a group of jobs costs one look, and the next probe another
#: Before a host that does not exist, or refuses, is believed: a server that restarts refuses for a moment.
NOBODY_PAUSES = (1.0, 3.0)

T = TypeVar("T")


async def insisted(call: Callable[[], Awaitable[T]]) -> T:
    """What `call` gives; that a host does not exist, or refuses, is believed only after some tries.

    Raises:
        DeadUrlError: it does not, in place of `NobodyThereError`.
    """
    for pause in NOBODY_PAUSES:
        try:
            return await call()
        except NobodyThereError:
            await asyncio.sleep(pause)
    try:
        return await call()
    except NobodyThereError as error:
        raise DeadUrlError(str(error)) from error


class PublicAddresses:
    """Public addresses of pictures that are passed on to providers; used on one event loop."""

    def __init__(self) -> None:
        self._fine: Cache[tuple[str, str], bool] = Cache(REMEMBERED, FINE_SECONDS)
        self._bad: Cache[tuple[str, str], DownloadError] = Cache(REMEMBERED, BAD_SECONDS)

    async def require(self, client: HttpClient, scope: str, url: str) -> None:
        """Let an address pass at which there is something.

        Args:
            client: its guard decides which addresses may be asked.
            scope: of what was seen: accounts may ask different hosts.
            url: the address.

        Raises:
            DeadUrlError: there is nothing, and will not be.
            TransientDownloadError: there may be something later.
            ForbiddenAddressError: it is not a public address.
        """
        key = (scope, url)
        if key in self._fine:
            return
        if (bad := self._bad.get(key)) is not None:
            raise bad
        try:
            await insisted(lambda: look(client, url))
        except DownloadError as error:
            self._bad.put(key, error)
            raise
        self._fine.put(key, value=True)


class OwnWebError(Exception):
    """Our links lead to no picture: `web` is down, cannot be reached, or does not know our storage or key."""


class OwnWeb:
    """Our own `web`, as providers reach it; used on one event loop.

    Args:
        settings: where it is, and where it is tried.
        client: whose guard lets the operator's own address through.
    """

    def __init__(self, settings: Settings, client: Callable[[], HttpClient]) -> None:
        self._public = settings.public_url or ""
        self._tried_at = settings.links_tried_at
        self._client = client
        self._lock = asyncio.Lock()
        self._fine: Cache[str, bool] = Cache(1, OWN_FINE_SECONDS)
        self._bad: Cache[str, OwnWebError] = Cache(1, OWN_BAD_SECONDS)
        self._last: str | None = None

    async def require(self, url: str | None) -> None:
        """Let one of our links pass if links of ours work now; other addresses pass as well.

        Raises:
            OwnWebError: they do not.
        """
        if self._tried_at is None or url is None or not url.startswith(f"{self._public}{MEDIA}/"):
            return
        self._last = url
        async with self._lock:
            if "" in self._fine:
                return
            if (bad := self._bad.get("")) is not None:
                raise bad
            try:
                await look(self._client(), self._tried_at + url.removeprefix(self._public))
            except (DownloadError, ForbiddenAddressError) as error:
                raise self._bad.put("", self._down(error)) from error
            self._fine.put("", value=True)

    async def is_down(self) -> bool:
        """Whether links do not work now: the one that was given out last, or, in a process without one, any."""
        self._fine.drop("")
        try:
            if self._last is not None:
                await self.require(self._last)
            elif self._tried_at is not None:
                await look(self._client(), f"{self._tried_at}{MEDIA}/")
        except (OwnWebError, TransientDownloadError):
            return True
        except DeadUrlError:
            return False  # an answer came
        return False

    def _down(self, error: Exception) -> OwnWebError:
        at = "" if self._tried_at == self._public else f", tried at {self._tried_at}"
        return OwnWebError(
            f"our own web does not give out the pictures (RECAST_PUBLIC_URL {self._public}{at}): {error}; "
            f"start {hint('web')}, or correct the address"
        )


def own_hosts(settings: Settings) -> tuple[str, ...]:
    """The hosts at which our own web may be asked, although they may be private: an operator named them."""
    hosts = (urlsplit(url).hostname for url in (settings.public_url, settings.links_tried_at) if url)
    return tuple(f"[{host}]" if ":" in host else host for host in hosts if host)
