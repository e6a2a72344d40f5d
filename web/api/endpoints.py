"""Endpoints: one table row for each thing that the API does; it routes, checks and describes by these rows alone."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel

from desk.actors import Actor
from desk.verdicts import UnknownPictureError
from models.people import Role
from web.api.asks import Nothing
from web.api.bodies import Upload
from web.pages import number
from workers.engine.runtime import Runtime

#: What viewers do not see: money, providers and operations, what providers said, and addresses of input pictures.
HIDDEN = frozenset({
    "spent", "per_approved", "max_cost", "cost", "obstacles", "account", "provider", "operation", "lane", "error",
    "attempts", "options", "source", "target", "image", "uri", "original_key", "original_sha256", "facts",
})  # fmt: skip
NO_PICTURE = "this picture does not exist or was removed"
_PARAMETER = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class Call:
    """One request, checked."""

    actor: Actor
    token_id: int
    #: Values of the path's parameters.
    path: Mapping[str, str]
    #: Instances of the endpoint's models.
    query: Any = None
    body: Any = None
    #: The file of a multipart request.
    upload: Upload | None = None
    #: What tells this request from all others of its token, if it has an Idempotency-Key.
    once: str | None = None


@dataclass(frozen=True, slots=True)
class Service:
    """What endpoints work with."""

    runtime: Runtime
    #: Seconds for which a quote can be taken.
    quote_seconds: float

    @property
    def currency(self) -> str:
        """The deployment's currency."""
        return self.runtime.settings.currency


Work = Callable[[Service, Call], Any]


def no_work(_: Service, __: Call) -> Any:
    """The work of what is answered by the feed, or by a file."""
    raise AssertionError("unreachable")


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """One thing that the API does; `work` runs in a thread and returns the answer's document."""

    method: str
    #: Below ``/api/v1``; a parameter may have slashes in it.
    path: str
    summary: str
    work: Work
    #: What its answers look like; None: they are pictures.
    answer: type[BaseModel] | None
    role: Role = Role.VIEWER
    query: type[BaseModel] = Nothing
    body: type[BaseModel] | None = None
    #: The model of a multipart request, where one may be sent in place of JSON.
    upload: type[BaseModel] | None = None
    #: The most bytes of a body.
    most: int = 0
    status: HTTPStatus = HTTPStatus.OK
    #: Whether it is one of few at a time.
    heavy: bool = False
    #: Whether it is answered by server-sent events, which `answer` says the data of, and not by `work`.
    stream: bool = False
    #: Statuses of problems besides those that every endpoint of its kind has.
    problems: frozenset[HTTPStatus] = field(default_factory=frozenset)

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """What its path looks like."""
        parts = _PARAMETER.split(self.path)
        found = (f"(?P<{part}>.+)" if number % 2 else re.escape(part) for number, part in enumerate(parts))
        return re.compile("".join(found), re.DOTALL)

    @property
    def parameters(self) -> list[str]:
        """The names of the path's parameters."""
        return _PARAMETER.findall(self.path)

    @property
    def statuses(self) -> list[HTTPStatus]:
        """The statuses of problems that it may answer with."""
        found = {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.UNPROCESSABLE_ENTITY,
                 HTTPStatus.SERVICE_UNAVAILABLE, *self.problems}  # fmt: skip
        if self.parameters:
            found.add(HTTPStatus.NOT_FOUND)
        if self.body is not None:
            found |= {
                HTTPStatus.BAD_REQUEST, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.UNSUPPORTED_MEDIA_TYPE
            }  # fmt: skip
        if self.method == "POST":
            found.add(HTTPStatus.CONFLICT)
        if self.stream:
            found.add(HTTPStatus.NOT_FOUND)
        return sorted(found)


def result_of(call: Call) -> int:
    """The number of the result that the path names.

    Raises:
        UnknownPictureError: it is not a number.
    """
    found = number(call.path["id"])
    if found is None:
        raise UnknownPictureError(NO_PICTURE)
    return found


def seen_by(actor: Actor, document: Any) -> Any:
    """The document as this person may see it."""
    return document if actor.may(Role.REVIEWER) else _without(document)


def _without(document: Any) -> Any:
    if isinstance(document, Mapping):
        return {name: _without(value) for name, value in document.items() if name not in HIDDEN}
    return [_without(each) for each in document] if isinstance(document, list | tuple) else document
