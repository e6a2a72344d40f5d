"""Verdicts about many pictures of the grid, or of the list of single jobs, by a form with check boxes.

What is meant is counted before it is done, and taken back whole.

The script only helps to tick: everything is sent as the form is.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode

from sqlalchemy.orm import Session
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from desk.actors import Actor
from desk.selecting import WHY, Done, LeftOut, Seen, Selected, made_by, portions, require_few, seen, select_seen
from desk.selections import judge_many, undo_many
from desk.verdicts import Decision, DeskError
from models.batches import SINGLES
from models.people import Role
from models.verdicts import Verdict
from recast.errors import InvalidJobError
from reports import cards
from reports.grid_filter import GridFilter
from web.access import Access
from web.desk import REASON_KEYS
from web.desk_forms import chosen, refused
from web.grid import require_seen
from web.looks import Looks, seconds_for
from web.meant import grid_of, named
from web.pages import Pages, is_text, link, member, number
from web.prefix import prefix
from web.visitors import Form, actor_of, first, of_batch

MAX_NAME_CHARS = 64  # of a selection: a UUID
MOST_UNDER_WAY = 1_000  # transactions when the page was shown: servers have fewer connections
UNDO_SECONDS = 10  # for which the page offers to take a selection back
TURNED = ("after", "before", "day")  # which page of the grid or the list is shown, and shown again afterwards
VERDICTS: Mapping[str, Verdict] = {"approve": Verdict.APPROVED, "needs_work": Verdict.NEEDS_WORK}
UNDO = "undo"


@dataclass(frozen=True, slots=True)
class SelectionForm:
    """A form of the grid."""

    do: str
    #: Ticked one by one; None where all of the filter is meant.
    pictures: Sequence[Selected] | None
    shown: GridFilter
    then: Seen
    #: The name of the selection.
    name: str
    #: Of a former selection, which is taken back.
    former: str | None
    decision: Decision


class Selections:
    """What the grid offers to do with many pictures, and does.

    Args:
        pages: makes the pages, reads and changes the database.
        reasons: what can be wrong with a picture, as the deployment says.
        looks: gives visitors their turns.
    """

    def __init__(self, pages: Pages, reasons: Sequence[str], looks: Looks) -> None:
        self._pages, self.reasons, self._looks = pages, tuple(reasons), looks

    def routes(self, access: Access) -> list[Route]:
        """Where the grid's form goes."""
        answer = access.guarded(self._pages.surely(self.answer), guests=of_batch)
        return [Route("/batches/{batch_id:row}/verdicts", answer, methods=["POST"])]

    def offered(self, session: Session, request: Request, batch_id: int) -> dict[str, Any] | None:
        """What a page needs for its form, and what became of the last one; None for a person who only looks.

        It is to be read before the pictures of the page.
        """
        actor, query = actor_of(request), request.query_params
        if not actor.may(Role.REVIEWER):
            return None
        then, name = seen(session), query.get("selection", "")
        numbers = (then.verdict_id, then.result_id, *then.under_way)
        undoable = made_by(session, actor, batch_id, name) if _is_name(name) else []
        return {
            "batch": batch_id, "seen": "-".join(map(str, numbers)), "request": str(uuid.uuid4()),
            "reasons": list(zip(self.reasons, REASON_KEYS, strict=False)), "grid": urlencode(_kept(query)),
            "said": _said(query), "name": name,
            "undoable": len(undoable), "seconds": UNDO_SECONDS,
        }  # fmt: skip

    async def answer(self, request: Request) -> Response:
        """Take the form; if more pictures than a page are meant, say how many, and do it once a person agrees."""
        form: Form = request.state.form
        actor, batch_id = actor_of(request), request.path_params["batch_id"]
        actor.need(Role.REVIEWER, "give verdicts", guests=True)
        name = await self._pages.read(named, batch_id)
        if name is None:
            return self._pages.missing(request, "This batch does not exist.")
        try:
            asked = _asked(form)
            require_seen(actor, asked.shown)
            async with self._looks.turn(actor):
                selected, done = await self._pages.read(_selected, actor, batch_id, name, asked)
            if len(selected) > cards.PAGE and asked.former is None and not first(form, "sure"):
                return self._count_first(request, form, asked, len(selected), done)
            for portion in portions(selected):
                done.add(await self._pages.change(_decide, actor, batch_id, portion, asked, self.reasons))
        except (DeskError, InvalidJobError) as error:
            return self._pages.missing(request, f"{error}.", HTTPStatus.UNPROCESSABLE_ENTITY, "Not possible")
        left = ",".join(f"{why}:{count}" for why, count in done.left_out.items() if count)
        back: dict[str, object] = {
            **_kept(grid_of(form)), "did": asked.do, "number": done.number, "left": left or None,
            "selection": None if asked.do == UNDO else asked.name,
        }  # fmt: skip
        return RedirectResponse(_page_of(request, back), HTTPStatus.SEE_OTHER)

    def _count_first(self, request: Request, form: Form, asked: SelectionForm, meant: int, done: Done) -> Response:
        again = [(name, value) for name, values in form.items() if name != "form" for value in values]
        return self._pages.render(
            request, "sure.html", meant=meant, again=again, do=asked.do, batch_id=request.path_params["batch_id"],
            reasons=asked.decision.reasons, left=_in_words(done.left_out),
            back=_page_of(request, _kept(grid_of(form))),
        )  # fmt: skip


