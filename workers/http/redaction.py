"""The redactor: removes secrets from what is kept, shown or logged, in bytes, text, JSON, headers and URLs.

Some providers repeat the request in their errors, and answers are kept. So an adapter's HTTP is `Redacted`: its answers
hold neither the account's credentials, nor what the request's headers carried, nor the tokens in the body of a request
that was not taken, nor the unguessable parts of our own links.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import quote

from pydantic import BaseModel, SecretStr

from providers.http import Request
from providers.protocol import MAX_ANSWER_BYTES, Http, Reply
from workers.http import urls
from workers.http.shown_urls import REDACTED

#: A shorter text may stand anywhere by chance, and is not a credential that a provider gives. Passwords may be shorter:
#: they go out inside of longer texts, as in HTTP Basic.
MIN_SECRET = 12
#: Headers that describe the message and contain no credential; the values of all others are removed.
PLAIN_HEADERS = frozenset(
    {"accept", "content-type", "content-length", "host", "retry-after", "date", "server", "x-request-id"}
)

#: Of one account's requests: those with its own token, and the few whose bodies were refused lately.
CACHED_REDACTORS = 16

_MARK = REDACTED.encode()
_TELLING = re.compile("token|secret|password|key", re.IGNORECASE)
_HARMLESS_HEADERS = frozenset(
    name.encode() for name in PLAIN_HEADERS | {"accept-encoding", "connection", "user-agent", "prefer"}
)


class Redactor:
    """Takes out the secrets it knows, and the unguessable parts of our own links.

    Args:
        secrets: in clear.
        public_url: what our own links begin with, if there are any.
        shortest: characters of the shortest secret that is looked for.
    """

    def __init__(
        self, secrets: Iterable[str] = (), public_url: str | None = None, *, shortest: int = MIN_SECRET
    ) -> None:
        # The longest first: one may be part of another.
        known = sorted({secret for secret in secrets if len(secret) >= shortest}, key=len, reverse=True)
        self._secrets = tuple(known)
        self._forms = [form.encode() for secret in known for form in _forms(secret)]
        self._links = None if public_url is None else _links_of(public_url)
        self._public_url = public_url

    def and_of(self, secrets: Iterable[str]) -> Redactor:
        """A redactor that knows these secrets too."""
        return Redactor((*self._secrets, *secrets), self._public_url)

    def body(self, value: bytes) -> bytes:
        """`value` without secrets."""
        for form in self._forms:
            value = value.replace(form, _MARK)
        return value if self._links is None else self._links.sub(rb"\g<1>" + _MARK, value)

    def text(self, value: str) -> str:
        """`value` without secrets."""
        return self.body(value.encode("utf-8", "surrogatepass")).decode("utf-8", "surrogatepass")

    def json(self, value: Any, name: str = "") -> Any:
        """A JSON document without secrets; texts under a secret's name are removed, whatever they contain."""
        if isinstance(value, dict):
            return {key: self.json(item, key) for key, item in value.items()}
        if isinstance(value, list):
            return [self.json(item, name) for item in value]
        if isinstance(value, str):
            return REDACTED if _TELLING.search(name) else self.text(value)
        return value

    def headers(self, headers: Mapping[str, str]) -> dict[str, str]:
        """Headers by their names in lower case; only those that hold no credential keep their values."""
        return {
            name.lower(): self.text(value) if name.lower() in PLAIN_HEADERS else REDACTED
            for name, value in headers.items()
        }


class Redacted:
    """An `Http` whose answers hold none of our secrets.

    Args:
        http: the real one.
        secrets: of the account.
        public_url: what our own links begin with, if there are any.
    """

    def __init__(self, http: Http, secrets: Iterable[str], public_url: str | None = None) -> None:
        self._http = http
        redactor = Redactor(secrets, public_url)
        # Most requests carry the same headers as the one before.
        self._redactor_of = functools.lru_cache(maxsize=CACHED_REDACTORS)(redactor.and_of)

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
        return replace(reply, body=self._redactor_of((*_in_headers(request), *spoken)).body(reply.body))


def secrets_of(settings: BaseModel) -> tuple[str, ...]:
    """The values of an account's, or a process's, secrets."""
    values = (getattr(settings, name) for name in type(settings).model_fields)
    return tuple(value.get_secret_value() for value in values if isinstance(value, SecretStr) and value)


def _forms(secret: str) -> set[str]:
    """How a secret may be written: as it is, within JSON, within a URL."""
    return {secret, json.dumps(secret)[1:-1], quote(secret, safe="")}


def _links_of(public_url: str) -> re.Pattern[bytes]:
    """What finds our links, also with JSON's escaped slashes."""
    slash = rb"\\?/"
    start = re.escape(public_url.encode()).replace(b"/", slash)
    paths = [urls.MEDIA.encode() + rb"/\d+/", urls.CALLBACKS.encode() + b"/"]
    return re.compile(b"(" + start + b"(?:" + b"|".join(paths).replace(b"/", slash) + b"))" + rb"[\w-]+")


def _in_headers(request: Request) -> Iterator[str]:
    for name, written in request.headers.raw:
        if name.lower() not in _HARMLESS_HEADERS:
            value = written.decode(errors="replace")
            yield value
            yield value.partition(" ")[2]


def _in_body(request: Request) -> Iterator[str]:
    try:
        values = json.loads(request.content)
    except (ValueError, RecursionError):
        return
    if isinstance(values, dict):
        yield from (value for name, value in values.items() if isinstance(value, str) and _TELLING.search(name))
