"""Bulk operations on a batch, a filter of jobs, or ticked ones: what each would change and cost is shown first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from desk import bulk_operations
from desk.actors import Actor
from desk.bulk_operations import BulkOperation, Impact
from desk.moments import Moment, jobs_as_then, now
from models.states import JobState
from recast.hints import typed
from recast.money import plain
from reports.batch import BatchReport, find
from reports.obstacles import SpentLimit, spent_limit
from web.access import Access
from web.meant import Meant, given, meant
from web.operators import Operators, agreement
from web.pages import link, member, number
from web.prefix import prefix
from web.visitors import Form, actor_of, first
from workers.jobs.filters import Filter
from workers.operations.bulk import RETRYABLE

MOST_NAMED = 5  # jobs in a command that a person is to copy


class Verb(StrEnum):
    """What can be done to a batch's jobs; the words are those of the commands."""

    RETRY = "retry"
    CANCEL = "cancel"
    PAUSE = "pause"
    RESUME = "resume"


#: What may be done to the jobs that the page shows, by their state; None for all of them.
OFFERED: Mapping[JobState | None, Sequence[Verb]] = {
    None: (Verb.PAUSE, Verb.RESUME, Verb.CANCEL, Verb.RETRY),
    JobState.QUEUED: (Verb.PAUSE, Verb.RESUME, Verb.CANCEL),
    JobState.FAILED: (Verb.RETRY,),
    JobState.REJECTED: (Verb.RETRY,),
    JobState.CANCELED: (Verb.RETRY,),
}

#: What each does, in words.
SAYS: Mapping[Verb, str] = {
    Verb.RETRY: "Jobs that did not succeed are queued again, which pays again. Each keeps its former attempts.",
    Verb.CANCEL: "Queued jobs are canceled. Jobs at providers are paid for, and finish.",
    Verb.PAUSE: "These jobs are not sent until they are resumed. Jobs at providers finish.",
    Verb.RESUME: "Paused jobs are sent again.",
}
#: What it does to a whole batch, where that is more.
SAYS_OF_ALL: Mapping[Verb, str] = {
    Verb.PAUSE: "The batch sends no more jobs, also none that are added later. Jobs at providers finish.",
    Verb.RESUME: "Paused jobs of the batch are sent again.",
}


@dataclass(frozen=True, slots=True)
class DryRun:
    """What would be changed, and cost, if it were agreed to now."""

    #: Before the rest was read.
    moment: Moment
    meant: Meant
    which: Filter
    impact: Impact
    #: A batch that is resumed whole, and what it needs if it has spent its limit.
    report: BatchReport | None = None
    need: SpentLimit | None = None

    @property
    def agreed(self) -> str:
        """What a person agrees to."""
        ended = self.impact.ended
        jobs = [f"{job_id} {ended.get(job_id)}" for job_id in self.impact.ids]
        # What has no price counts as nothing, and so does what costs nothing.
        unpriced = [f"{line.account} {line.operation}" for line in self.impact.lines if not line.priced]
        return agreement([*jobs, *unpriced], self.impact.cost)

    @property
    def needed(self) -> str | None:
        """The limit that the batch needs, if it has spent its own."""
        return plain(self.need.needed) if self.need else None


def offered(state: JobState | None, *, filtered: bool) -> Sequence[Verb]:
    """What may be done to the jobs that a page shows; nothing to pictures, which succeeded."""
    return () if filtered else OFFERED.get(state, ())