def _page_of(request: Request, query: Mapping[str, object]) -> str:
    """The page that the form is on."""
    batch_id = request.path_params["batch_id"]
    place = ("singles",) if batch_id == SINGLES else ("batches", batch_id)
    return link(prefix(request), *place, **query)


def _kept(query: Mapping[str, str]) -> Mapping[str, str]:
    """What of an address says which page of the grid is shown."""
    return {**GridFilter.of(query).query, **{each: query[each] for each in TURNED if query.get(each)}}


def _asked(form: Form) -> SelectionForm:
    """The form as it is meant.

    Raises:
        DeskError: something of it is not as the page makes it.
        QueryError: the filter is not.
    """
    do, name, former = chosen(form, [*VERDICTS, UNDO]), first(form, "request"), first(form, "selection")
    if not _is_name(name) or (former and not _is_name(former)):
        wrong = "selection" if _is_name(name) else "request"
        raise refused(wrong, first(form, wrong), f"a name of 1 to {MAX_NAME_CHARS} signs; load the page again")
    # Where the field is missing, nothing was seen.
    then, newest, *under_way = (number(each) or 0 for each in f"{first(form, 'seen')}-".split("-"))
    pictures = None
    if not first(form, "all"):
        pictures = [_picture(each) for each in form.get("picture", ())]
    return SelectionForm(
        do, pictures, GridFilter.of(grid_of(form)), Seen(then, newest, under_way[:MOST_UNDER_WAY]), name,
        former or None, Decision(VERDICTS.get(do, Verdict.UNREVIEWED), form.get("reason", []), first(form, "note")),
    )  # fmt: skip


def _picture(value: str) -> Selected:
    result, _, verdict = value.partition(":")
    found = number(result), number(verdict)
    if None in found:
        raise refused("picture", value, "PICTURE:VERDICT, two numbers; load the page again")
    return Selected(found[0] or 0, found[1] or 0)


def _is_name(text: str) -> bool:
    return 0 < len(text) <= MAX_NAME_CHARS and is_text(text)


def _selected(
    session: Session, actor: Actor, batch_id: int, batch: str, asked: SelectionForm
) -> tuple[Sequence[Selected], Done]:
    """The pictures that are meant, and those that cannot be any more.

    Raises:
        DeskError: none is, or more than one selection may have.
        InvalidJobError: a look for them takes too long.
    """
    if asked.former is not None:
        made = made_by(session, actor, batch_id, asked.former)
        return [Selected(each, 0) for each in made], Done()
    selected, done = asked.pictures, Done()
    if selected is None:
        selected, done = select_seen(session, batch_id, asked.shown.which(batch), asked.then, seconds_for(actor))
    require_few(selected)
    if not selected and not done.left_out:
        raise DeskError("nothing is selected; tick pictures, or all of the filter")
    return selected, done


def _decide(
    session: Session,
    actor: Actor,
    batch_id: int,
    portion: Sequence[Selected],
    asked: SelectionForm,
    reasons: Sequence[str],
) -> Done:
    if asked.do == UNDO:
        return undo_many(session, actor, batch_id, [picture.result_id for picture in portion], asked.former)
    return judge_many(
        session, actor, batch_id, portion, asked.decision, known_reasons=reasons, selection=asked.name
    )  # fmt: skip


def _said(query: Mapping[str, str]) -> dict[str, Any] | None:
    """What became of the last form, as the address of the page says it."""
    did, count = query.get("did"), number(query.get("number"))
    if did not in {*VERDICTS, UNDO} or count is None:
        return None
    left: dict[LeftOut, int] = {}
    for each in query.get("left", "").split(","):
        why, _, many = each.partition(":")
        found = member(LeftOut, why)
        if found is not None and number(many):
            left[found] = number(many) or 0
    return {"did": did, "number": count, "left": _in_words(left)}


def _in_words(left: Mapping[LeftOut, int]) -> list[str]:
    return [f"{count:,} left out: {WHY[why]}" for why, count in left.items() if count]
