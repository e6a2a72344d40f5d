"""The page of a batch's pilot: its sample as it is made and reviewed, what the rest would cost, and the decision."""

from __future__ import annotations

from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from desk import pilot, pilot_quotes
from desk.actors import Actor
from desk.limits import higher_limit
from desk.pilot import NoPilotError, PilotChoice
from models.people import Role
from recast.hints import typed
from reports.batch import BatchReport, find
from reports.cards import batch_name
from reports.pilot import KeptWaiting, PilotReport
from web.access import Access
from web.live import Live
from web.operators import Operators
from web.pages import member
from web.visitors import Form, actor_of, first

WAITING_SECONDS = 60.0  # for which is kept what waits in a batch while its number stays the same
WAITING_KEPT = 64  # batches

GONE = "This batch does not exist, or has no pilot."


class PilotPage:
    """What the sample of a batch says of the rest; people who see money see it, and operators decide."""

    def __init__(self, operators: Operators, live: Live) -> None:
        self._operators, self._live = operators, live
        self._pages, self._runtime = operators.pages, operators.runtime
        self._waiting = KeptWaiting(WAITING_KEPT, WAITING_SECONDS)

    def routes(self, access: Access) -> list[Route]:
        """The page, and where its forms go."""
        path = "/batches/{batch_id:row}/pilot"
        return [
            Route(path, access.guarded(self._pages.surely(self._live.again(self.show)))),
            self._operators.takes(access, path, self.take),
        ]

    async def show(self, request: Request) -> Response:
        """The pilot as it stands."""
        actor_of(request).need(Role.REVIEWER, "see what a pilot costs")
        return self._shown(
            request, await self._operators.call(self._found, request.path_params["batch_id"], self._waiting)
        )

    async def take(self, request: Request, form: Form) -> Response | None:
        """Send the rest or cancel it, as it was agreed to; if it would be something else by now, show that."""
        found = await self._operators.call(self._found, request.path_params["batch_id"])
        choice = member(PilotChoice, first(form, "do"))
        if found is None or choice is None or first(form, "agreed") != agreed(found[1]):
            return self._shown(request, found, moved=found is not None)
        limit = first(form, "max_cost").strip()
        await self._operators.call(self._decide, actor_of(request), choice, *found, limit)
        return None

    def _shown(
        self, request: Request, found: tuple[BatchReport, PilotReport] | None, *, moved: bool = False
    ) -> Response:
        if found is None:
            return self._pages.missing(request, GONE, HTTPStatus.NOT_FOUND)
        report, sample = found
        return self._pages.render(
            request, "pilot.html", report=report, pilot=sample, agreed=agreed(sample), moved=moved,
            go_on=typed("pilot", report.name, go_on=True), stop=typed("pilot", report.name, stop=True),
        )  # fmt: skip

    def _found(self, batch_id: int, kept: KeptWaiting | None = None) -> tuple[BatchReport, PilotReport] | None:
        name = self._runtime.db(batch_name, batch_id)
        if name is None:
            return None
        report = self._runtime.db(find, name)
        try:
            return report, pilot_quotes.read(self._runtime, report, kept)
        except NoPilotError:
            return None

    def _decide(
        self, actor: Actor, choice: PilotChoice, report: BatchReport, shown: PilotReport, limit: str
    ) -> None:  # fmt: skip
        as_shown = pilot_quotes.as_shown(self._runtime, report, shown)
        if choice is PilotChoice.STOP:
            pilot.stop(self._runtime, actor, report, agreed=as_shown)
        else:
            most = higher_limit(limit, report, self._pages.currency).amount if limit else None
            pilot.go_on(self._runtime, actor, report, most, agreed=as_shown)


def agreed(found: PilotReport) -> str:
    """What a person agrees to: something done to these very jobs, and the most that they may cost."""
    return f"{found.which}:{found.rest.at_most}:{found.rest.priced}"