class BulkPage:
    """One bulk operation on jobs of one batch, or on single jobs."""

    def __init__(self, operators: Operators) -> None:
        self._operators, self._pages, self._runtime = operators, operators.pages, operators.runtime

    def routes(self, access: Access) -> list[Route]:
        """The page, and where its form goes."""
        path = "/batches/{batch_id:row}/bulk/{verb:str}"
        return [self._operators.shows(access, path, self.show), self._operators.takes(access, path, self.take)]

    async def show(self, request: Request) -> Response:
        """What would be changed: of the jobs of the filter in the query, or of all."""
        verb, done = member(Verb, request.path_params["verb"]), number(request.query_params.get("done"))
        if verb is not None and done is not None:
            asked = await self._operators.call(self._runtime.db, meant, request.path_params["batch_id"], given(request))
            if asked is not None:
                left = number(request.query_params.get("left"))
                return self._pages.render(
                    request, "changed.html", meant=asked, title=verb.capitalize(), done=done, left=left
                )
        return self._shown(request, verb, await self._found(request, verb, given(request)))

    async def take(self, request: Request, form: Form) -> Response | None:
        """Make the change that was agreed to; if nothing was, or it would be another one by now, show that."""
        verb = member(Verb, request.path_params["verb"])
        found = await self._found(request, verb, form)
        if found is None or verb is None:
            return self._shown(request, verb, found)
        agreed = await self._operators.call(self._agreed, verb, found, form)
        if agreed is None:
            return self._shown(request, verb, found)
        limit = first(form, "max_cost").strip()
        done = await self._operators.call(self._change, actor_of(request), verb, agreed, limit)
        where = link(
            prefix(request), "batches", found.meant.batch_id, "bulk", verb, **found.meant.grid.query, done=done,
            left=len(found.impact.ids) - len(agreed.impact.ids) or None,
        )  # fmt: skip
        return RedirectResponse(where, HTTPStatus.SEE_OTHER)

    def _shown(self, request: Request, verb: Verb | None, found: DryRun | None) -> Response:
        if found is None or verb is None:
            return self._pages.missing(request, "This batch does not exist, or this cannot be done to it.")
        asked = found.meant
        return self._pages.render(
            request, "bulk.html", verb=verb, found=found, impact=found.impact, need=found.need, meant=asked,
            says=SAYS[verb] if asked.narrow else SAYS_OF_ALL.get(verb, SAYS[verb]), command=_command(verb, found),
            needed=found.needed, free=_redownload(found) if found.impact.free else None,
        )  # fmt: skip

    async def _found(self, request: Request, verb: Verb | None, form: Form) -> DryRun | None:
        if verb is None:
            return None
        return await self._operators.call(self._dry_run, request.path_params["batch_id"], verb, form)

    def _dry_run(self, batch_id: int, verb: Verb, form: Form) -> DryRun | None:
        moment, asked = self._runtime.db(now), self._runtime.db(meant, batch_id, form)
        if asked is None or (asked.which.ids is None and verb not in OFFERED.get(asked.state, ())):
            return None
        which = asked.which
        if verb is Verb.RETRY:
            which = replace(which, states=which.states or (RETRYABLE if which.ids is not None else [JobState.FAILED]))
            return DryRun(moment, asked, which, bulk_operations.retryable(self._runtime, which))
        report = need = None
        if verb is Verb.RESUME and not asked.narrow:
            report = self._runtime.db(find, asked.batch)
            need = self._runtime.db(spent_limit, report, self._runtime.accounts)
        impact = bulk_operations.impact(self._runtime, BulkOperation(verb), which)
        return DryRun(moment, asked, which, impact, report, need)

    def _agreed(self, verb: Verb, found: DryRun, form: Form) -> DryRun | None:
        """What a form agrees to of what would be done now; None where that is nothing.

        Jobs of a batch at work are sent and end while a person looks: of those that were shown, what is left is
        canceled.
        """
        said, then = first(form, "agreed"), Moment.read(first(form, "shown"))
        if said == found.agreed or (said and verb is Verb.PAUSE):
            return found
        if verb is not Verb.CANCEL or then is None:
            return None
        ids = self._runtime.db(jobs_as_then, found.impact.ids, then)
        return replace(found, impact=Impact(ids, ())) if ids else None

    def _change(self, actor: Actor, verb: Verb, found: DryRun, limit: str) -> int:
        if verb is Verb.RETRY:
            return bulk_operations.retry(self._runtime, actor, found.which, found.impact)
        if found.report is not None and found.need is not None:
            bulk_operations.raise_limit(self._runtime, actor, found.report, limit)
        return bulk_operations.apply(self._runtime, actor, BulkOperation(verb), found.which, found.impact)[0]


def _redownload(found: DryRun) -> str | None:
    """The command that downloads those again that were paid for; None where it cannot say which they are."""
    said, ids = found.meant.said, found.meant.which.ids
    if ids is not None:
        return typed("redownload", *ids) if len(ids) <= MOST_NAMED else None
    if said is None or said["verdict"] or said["reason"] or said["check"]:
        return None
    return typed("redownload", **found.which.batch_option, account=said["account"], operation=said["operation"])


def _command(verb: Verb, found: DryRun) -> str | None:
    """The command that does the same; None where the commands cannot say it."""
    said, states = found.meant.said, found.which.states
    if said is None or said["verdict"] or said["reason"] or said["check"]:
        return None  # these commands choose by no verdict and no check
    if verb is not Verb.RETRY:
        # The others choose by no state: of any batch, what waits is canceled, and what may be sent paused and resumed.
        if states is not None and (verb is not Verb.CANCEL or JobState.QUEUED not in states):
            return None
        states = None
    return typed(verb, **{**said, "state": states, "max_cost": found.needed})
