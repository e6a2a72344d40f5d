"""Who asks, what they may do, and what their forms say."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import Response

from desk.actors import Actor, ForbiddenError

MAX_FORM_BYTES = 64 * 1024  # a verdict with its note has a few KiB
MAX_FIELDS = 100  # of a form; a verdict has a dozen

Handler = Callable[[Request], Awaitable[Response]]
#: A form's fields, each with all of its values.
Form = Mapping[str, list[str]]


@dataclass(frozen=True, slots=True)
class Visitor:
    """A person at a page."""

    actor: Actor
    #: What their forms carry, so that no other site can send one in their name.
    form: str
    #: The cookie by which they are signed in; None with the deployment's password.
    token: str | None = None


def visitor_of(request: Request) -> Visitor | None:
    """Who asks; None on a page that is open to everybody."""
    found: Visitor | None = getattr(request.state, "visitor", None)
    return found


def actor_of(request: Request) -> Actor:
    """Who asks, on a page that is not open to everybody."""
    visitor = visitor_of(request)
    assert visitor is not None
    return visitor.actor


async def form_of(request: Request) -> Form:
    """The fields of a form, as browsers send it.

    Raises:
        ForbiddenError: it is too large, or not a form.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise ForbiddenError("a form is sent as application/x-www-form-urlencoded")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_FORM_BYTES:
            raise ForbiddenError(f"the form has more than {MAX_FORM_BYTES:,} bytes")
    try:
        text = body.decode("ascii")
        return parse_qs(text, keep_blank_values=True, errors="replace", max_num_fields=MAX_FIELDS)
    except ValueError:
        raise ForbiddenError("the form cannot be read; load the page again") from None


def first(form: Form, name: str) -> str:
    """The first value of a field; empty where it is missing."""
    return form.get(name, [""])[0]
