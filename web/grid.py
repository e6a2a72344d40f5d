"""What a grid offers beside its pictures: choices that keep each other, its order, and the size of its tiles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy.orm import Session
from starlette.requests import Request

from desk.actors import Actor, ForbiddenError
from reports import cards
from reports.grid import Place, before_key
from reports.grid_counts import ReasonCounts
from reports.grid_filter import GridFilter
from reports.queries import one_of, said, words
from web.pages import link, member
from web.prefix import prefix
from web.visitors import actor_of

COOKIE = "recast_density"  # which size a browser chose
COOKIE_SECONDS = 365 * 24 * 3600  # as long as browsers keep it


class Density(StrEnum):
    """The size of tiles: the picture before and after, or after alone."""

    LARGE = "large"
    MEDIUM = "medium"
    SMALL = "small"


@dataclass(frozen=True, slots=True)
class GridRequest:
    """What an address asks of a grid."""

    batch_id: int
    shown: GridFilter
    after: Place | None
    before: Place | None
    #: A key to begin with.
    jump: str
    density: Density
    below: str

    @classmethod
    def of(cls, request: Request) -> GridRequest:
        """What a request asks for.

        Raises:
            QueryError: a value is not allowed.
            ForbiddenError: it asks by accounts or costs for a person who may not see them.
        """
        query, shown = request.query_params, shown_by(request)
        density = one_of(query, "density", Density) or member(Density, request.cookies.get(COOKIE))
        return cls(
            request.path_params["batch_id"], shown, place(query, "after"), place(query, "before"),
            words(query, "jump") or "", density or Density.LARGE, prefix(request),
        )  # fmt: skip

    def here(self, **changes: str | None) -> str:
        """The address of the first page of this grid with other choices."""
        return link(self.below, "batches", self.batch_id, **self.shown.but(**changes).query)

    def page(self, session: Session, person: str) -> cards.Page:
        """The page that is asked for."""
        after = before_key(session, self.batch_id, self.shown, self.jump) if self.jump else self.after
        return cards.page(session, self.batch_id, self.shown, after=after, before=self.before, person=person)

    def turned(self, **where: object) -> str:
        """The address of another page of this grid."""
        return link(self.below, "batches", self.batch_id, **self.shown.query, **where)

    def sized(self, density: Density) -> str:
        """The address of this page with tiles of another size."""
        return self.turned(after=self.after, before=self.before, density=density)

    def review(self, **more: object) -> str:
        """The address of a picture in the whole window, among those of this grid."""
        return link(self.below, "batches", self.batch_id, "review", **more, **self.shown.query)


@dataclass(frozen=True, slots=True)
class Choices:
    """What can be chosen besides states, verdicts and checks, each with its number where that is known."""

    reasons: Sequence[tuple[str, int | None]]
    noted: int | None
    accounts: Sequence[str]
    operations: Sequence[str]


def choices(
    shown: GridFilter, page: cards.Page, counted: ReasonCounts, reasons: Sequence[str], actor: Actor
) -> Choices:
    """Reasons that verdicts give, and the accounts and operations of the pictures on a page."""
    known = [*reasons, *(each for each in counted.reasons or () if each not in reasons)]
    given = [(each, None if counted.reasons is None else counted.reasons.get(each, 0)) for each in known]
    seen = page.cards if actor.sees_money else ()
    return Choices(
        [(each, number) for each, number in given if number != 0 or each == shown.reason], counted.noted,
        sorted({card.account for card in seen if card.account} | ({shown.account} if shown.account else set())),
        sorted({card.operation for card in seen if card.operation} | ({shown.operation} if shown.operation else set())),
    )  # fmt: skip


def place(query: Mapping[str, str], name: str) -> Place | None:
    """The place in a grid that an address names.

    Raises:
        QueryError: it is none.
    """
    return said(query, name, Place.of, "what the links of a grid say")


def shown_by(request: Request) -> GridFilter:
    """The filter of an address.

    Raises:
        QueryError: a value is not allowed.
        ForbiddenError: it asks by accounts or costs for a person who may not see them.
    """
    shown = GridFilter.of(request.query_params)
    require_seen(actor_of(request), shown)
    return shown


def require_seen(actor: Actor, shown: GridFilter) -> None:
    """Refuse a grid by accounts, operations or costs to a person who may not see them.

    Raises:
        ForbiddenError: they may not.
    """
    if shown.of_money and not actor.sees_money:
        raise ForbiddenError(
            f"{actor.name} sees no accounts and operations, and cannot filter by them, nor sort by cost"
        )
