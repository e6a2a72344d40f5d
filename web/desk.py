"""The review desk's page: one job's pictures in the whole window, and verdicts about them.

Everything works by forms and links. A script, if it runs, sends the same forms and shows the same pages without a wait.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from http import HTTPStatus
from typing import Any

from sqlalchemy.orm import Session
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from desk.actors import Actor, ForbiddenError
from desk.handing import Taken, next_undecided, take, taken_by
from desk.loupe import Loupe, Neighbors, loupe, neighbors
from desk.verdicts import Area, ConflictError, Decided, Decision, DeskError, choose, judge, undo
from models.batches import SINGLES
from models.people import Role
from models.verdicts import Verdict
from reports import cards
from reports.batch import BatchReport, find
from reports.reviews import Verdicts, verdicts_of
from reports.singles import AS_A_BATCH
from web.access import Access
from web.pages import Pages, is_text, link, member, number
from web.prefix import prefix
from web.redo import Quote, Redos
from web.visitors import Form, actor_of, first, of_batch

#: The keys of reasons, in the order of the list.
REASON_KEYS = "1234567890abcdefghijklmnopqrstuv"
MAX_REQUEST_CHARS = 64  # a browser's name of an answer is a UUID
SIDES = ("x", "y", "width", "height")


@dataclass(frozen=True, slots=True)
class View:
    """What a page of the desk shows."""

    report: BatchReport
    reviewed: Verdicts
    #: The verdicts of which is known how many there are: nothing counts single jobs.
    known: Collection[Verdict] = tuple(Verdict)
    #: None where nothing is left to decide.
    loupe: Loupe | None = None
    beside: Neighbors | None = None
    taken: Taken | None = None
    #: What the same again would cost; None where nobody here may ask for it.
    quote: Quote | None = None


class Desk:
    """Pages on which people decide.

    Args:
        pages: makes the pages, reads and changes the database.
        reasons: what can be wrong with a picture, as the deployment says.
        redos: tells what a redo costs, and begins it.
    """

    def __init__(self, pages: Pages, reasons: Sequence[str], redos: Redos) -> None:
        self._pages, self._reasons, self._redos = pages, tuple(reasons), redos

    def routes(self, access: Access) -> list[Route]:
        """The page, and where its forms go."""
        path = "/batches/{batch_id:row}/review"
        return [
            Route(path, access.guarded(self._pages.surely(self.show), guests=of_batch)),
            Route(path, access.guarded(self._pages.surely(self.answer), guests=of_batch), methods=["POST"]),
        ]

    async def show(self, request: Request) -> Response:
        """A job's pictures: those of ``?job=``, or of the next job after ``?after=`` that nobody has decided.

        ``?picture=`` selects one of several pictures, ``?verdict=`` the neighbors. With ``?ahead=1`` nothing is taken.
        """
        asked = request.query_params
        job_id, actor = asked.get("job"), actor_of(request)
        verdict = member(Verdict, asked.get("verdict"))
        if job_id is not None and not is_text(job_id):
            return self._pages.missing(request, "This job does not exist.")
        takes = actor.may(Role.REVIEWER) and "ahead" not in asked
        view = await self._pages.change(
            _view, actor, request.path_params["batch_id"], job_id, number(asked.get("after")), verdict, takes=takes
        )
        if view is not None and view.loupe is not None:
            view = replace(view, quote=await self._pages.read(self._redos.quote, actor, view.loupe.id))
        if view is None or (job_id is not None and view.loupe is None):
            return self._pages.missing(request, "This job does not exist.")
        return self._page(request, view, verdict, number(asked.get("picture")))

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
        batch = request.path_params["batch_id"]
        if first(form, "do") == "judge":
            where = link(prefix(request), "batches", batch, "review", after=number(first(form, "seq")) or 0)
        else:
            where = link(prefix(request), "batches", batch, "review", job=done.get("job"))
        return RedirectResponse(where, HTTPStatus.SEE_OTHER)

    async def _done(self, request: Request, form: Form) -> dict[str, Any]:
        actor, batch_id = actor_of(request), request.path_params["batch_id"]
        kind, result_id = first(form, "do"), number(first(form, "result")) or 0
        if kind == "take":
            taken = await self._pages.change(_take, actor, batch_id, first(form, "job"))
            return {"taken": None if taken is None or taken.own else taken.person}
        if kind == "redo":
            job_id, version = first(form, "job"), number(first(form, "version")) or 0
            at_most = _amount(first(form, "at_most"))
            await self._pages.change(_redo, actor, self._redos, batch_id, job_id, version, at_most)
            return {"job": job_id, "redone": True, "counts": await self._counts(batch_id)}
        if kind == "undo":
            decided = await self._pages.change(undo, actor, batch_id)
        elif kind == "choose":
            decided = await self._pages.change(choose, actor, result_id)
        elif kind == "judge":
            decided = await self._pages.change(
                judge, actor, result_id, _decision(form), based_on=number(first(form, "based_on")) or 0,
                known_reasons=self._reasons, request=_request(form),
            )  # fmt: skip
        else:
            raise DeskError(f"do: {kind[:20]!r} is not known; allowed: judge, undo, choose, redo, take")
        return await self._counted(batch_id, decided)

    async def _counted(self, batch_id: int, decided: Decided) -> dict[str, Any]:
        return {
            "job": decided.job_id, "result": decided.result_id, "verdict_id": decided.verdict_id,
            "verdict": decided.job_verdict, "chosen": decided.chosen, "counts": await self._counts(batch_id),
        }  # fmt: skip

    async def _counts(self, batch_id: int) -> dict[str, int]:
        view = await self._pages.read(_whole, batch_id)
        if view is None:
            return {}
        counts = view.reviewed.counts.items()
        return {verdict.value: number for verdict, number in counts if verdict in view.known}

    def _conflict(self, request: Request, form: Form, error: ConflictError) -> Response:
        standing = error.standing
        if _wants_json(request):
            known = {
                "error": str(error), "person": standing.person, "verdict": standing.verdict,
                "verdict_id": standing.verdict_id,
            }  # fmt: skip
            return JSONResponse(known, HTTPStatus.CONFLICT)
        again = {
            name: values for name, values in form.items() if name not in {"based_on", "form", "request"}
        }  # fmt: skip
        return self._pages.render(
            request, "conflict.html", HTTPStatus.CONFLICT, error=str(error), again=again,
            based_on=standing.verdict_id, batch_id=request.path_params["batch_id"], job=first(form, "job"),
        )  # fmt: skip

    def _page(self, request: Request, view: View, verdict: Verdict | None, picture_id: int | None) -> Response:
        shown = view.loupe.shown(picture_id) if view.loupe else None
        return self._pages.render(
            request, "review.html", view=view, report=view.report, reviewed=view.reviewed, job=view.loupe,
            picture=shown, beside=view.beside, taken=view.taken, filtered=verdict,
            wrong=list(zip(self._reasons, REASON_KEYS, strict=False)),
            judges=actor_of(request).may(Role.REVIEWER), quote=view.quote,
        )  # fmt: skip


def _whole(session: Session, batch_id: int) -> View | None:
    if batch_id == SINGLES:
        return View(AS_A_BATCH, verdicts_of(session, AS_A_BATCH), (Verdict.APPROVED, Verdict.NEEDS_WORK))
    name = cards.batch_name(session, batch_id)
    if name is None:
        return None
    report = find(session, name)
    return View(report, verdicts_of(session, report))


def _view(
    session: Session,
    actor: Actor,
    batch_id: int,
    job_id: str | None,
    after: int | None,
    verdict: Verdict | None,
    *,
    takes: bool,
) -> View | None:
    """The page for a job, or for the next one that is undecided; the person then has it open."""
    whole = _whole(session, batch_id)
    if whole is None:
        return None
    taken: Taken | None = None
    if job_id is None:
        job_id = _next(session, actor, batch_id, -1 if after is None else after)
    elif takes:
        taken = take(session, actor, job_id)
    else:
        taken = taken_by(session, actor, job_id)
    found = None if job_id is None else loupe(session, batch_id, job_id)
    if found is None:
        return whole
    beside = neighbors(session, batch_id, found.seq, actor.name, verdict)
    return replace(whole, loupe=found, beside=beside, taken=taken)


def _next(session: Session, actor: Actor, batch_id: int, after: int) -> str | None:
    """The job to look at: the next undecided one, or for a person who only looks, the next one."""
    if actor.may(Role.REVIEWER):
        handed = next_undecided(session, actor, batch_id, after)
        return None if handed is None else handed.job_id
    beside = neighbors(session, batch_id, after, actor.name, number=1).after
    return beside[0].job_id if beside else None


def _take(session: Session, actor: Actor, batch_id: int, job_id: str) -> Taken | None:
    if not is_text(job_id) or loupe(session, batch_id, job_id) is None:
        raise DeskError("job: the batch has no such job")
    return take(session, actor, job_id)


def _redo(
    session: Session, actor: Actor, redos: Redos, batch_id: int, job_id: str, version: int, at_most: Decimal
) -> None:
    if not is_text(job_id) or loupe(session, batch_id, job_id) is None:
        raise DeskError("job: the batch has no such job")
    redos.begin(session, actor, job_id, version, at_most)


def _amount(text: str) -> Decimal:
    try:
        amount = Decimal(text)
    except InvalidOperation:
        amount = Decimal("NaN")
    if not amount.is_finite():
        raise DeskError("at_most: an amount, as the page shows it")
    return amount


def _request(form: Form) -> str | None:
    """The sender's name of this decision, if it has one that can be kept."""
    name = first(form, "request")[:MAX_REQUEST_CHARS]
    return name if name and is_text(name) else None


def _decision(form: Form) -> Decision:
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


def _wants_json(request: Request) -> bool:
    return "application/json" in request.headers.get("accept", "")
