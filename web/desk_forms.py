"""What the forms of the desk's pages say."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal, InvalidOperation
from typing import TypeVar

from desk.verdicts import Area, Decision, DeskError
from models.verdicts import Verdict
from web.pages import is_text, member
from web.visitors import Form, first

E = TypeVar("E", bound=str)

MAX_REQUEST_CHARS = 64  # a browser's name of an answer is a UUID
SIDES = ("x", "y", "width", "height")


def amount(text: str) -> Decimal:
    """An amount of money.

    Raises:
        DeskError: it is none.
    """
    try:
        given = Decimal(text)
    except InvalidOperation:
        given = Decimal("NaN")
    if not given.is_finite():
        raise DeskError("at_most: an amount, as the page shows it")
    return given


def chosen(form: Form, allowed: Iterable[E]) -> E:
    """What a form wants.

    Raises:
        DeskError: it is none of these.
    """
    given, known = first(form, "do"), list(allowed)
    for each in known:
        if each == given:
            return each
    raise DeskError(f"do: {given[:20]!r} is not known; allowed: {', '.join(known)}")


def sender(form: Form) -> str | None:
    """The sender's name of this decision, if it has one that can be kept."""
    name = first(form, "request")[:MAX_REQUEST_CHARS]
    return name if name and is_text(name) else None


def decision(form: Form) -> Decision:
    """The verdict that a form gives.

    Raises:
        DeskError: it gives none, or an area that is none.
    """
    verdict = member(Verdict, first(form, "verdict"))
    if verdict is None:
        raise DeskError(f"verdict: allowed: {', '.join(Verdict)}")
    return Decision(verdict, form.get("reason", []), first(form, "note"), _area(first(form, "area")))


def _area(text: str) -> Area | None:
    if not text:
        return None
    try:
        x, y, width, height = map(float, text.split(","))
    except ValueError:
        raise DeskError(f"area: four fractions with commas between: {', '.join(SIDES)}") from None
    return Area(x, y, width, height)
