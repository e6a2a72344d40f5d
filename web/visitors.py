"""Who asks, what they may do, and what their forms say."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import Response

from desk.actors import Actor, ForbiddenError
from desk.people import form_token
from reports.queries import SHOWN_CHARS

MAX_FORM_BYTES = 64 * 1024  # a verdict with its note has a few KiB
MAX_FIELDS = 100  # of a form; a verdict has a dozen

Handler = Callable[[Request], Awaitable[Response]]
#: The batch that a request is about; None where there is none. Guests see what is of theirs.
Scope = Callable[[Request], Awaitable[int | None]]
#: A form's fields, each with all of its values.
Form = Mapping[str, list[str]]


@dataclass(frozen=True, slots=True)
class Visitor:
    """A person at a page."""

    actor: Actor
    #: What their forms are known by: nobody else knows it.
    secret: str
    #: The cookie by which they are signed in, or came in by a guest link; None for those who have none.
    token: str | None = None
    #: Whether they showed the deployment's own password.
    by_password: bool = False

    @property
    def form(self) -> str:
        """What their forms carry, so that no other site can send one in their name."""
        return form_token(self.secret)


def visitor_of(request: Request) -> Visitor | None:
    """Who asks; None on a page that is open to everybody."""
    found: Visitor | None = getattr(request.state, "visitor", None)
    return found


def actor_of(request: Request) -> Actor:
    """Who asks, on a page that is not open to everybody."""
    visitor = visitor_of(request)
    assert visitor is not None
    return visitor.actor


async def of_batch(request: Request) -> int | None:
    """The batch that a path names."""
    batch_id: int = request.path_params["batch_id"]
    return batch_id


class FormTooLargeError(ForbiddenError):
    """A form that is larger than those of all pages."""

    def __init__(self) -> None:
        super().__init__(f"the form has more than {MAX_FORM_BYTES:,} bytes; allowed: up to {MAX_FORM_BYTES:,}")


def status_of(error: ForbiddenError) -> HTTPStatus:
    """The status that says what a visitor may not."""
    return HTTPStatus.REQUEST_ENTITY_TOO_LARGE if isinstance(error, FormTooLargeError) else HTTPStatus.FORBIDDEN


async def form_of(request: Request) -> Form:
    """The fields of a form, as browsers send it.

    Raises:
        FormTooLargeError: it is too large.
        ForbiddenError: it is not a form.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise ForbiddenError(
            f"Content-Type: {kind[:SHOWN_CHARS]!r} is not read here; allowed: application/x-www-form-urlencoded"
        )
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_FORM_BYTES:
            raise FormTooLargeError
    try:
        text = body.decode("ascii")
        return parse_qs(text, keep_blank_values=True, errors="replace", max_num_fields=MAX_FIELDS)
    except ValueError:
        raise ForbiddenError("the form cannot be read; load the page again") from None


def first(form: Form, name: str) -> str:
    """The first value of a field; empty where it is missing."""
    return form.get(name, [""])[0]
