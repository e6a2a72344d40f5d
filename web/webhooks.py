"""Operators' pages of webhooks: all of them, and one with its deliveries."""

from __future__ import annotations

import uuid
from functools import partial

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from desk import operators
from desk.operators import WebhookAction
from models.base import LAST_INTEGER
from reports import deliveries
from reports.queries import said, words
from web.access import Access
from web.desk_forms import chosen, refused
from web.operators import Operators
from web.pages import number
from web.visitors import Form, actor_of, first
from workers.webhooks import service as webhooks
from workers.webhooks.service import UnknownWebhookError

DEAD = "dead"  # what an address says to have only what was given up


class WebhooksPages:
    """The pages, and where their forms go."""

    def __init__(self, operators: Operators) -> None:
        self._operators, self._pages, self._runtime = operators, operators.pages, operators.runtime

    def routes(self, access: Access) -> list[Route]:
        """Both pages."""
        one = "/webhooks/{number:row}"
        return [
            self._operators.shows(access, "/webhooks", self.show),
            self._operators.takes(access, "/webhooks", self.switch),
            self._operators.shows(access, one, self.show_one),
            self._operators.takes(access, one, self.send),
        ]

    async def show(self, request: Request) -> Response:
        """Webhooks with how their deliveries went."""
        found = await self._pages.read(webhooks.listed, exact=False)
        return self._pages.render(request, "webhooks.html", webhooks=found, counted=webhooks.COUNTED)

    async def switch(self, request: Request, form: Form) -> None:
        """Switch a webhook off or on."""
        action, one = chosen(form, WebhookAction), number(first(form, "name"))
        if one is None or one > LAST_INTEGER:
            raise refused("name", first(form, "name"), "the number of a webhook")
        await self._operators.call(operators.webhook, self._runtime, actor_of(request), one, action)

    async def show_one(self, request: Request) -> Response:
        """One webhook: what waits for it, and what was delivered or given up; ``?before=`` selects older ones."""
        one, query = request.path_params["number"], request.query_params
        dead = words(query, "which") == DEAD
        before = said(query, "before", uuid.UUID, "a delivery's id, as the links of the page say it")
        found = {each.id: each for each in await self._pages.read(webhooks.listed, exact=False)}
        if one not in found:
            return self._pages.missing(request, f"{UnknownWebhookError(one)}.")
        return self._pages.render(
            request, "webhook.html", webhook=found[one], dead=dead, before=before, new=uuid.uuid4(),
            waiting=await self._pages.read(deliveries.waiting, one), most=deliveries.PAGE, looked=deliveries.LOOKED,
            ended=await self._pages.read(deliveries.ended, one, before, dead=dead),
        )  # fmt: skip

    async def send(self, request: Request, form: Form) -> None:
        """Send deliveries now, or a test message."""
        actor, one, do = actor_of(request), request.path_params["number"], chosen(form, ("retry", "test"))
        if one > LAST_INTEGER:
            raise UnknownWebhookError(one)
        ids = [_id(given) for given in form.get("delivery", [])]
        if do == "retry":
            if not ids:
                raise refused("delivery", "", "the ids of deliveries, as the page has them")
            await self._operators.call(operators.retry_deliveries, self._runtime, actor, one, ids)
        else:
            delivery = ids[0] if ids else uuid.uuid4()
            await self._operators.call(operators.test_webhook, self._runtime, actor, one, delivery)
            await self._operators.soon(partial(deliveries.is_tried, delivery=delivery))


def _id(given: str) -> uuid.UUID:
    """A delivery's id.

    Raises:
        DeskError: it is none.
    """
    try:
        return uuid.UUID(given)
    except ValueError:
        raise refused("delivery", given, "the id of a delivery, as the page has it") from None
