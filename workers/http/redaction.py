"""Taking our secrets out of providers' answers: some repeat the request in their errors, and answers are kept.

What is taken out: the account's credentials as they stand in the accounts file, whatever the request's headers carried,
the tokens in the body of a request that was not taken, and the unguessable parts of our own links.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace

from providers.http import Request
from providers.protocol import MAX_ANSWER_BYTES, Http, Reply
from workers.http import urls
from workers.http.recorder import PLAIN_HEADERS, REDACTED

#: A shorter text may stand anywhere by chance, and is no credential that a provider gives. Passwords may be shorter:
#: they go out inside of longer texts, as in HTTP Basic.
MIN_SECRET = 12

_MARK = REDACTED.encode()
_TELLING = re.compile("token|secret|password|key", re.IGNORECASE)
_HARMLESS_HEADERS = PLAIN_HEADERS | {"accept-encoding", "connection", "user-agent", "prefer"}


class Redacted:
    """An `Http` whose answers hold none of our secrets.

    Args:
        http: the real one.
        secrets: of the account.
        public_url: what our own links begin with, if there are any.
    """

    def __init__(self, http: Http, secrets: Iterable[str], public_url: str | None = None) -> None:
        self._http = http
        self._secrets = tuple(secrets)
        self._links = links_of(public_url)

    async def send(
        self,
        request: Request,
        *,
        timeout: float,  # noqa: ASYNC109 - part of what is asked: it runs from the hand-over, not from the call
        write_before: float | None = None,
        max_bytes: int = MAX_ANSWER_BYTES,
    ) -> Reply:
        """Send `request`; see `providers.protocol.Http`."""
        reply = await self._http.send(request, timeout=timeout, write_before=write_before, max_bytes=max_bytes)
        # An answer that gives tokens may give one again that the request's body named, and must stay whole.
        spoken = () if reply.ok else _in_body(request)
        body = reply.body
        for secret in sorted({*self._secrets, *_in_headers(request), *spoken}, key=len, reverse=True):
            if len(secret) >= MIN_SECRET:
                for form in {secret, json.dumps(secret)[1:-1]}:
                    body = body.replace(form.encode(), _MARK)
        return replace(reply, body=without_links(body, self._links))


def links_of(public_url: str | None) -> re.Pattern[bytes] | None:
    """What finds our links in an answer, also with JSON's escaped slashes; None where there are none."""
    if public_url is None:
        return None
    slash = rb"\\?/"
    start = re.escape(public_url.encode()).replace(b"/", slash)
    paths = [urls.MEDIA.encode() + rb"/\d+/", urls.CALLBACKS.encode() + b"/"]
    return re.compile(b"(" + start + b"(?:" + b"|".join(paths).replace(b"/", slash) + b"))" + rb"[\w-]+")


def without_links(body: bytes, links: re.Pattern[bytes] | None) -> bytes:
    """`body` without the unguessable part of each link that `links` finds."""
    return body if links is None else links.sub(rb"\g<1>" + _MARK, body)


def _in_headers(request: Request) -> Iterator[str]:
    for name, value in request.headers.items():
        if name.lower() not in _HARMLESS_HEADERS:
            yield value
            yield value.partition(" ")[2]


def _in_body(request: Request) -> Iterator[str]:
    try:
        values = json.loads(request.content)
    except (ValueError, RecursionError):
        return
    if isinstance(values, dict):
        yield from (value for name, value in values.items() if isinstance(value, str) and _TELLING.search(name))
