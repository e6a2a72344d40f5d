"""Bulk operations on a batch's page: what each would change and cost is shown first, and agreed to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from desk import levers
from desk.actors import Actor
from desk.levers import Impact, Lever
from models.states import JobState
from recast.hints import typed
from recast.money import plain
from reports import cards
from reports.batch import BatchReport, find
from reports.obstacles import SpentLimit, spent_limit
from web.access import Access
from web.operators import Operators
from web.pages import link, member, number
from web.prefix import prefix
from web.visitors import Form, actor_of, first
from workers.jobs.filters import Filter


class Verb(StrEnum):
    """What can be done to a batch's jobs; the words are those of the commands."""

    RETRY = "retry"
    CANCEL = "cancel"
    PAUSE = "pause"
    RESUME = "resume"


#: What may be done to the jobs that the page shows, by their state; None for all of them.
OFFERED: Mapping[JobState | None, Sequence[Verb]] = {
    None: (Verb.PAUSE, Verb.RESUME, Verb.CANCEL, Verb.RETRY),
    JobState.QUEUED: (Verb.CANCEL,),
    JobState.FAILED: (Verb.RETRY,),
    JobState.REJECTED: (Verb.RETRY,),
    JobState.CANCELED: (Verb.RETRY,),
}

#: What each does, in words.
SAYS: Mapping[Verb, str] = {
    Verb.RETRY: "Jobs that did not succeed are queued again, which pays again. Each keeps its former attempts.",
    Verb.CANCEL: "Queued jobs are canceled. Jobs at providers are paid for, and finish.",
    Verb.PAUSE: "The batch sends no more jobs, also none that are added later. Jobs at providers finish.",
    Verb.RESUME: "Paused jobs of the batch are sent again.",
}


@dataclass(frozen=True, slots=True)
class DryRun:
    """What would be changed, and cost, if it were agreed to now."""

    report: BatchReport
    which: Filter
    impact: Impact
    #: What a batch that has spent its limit needs.
    need: SpentLimit | None

    @property
    def agreed(self) -> str:
        """What a person agrees to."""
        return f"{len(self.impact.ids)}:{self.impact.cost}"


def offered(state: JobState | None, *, filtered: bool) -> Sequence[Verb]:
    """What may be done to the jobs that a page shows; nothing to pictures, which succeeded."""
    return () if filtered else OFFERED.get(state, ())


class BulkPage:
    """One bulk operation on one batch."""

    def __init__(self, operators: Operators) -> None:
        self._operators, self._pages, self._runtime = operators, operators.pages, operators.runtime

    def routes(self, access: Access) -> list[Route]:
        """The page, and where its form goes."""
        path = "/batches/{batch_id:row}/bulk/{verb:str}"
        return [self._operators.shows(access, path, self.show), self._operators.takes(access, path, self.take)]

    async def show(self, request: Request) -> Response:
        """What would be changed, of the jobs in ``?state=`` or of all."""
        return await self._shown(request, member(JobState, request.query_params.get("state")))

    async def take(self, request: Request, form: Form) -> Response | None:
        """Make the change that was agreed to; if it would be another one by now, show that."""
        verb, state = member(Verb, request.path_params["verb"]), member(JobState, first(form, "state"))
        found = await self._found(request, verb, state)
        if found is None or verb is None or first(form, "agreed") != found.agreed:
            return await self._shown(request, state)
        limit = first(form, "max_cost").strip()
        done = await self._operators.call(self._change, actor_of(request), verb, found, limit)
        below, batch_id = prefix(request), request.path_params["batch_id"]
        return RedirectResponse(link(below, "batches", batch_id, "bulk", verb, state=state, done=done), 303)

    async def _shown(self, request: Request, state: JobState | None) -> Response:
        verb = member(Verb, request.path_params["verb"])
        found = await self._found(request, verb, state)
        if found is None or verb is None:
            return self._pages.missing(request, "This batch does not exist, or this cannot be done to it.")
        needed = plain(found.need.needed) if found.need else None
        command = typed(verb, batch=found.report.name, state=found.which.states, max_cost=needed)
        return self._pages.render(
            request, "bulk.html", verb=verb, state=state, says=SAYS[verb], found=found, report=found.report,
            impact=found.impact, need=found.need, command=command, done=number(request.query_params.get("done")),
            needed=needed,
            free=typed("redownload", batch=found.report.name) if found.impact.free else None,
        )  # fmt: skip

    async def _found(self, request: Request, verb: Verb | None, state: JobState | None) -> DryRun | None:
        if verb is None or verb not in OFFERED.get(state, ()):
            return None
        return await self._operators.call(self._dry_run, request.path_params["batch_id"], verb, state)

    def _dry_run(self, batch_id: int, verb: Verb, state: JobState | None) -> DryRun | None:
        name = self._runtime.db(cards.batch_name, batch_id)
        if name is None:
            return None
        report = self._runtime.db(find, name)
        if verb is Verb.RETRY:
            which = Filter(batch=name, states=[state or JobState.FAILED])
            return DryRun(report, which, levers.retryable(self._runtime, which), None)
        which = Filter(batch=name)
        need = self._runtime.db(spent_limit, report, self._runtime.accounts) if verb is Verb.RESUME else None
        return DryRun(report, which, levers.impact(self._runtime, Lever(verb), which), need)

    def _change(self, actor: Actor, verb: Verb, found: DryRun, limit: str) -> int:
        if verb is Verb.RETRY:
            return levers.retry(self._runtime, actor, found.which, found.impact)
        if found.need is not None:
            levers.raise_limit(self._runtime, actor, found.report, limit)
        return levers.apply(self._runtime, actor, Lever(verb), found.which, found.impact)[0]
