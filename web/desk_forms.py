"""What the forms of the desk's pages say."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal, InvalidOperation
from typing import TypeVar

from desk.verdicts import Area, Decision, DeskError
from models.verdicts import Verdict
from reports.queries import SHOWN_CHARS
from web.pages import is_text
from web.visitors import Form, first

E = TypeVar("E", bound=str)

MAX_REQUEST_CHARS = 64  # a browser's name of an answer is a UUID
SIDES = ("x", "y", "width", "height")


def refused(field: str, given: str, allowed: str) -> DeskError:
    """The error of a field that says what it may not, or nothing."""
    said = f"{given[:SHOWN_CHARS]!r} is not possible" if given else "it is missing"
    return DeskError(f"{field}: {said}; allowed: {allowed}")


def amount(form: Form, field: str) -> Decimal:
    """An amount of money.

    Raises:
        DeskError: it is none.
    """
    try:
        given = Decimal(first(form, field))
    except InvalidOperation:
        given = Decimal("NaN")
    if not given.is_finite():
        raise refused(field, first(form, field), "an amount, as the page shows it")
    return given


def chosen(form: Form, allowed: Iterable[E], field: str = "do") -> E:
    """What a form wants, or says in another field.

    Raises:
        DeskError: it is none of these.
    """
    given, known = first(form, field), list(allowed)
    for each in known:
        if each == given:
            return each
    raise refused(field, given, ", ".join(known))


def sender(form: Form) -> str | None:
    """The sender's name of this decision, if it has one that can be kept."""
    name = first(form, "request")[:MAX_REQUEST_CHARS]
    return name if name and is_text(name) else None


def decision(form: Form) -> Decision:
    """The verdict that a form gives.

    Raises:
        DeskError: it gives none, or an area that is none.
    """
    verdict = chosen(form, Verdict, "verdict")
    return Decision(verdict, form.get("reason", []), first(form, "note"), _area(first(form, "area")))


def _area(text: str) -> Area | None:
    if not text:
        return None
    try:
        x, y, width, height = map(float, text.split(","))
    except ValueError:
        raise refused("area", text, f"four fractions with commas between: {', '.join(SIDES)}") from None
    return Area(x, y, width, height)
