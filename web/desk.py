"""The review desk's page: one job's pictures in the whole window, and verdicts about them.

Everything works by forms and links. A script, if it runs, sends the same forms and shows the same pages without a wait.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from http import HTTPStatus
from typing import Any

from sqlalchemy.orm import Session
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from desk.actors import Actor, ForbiddenError
from desk.handing import Handed, Taken, next_undecided, take, taken_by
from desk.loupe import Loupe, Neighbors, job_by_key, loupe, neighbors
from desk.verdicts import ConflictError, Decided, DeskError, choose, judge, undo
from desk.walks import beside, only_decided, place_in, usual_sort
from models.batches import SINGLES
from models.people import Role
from models.verdicts import Verdict
from reports import cards
from reports.batch import BatchReport, find
from reports.grid import Place
from reports.grid_filter import GridFilter, Sort
from reports.queries import whole, words
from reports.reviews import Verdicts, verdicts_of
from reports.singles import AS_A_BATCH
from web.access import Access
from web.desk_forms import amount, chosen, decision, refused, sender
from web.grid import place, shown_by
from web.live import Live
from web.pages import Pages, is_text, link, number
from web.prefix import prefix
from web.redo import Quote, Redos
from web.visitors import Form, actor_of, first, of_batch

#: The keys of reasons, in the order of the list.
REASON_KEYS = "1234567890abcdefghijklmnopqrstuv"
MAX_KEY_CHARS = 200  # of a key that is searched for, in the answer that it is not there
#: What the forms of the review page want.
DO = ("judge", "undo", "choose", "redo", "take")
#: Orders in words.
ORDERS = {Sort.WORST: "worst first", Sort.CATALOG: "catalog order"}


@dataclass(frozen=True, slots=True)
class ReviewRequest:
    """What an address asks for: a job, or the next one after a place, and what the person walks through."""

    batch_id: int
    job_id: str | None
    #: The beginning of a key to go to.
    jump: str | None
    after: Place | None
    shown: GridFilter
    #: Whether it says in which order.
    ordered: bool

    @classmethod
    def of(cls, request: Request) -> ReviewRequest:
        """What a request asks for.

        Raises:
            QueryError: a value is not allowed.
            ForbiddenError: it asks by accounts or costs for a person who may not see them.
        """
        query = request.query_params
        # A picture without an order was clicked where pictures stood in that of the catalog.
        return cls(
            request.path_params["batch_id"], words(query, "job"), words(query, "jump"), place(query, "after"),
            shown_by(request), ordered="sort" in query or "job" in query,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class View:
    """What a page of the desk shows."""

    report: BatchReport
    reviewed: Verdicts
    #: What the person walks through.
    shown: GridFilter
    #: Whether pictures are flagged, so that there is an order to choose.
    flagged: bool
    #: None where nothing is left to decide; then, where the search for it stopped, if it did not come to the end.
    loupe: Loupe | None = None
    stopped: Place | None = None
    place: Place | None = None
    beside: Neighbors | None = None
    taken: Taken | None = None
    #: What the same again would cost; None where nobody here may ask for it.
    quote: Quote | None = None

    @property
    def known(self) -> Collection[Verdict]:
        """The verdicts of which is known how many there are."""
        return _known(self.report.id)

    @property
    def walk(self) -> dict[str, str]:
        """What an address says of the walk: the filter, and always the order."""
        return {**self.shown.conditions, "sort": str(self.shown.sort)}

    @property
    def decided(self) -> bool:
        """Whether the walk has only pictures that were decided about."""
        return only_decided(self.shown)


class Desk:
    """Pages on which people decide.

    Args:
        pages: makes the pages, reads and changes the database.
        reasons: what can be wrong with a picture, as the deployment says.
        redos: tells what a redo costs, and begins it.
        live: keeps the counts of verdicts up to date.
    """

    def __init__(self, pages: Pages, reasons: Sequence[str], redos: Redos, live: Live) -> None:
        self._pages, self._reasons, self._redos, self._live = pages, tuple(reasons), redos, live

    def routes(self, access: Access) -> list[Route]:
        """The page, and where its forms go."""
        path = "/batches/{batch_id:row}/review"
        return [
            Route(path, access.guarded(self._pages.surely(self.show), guests=of_batch)),
            Route(path, access.guarded(self._pages.surely(self.answer), guests=of_batch), methods=["POST"]),
            Route(
                "/batches/{batch_id:row}/counts",
                access.guarded(self._pages.surely(self._live.again(self.counts)), guests=of_batch),
            ),
        ]

    async def counts(self, request: Request) -> Response:
        """How many pictures have which verdict, as a part of the page."""
        found = await self._pages.read(_whole, request.path_params["batch_id"])
        if found is None:
            return self._pages.missing(request, "This batch does not exist.")
        return self._pages.render(request, "counts.html", report=found[0], reviewed=found[1], known=_known(found[0].id))

    async def show(self, request: Request) -> Response:
        """A job's pictures: those of ``?job=``, or of the next job after ``?after=`` that nobody has decided.

        ``?jump=`` selects a job by its key, ``?picture=`` one of several pictures. The grid's filter and ``?sort=`` say
        what the person walks through. With ``?ahead=1`` nothing is taken.
        """
        asked, actor = ReviewRequest.of(request), actor_of(request)
        if not is_text(f"{asked.job_id}{asked.jump}"):
            return self._pages.missing(request, "This job does not exist.")
        if asked.jump is not None:
            found = await self._pages.read(job_by_key, asked.batch_id, asked.jump)
            if found is None:
                return self._pages.missing(request, f"No key of this batch begins with {asked.jump[:MAX_KEY_CHARS]!r}.")
            asked = replace(asked, job_id=found)
        takes = actor.may(Role.REVIEWER) and "ahead" not in request.query_params
        view = await self._pages.change(_view, actor, asked, takes=takes)
        if view is not None and view.loupe is not None:
            view = replace(view, quote=await self._pages.read(self._redos.quote, actor, view.loupe.id))
        if view is None or (asked.job_id is not None and view.loupe is None):
            return self._pages.missing(request, "This job does not exist.")
        return self._page(request, view, whole(request.query_params, "picture"))

    async def answer(self, request: Request) -> Response:
        """Take a form: a verdict, its taking back, a choice, a redo, or (``do=take``) that a picture is looked at."""
        form: Form = request.state.form
        try:
            done = await self._done(request, form)
        except ConflictError as error:
            return self._conflict(request, form, error)
        except (DeskError, ForbiddenError) as error:
            if _wants_json(request):
                return JSONResponse({"error": str(error)}, HTTPStatus.UNPROCESSABLE_ENTITY)
            if isinstance(error, ForbiddenError):
                raise
            return self._pages.missing(request, str(error), HTTPStatus.UNPROCESSABLE_ENTITY, "Not possible")
        if _wants_json(request):
            return JSONResponse(done)
        return RedirectResponse(_goes_on(request, form, done), HTTPStatus.SEE_OTHER)

    async def _done(self, request: Request, form: Form) -> dict[str, Any]:
        actor, batch_id = actor_of(request), request.path_params["batch_id"]
        kind, result_id = chosen(form, DO), number(first(form, "result")) or 0
        if kind == "take":
            taken = await self._pages.change(_take, actor, batch_id, first(form, "job"))
            return {"taken": None if taken is None or taken.own else taken.person}
        if kind == "redo":
            job_id, version = first(form, "job"), number(first(form, "version")) or 0
            at_most = amount(form, "at_most")
            await self._pages.change(_redo, actor, self._redos, batch_id, job_id, version, at_most)
            return {"job": job_id, "redone": True, "counts": await self._counts(batch_id)}
        if kind == "undo":
            decided = await self._pages.change(undo, actor, batch_id)
        elif kind == "choose":
            decided = await self._pages.change(choose, actor, result_id)
        else:
            decided = await self._pages.change(
                judge, actor, result_id, decision(form), based_on=number(first(form, "based_on")) or 0,
                known_reasons=self._reasons, request=sender(form),
            )  # fmt: skip
        return await self._counted(batch_id, decided)

    async def _counted(self, batch_id: int, decided: Decided) -> dict[str, Any]:
        return {
            "job": decided.job_id, "result": decided.result_id, "verdict_id": decided.verdict_id,
            "verdict": decided.job_verdict, "chosen": decided.chosen, "counts": await self._counts(batch_id),
        }  # fmt: skip

    async def _counts(self, batch_id: int) -> dict[str, int]:
        whole = await self._pages.read(_whole, batch_id)
        if whole is None:
            return {}
        counts, known = whole[1].counts, _known(batch_id)
        return {verdict.value: number for verdict, number in counts.items() if verdict in known}

    def _conflict(self, request: Request, form: Form, error: ConflictError) -> Response:
        current = error.current
        if _wants_json(request):
            known = {
                "error": str(error), "person": current.person, "verdict": current.verdict,
                "verdict_id": current.verdict_id,
            }  # fmt: skip
            return JSONResponse(known, HTTPStatus.CONFLICT)
        again = {
            name: values for name, values in form.items() if name not in {"based_on", "form", "request"}
        }  # fmt: skip
        return self._pages.render(
            request, "conflict.html", HTTPStatus.CONFLICT, error=str(error), again=again,
            based_on=current.verdict_id, batch_id=request.path_params["batch_id"], job=first(form, "job"),
        )  # fmt: skip

    def _page(self, request: Request, view: View, picture_id: int | None) -> Response:
        shown = view.loupe.shown(picture_id) if view.loupe else None
        return self._pages.render(
            request, "review.html", view=view, report=view.report, reviewed=view.reviewed, job=view.loupe,
            picture=shown, beside=view.beside, taken=view.taken,
            walk=view.walk, orders=ORDERS,
            wrong=list(zip(self._reasons, REASON_KEYS, strict=False)),
            judges=actor_of(request).may(Role.REVIEWER), quote=view.quote,
        )  # fmt: skip


def _goes_on(request: Request, form: Form, done: Mapping[str, Any]) -> str:
    """The page that a browser without a script sees next: of a job where it came from one, else of the walk."""
    below, batch = prefix(request), request.path_params["batch_id"]
    if first(form, "back") == "job":
        return link(below, "jobs", done["job"])
    judged, shown = first(form, "do") == "judge", ReviewRequest.of(request).shown
    walk = {**shown.conditions, "sort": shown.sort if "sort" in request.query_params else None}
    return link(
        below, "batches", batch, "review", job=None if judged else done.get("job"),
        after=(Place.of(first(form, "place")) or 0) if judged else None, **walk,
    )  # fmt: skip


def _whole(session: Session, batch_id: int) -> tuple[BatchReport, Verdicts] | None:
    if batch_id == SINGLES:
        return AS_A_BATCH, verdicts_of(session, AS_A_BATCH)
    name = cards.batch_name(session, batch_id)
    if name is None:
        return None
    report = find(session, name)
    return report, verdicts_of(session, report)


def _known(batch_id: int) -> Collection[Verdict]:
    """The verdicts of which is known how many there are: nothing counts single jobs that nobody has decided about."""
    return (Verdict.APPROVED, Verdict.NEEDS_WORK) if batch_id == SINGLES else tuple(Verdict)


def _view(session: Session, actor: Actor, asked: ReviewRequest, *, takes: bool) -> View | None:
    """The page for a job, or for the next one that is undecided; the person then has it open."""
    batch_id = asked.batch_id
    whole = _whole(session, batch_id)
    if whole is None:
        return None
    usual = usual_sort(session, batch_id)
    shown = asked.shown if asked.ordered else asked.shown.but(sort=usual)
    shown.require_sortable(whole[0].total)
    view = View(*whole, shown, usual is Sort.WORST)
    job_id, taken = asked.job_id, None
    if job_id is None:
        job_id, stopped = _next(session, actor, asked, shown)
        view = replace(view, stopped=stopped)
    found = None if job_id is None else loupe(session, batch_id, job_id)
    if found is None:
        return view
    if asked.job_id is not None:  # of this batch, as is known by now
        taken = (take if takes else taken_by)(session, actor, found.id)
    place = place_in(session, batch_id, shown, found.id)
    near = neighbors(session, batch_id, shown, place, actor.name)
    return replace(view, loupe=found, place=place, beside=near, taken=taken)


def _next(session: Session, actor: Actor, asked: ReviewRequest, shown: GridFilter) -> tuple[str | None, Place | None]:
    """The job to look at: the next undecided one, or the next one for a person who only looks, or of decided ones."""
    if actor.may(Role.REVIEWER) and not only_decided(shown):
        handed = next_undecided(session, actor, asked.batch_id, asked.after, shown)
        return (handed.job_id, None) if isinstance(handed, Handed) else (None, handed.stopped)
    following = beside(session, asked.batch_id, shown, asked.after, actor.name, 1, forward=True)
    return (following[0].job_id if following else None), None


def _take(session: Session, actor: Actor, batch_id: int, job_id: str) -> Taken | None:
    if not is_text(job_id) or loupe(session, batch_id, job_id) is None:
        raise refused("job", job_id, "a job of this batch")
    return take(session, actor, job_id)


def _redo(
    session: Session, actor: Actor, redos: Redos, batch_id: int, job_id: str, version: int, at_most: Decimal
) -> None:
    if not is_text(job_id) or loupe(session, batch_id, job_id) is None:
        raise refused("job", job_id, "a job of this batch")
    redos.begin(session, actor, job_id, version, at_most)


def _wants_json(request: Request) -> bool:
    return "application/json" in request.headers.get("accept", "")
