"""Pages as HTML: templates that escape everything, with what the visitor may see."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from functools import partial
from http import HTTPStatus
from typing import Any, Concatenate, ParamSpec, TypeVar
from urllib.parse import quote, urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from catalog.errors import UnknownBatchError
from desk.actors import ForbiddenError
from models.people import Role
from models.states import JobState
from models.transactions import Database
from models.verdicts import Verdict
from recast.hints import typed
from recast.money import Money
from reports.flags import sentence, words
from reports.queries import QueryError
from reports.reviews import Part, progress
from reports.text import REASONS, duration, moment, paused, waiting_for_decision
from web.prefix import prefix
from web.visitors import Handler, status_of, visitor_of
from workers.counted import counted

P = ParamSpec("P")
T = TypeVar("T")
E = TypeVar("E", bound=StrEnum)

ID_DIGITS = 18  # of a row's number: all of these fit into a bigint
AWAY = "The database does not answer. Try again in a moment."

#: Verdicts in words, each with a sign of its own shape: color alone says nothing.
VERDICTS = {
    Verdict.UNREVIEWED: ("○", "unreviewed"),
    Verdict.APPROVED: ("✓", "approved"),
    Verdict.NEEDS_WORK: ("✕", "needs work"),
}

#: The four numbers of a batch in words, after the number itself.
PART_WORDS = {Part.MADE: "made", Part.NEEDS_YOU: "need you", Part.REJECTED: "rejected", Part.WAITING: "waiting"}


class Pages:
    """Makes pages, from what the database says.

    Args:
        database: read in threads beside the event loop.
        currency: the deployment's currency.
    """

    def __init__(self, database: Database, currency: str) -> None:
        self._database = database
        self.currency = currency
        self._templates = Environment(
            loader=PackageLoader("web"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.globals.update(
            reasons=REASONS,
            states=list(JobState),
            parts=list(Part),
            part_words=PART_WORDS,
            progress=progress,
            utc_day=lambda: f"{datetime.now(UTC):%Y-%m-%d}",
            typed=typed,
            verdicts=VERDICTS,
            may_judge=Role.REVIEWER,
            may_operate=Role.OPERATOR,
            check_words=words,
            check_says=sentence,
        )
        self._templates.filters.update(
            money=lambda value: str(Money(Decimal(str(value)), currency)),
            duration=duration,
            moment=moment,
            commands=commands,
            counted=counted,
            paused=paused,
            waiting=waiting_for_decision,
        )

    async def read(self, work: Callable[Concatenate[Session, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """`work(session, ...)`, which changes nothing, in a thread."""

        def run() -> T:
            with self._database.sessions() as session:
                return work(session, *args, **kwargs)

        return await run_in_threadpool(run)

    async def change(self, work: Callable[Concatenate[Session, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """`work(session, ...)` in a transaction of its own, in a thread."""
        return await run_in_threadpool(partial(self._database.db, work, *args, **kwargs))

    def render(self, request: Request, template: str, status: int = HTTPStatus.OK, **values: Any) -> Response:
        """A page; what the visitor may see is known to each template."""
        visitor = visitor_of(request)
        given = {
            "link": partial(link, prefix(request)), "visitor": visitor,
            "sees_money": visitor is not None and visitor.actor.sees_money,
            "guest": visitor is not None and visitor.actor.guest_of is not None, **values,
        }  # fmt: skip
        return HTMLResponse(self._templates.get_template(template).render(given), status)

    def missing(
        self, request: Request, message: str, status: int = HTTPStatus.NOT_FOUND, title: str = "Not found"
    ) -> Response:
        """A page that says what is not there, or not possible."""
        return self.render(request, "missing.html", status, message=message, title=title)

    def surely(self, handler: Handler) -> Handler:
        """`handler`, whose expected errors are pages too."""

        async def answer(request: Request) -> Response:
            try:
                return await handler(request)
            except ForbiddenError as error:
                return self.missing(request, str(error), status_of(error), "Not allowed")
            except QueryError as error:
                return self.missing(request, f"{error}.", HTTPStatus.BAD_REQUEST, "Not possible")
            except (SQLAlchemyError, UnknownBatchError):
                return self.missing(request, AWAY, HTTPStatus.SERVICE_UNAVAILABLE, "Not now")

        return answer


def link(below: str, *parts: object, **query: object) -> str:
    """A path of this application with quoted parts and parameters; parameters that are None are left out."""
    path = f"{below}/" + "/".join(quote(str(part), safe="") for part in parts)
    given = {name: value for name, value in query.items() if value is not None}
    return f"{path}?{urlencode(given)}" if given else path


def commands(said: str) -> Markup:
    """A sentence of ours whose commands stand in backticks, with these as code; everything in it is escaped."""
    pieces = said.split("`")
    if len(pieces) % 2 == 0:  # a backtick of a name, and not a pair
        return escape(said)
    return Markup("").join(
        Markup("<code>{}</code>").format(piece) if number % 2 else escape(piece) for number, piece in enumerate(pieces)
    )


def is_text(value: str) -> bool:
    """Whether the database can compare it: it knows no NUL."""
    return "\0" not in value


def member(kind: type[E], text: str | None) -> E | None:
    """The member of an enumeration that has this value; None where none has."""
    return next((each for each in kind if each == text), None)


def number(text: str | None) -> int | None:
    """A row's number; None where it is none."""
    return int(text) if text and text.isascii() and text.isdigit() and len(text) <= ID_DIGITS else None
