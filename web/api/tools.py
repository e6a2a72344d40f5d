"""Tools: the API as programs with a language model call it, each an endpoint of the table under a name of its own.

What costs money is in two tools only: `plan` prices it and gives a quote, and `confirm` takes a quote. So nothing is
paid for that was not priced first, and a quote's ceiling and the token's limit of a day hold as everywhere.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel, Field, create_model

from desk import quotes, tokens
from desk.pilot import PilotChoice
from desk.tokens import Program
from models.people import Role
from recast.hints import hint
from reports.written import written
from web.api import asks, orders, paying, pilots, upkeep
from web.api.bodies import MAX_CATALOG_BYTES, json_of
from web.api.endpoints import Call, Endpoint, Service, Work, seen_by
from web.api.mistyped import of_json
from web.api.problems import ProblemError, problem_of, unprocessable
from web.api.table import ENDPOINTS
from workers.operations.resolve import Verdict

#: The endpoints that are tools: those that read, and those that change what costs nothing.
_NAMED = {
    "batches": ("GET", "/batches"), "batch": ("GET", "/batches/{name}"), "jobs": ("GET", "/batches/{name}/jobs"),
    "jobs_of_singles": ("GET", "/jobs"), "results_of_singles": ("GET", "/results"),
    "results": ("GET", "/batches/{name}/results"), "job": ("GET", "/jobs/{id}"), "held": ("GET", "/held"),
    "checks": ("GET", "/batches/{name}/checks"), "pilot": ("GET", "/batches/{name}/pilot"),
    "accounts": ("GET", "/accounts"), "spend": ("GET", "/spend"),
    "schedules": ("GET", "/schedules"), "schedule": ("GET", "/schedules/{name}"), "webhooks": ("GET", "/webhooks"),
    "deliveries": ("GET", "/deliveries"), "verdict": ("PUT", "/results/{id}/verdict"),
    "verdicts": ("POST", "/batches/{name}/verdicts"), "verdicts_of_singles": ("POST", "/jobs/verdicts"),
    "undo": ("POST", "/results/{id}/undo"),
    "choose": ("POST", "/results/{id}/choose"), "cancel": ("POST", "/bulk/cancel"),
    "pause": ("POST", "/bulk/pause"), "resume": ("POST", "/bulk/resume"),
    "redownload": ("POST", "/bulk/redownload"),
}  # fmt: skip


class PlanTool(asks.Ask):
    """What to price; exactly one of these is said."""

    run: asks.PlanAsk | None = Field(None, description="A catalog's rows, as a batch.")
    retry: asks.FilterAsk | None = Field(None, description="Failed jobs that are queued again.")
    redo: orders.RedoFields | None = Field(None, description="Pictures that are asked for again.")
    job: orders.JobFields | None = Field(None, description="One swap or one generation.")
    not_accepted: orders.HeldFilter | None = Field(
        None, description="Held jobs that the provider did not accept: they are queued again."
    )
    pilot: asks.Text | None = Field(None, description="A batch with a pilot, whose rest is sent.")


class ConfirmTool(asks.Ask):
    """The quote that is taken."""

    quote: asks.Text


@dataclass(frozen=True, slots=True)
class Tool:
    """One thing that can be called."""

    name: str
    summary: str
    ask: type[BaseModel]
    role: Role
    #: Does it, for what was asked.
    work: Callable[[Service, Program, Any], Any]
    reads: bool = False
    #: Whether it may begin what costs money.
    pays: bool = False

    @property
    def schema(self) -> dict[str, Any]:
        """What can be asked, as a JSON schema."""
        return self.ask.model_json_schema()


def call(service: Service, token: str, name: str, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a tool answers to the program that shows `token`, as a JSON document.

    Raises:
        ProblemError: it is not done as it was asked, and why.
    """
    try:
        return _called(service, token, name, arguments)
    except Exception as error:
        problem = problem_of(error)
        if problem is None:
            raise
        raise problem from None


def _called(service: Service, token: str, name: str, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    # Asked for at each call: what was revoked opens nothing more.
    program = service.runtime.db(tokens.who, token)
    if program is None:
        raise ProblemError(
            HTTPStatus.UNAUTHORIZED, f"the token is not known, or was revoked; an operator adds one with "
            f"{hint('tokens add', 'NAME')}",
        )  # fmt: skip
    program = replace(program, actor=replace(program.actor, via="mcp"))
    tool = TOOLS.get(name)
    if tool is None:
        allowed = ", ".join(TOOLS)
        raise ProblemError(HTTPStatus.NOT_FOUND, f"tool: there is no {name[:80]!r}; allowed: {allowed}", "tool", name,
                           allowed)  # fmt: skip
    program.actor.need(tool.role, tool.summary[0].lower() + tool.summary[1:])
    text = json.dumps(arguments)
    if len(text) > MAX_CATALOG_BYTES:
        most = f"{MAX_CATALOG_BYTES:,} bytes"
        raise ProblemError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"arguments: more than {most}", allowed=most)
    asked = of_json(tool.ask, written(json_of(text)))
    found: Mapping[str, Any] = json.loads(written(seen_by(program.actor, tool.work(service, program, asked))))
    return found


def _of(name: str, endpoint: Endpoint) -> Tool:
    """An endpoint as a tool: what is in its path is asked for by name, beside its query or its body."""
    base = endpoint.body or endpoint.query
    fields: dict[str, Any] = dict.fromkeys(endpoint.parameters, (asks.Text, ...))
    ask = create_model(f"{name.capitalize()}Tool", __base__=base, __doc__=endpoint.summary, **fields)

    def work(service: Service, program: Program, asked: Any) -> Any:
        path = {each: getattr(asked, each) for each in endpoint.parameters}
        return endpoint.work(service, Call(program.actor, program.token_id, path, asked, asked))

    return Tool(name, endpoint.summary, ask, endpoint.role, work, reads=endpoint.method == "GET")


def _plan(service: Service, program: Program, asked: PlanTool) -> Any:
    said = {name: value for name in PlanTool.model_fields if (value := getattr(asked, name)) is not None}
    if len(said) != 1:
        raise unprocessable(
            f"plan: {len(said)} things are said", "plan", ", ".join(said), f"one of {', '.join(PlanTool.model_fields)}"
        )
    ((name, value),) = said.items()
    work, body = _PLANS[name]
    return work(service, Call(program.actor, program.token_id, _of_batch(asked.pilot), body=body(value)))


def _of_batch(name: str | None) -> Mapping[str, str]:
    """What stands in the path of an endpoint of a batch."""
    return {} if name is None else {"name": name}


def _job(value: orders.JobFields) -> orders.JobAsk:
    return orders.JobAsk.model_construct(**dict(value), dry_run=True, quote=None)


_PLANS: Mapping[str, tuple[Work, Callable[[Any], asks.Ask]]] = {
    "run": (paying.plan, lambda value: value),
    "retry": (paying.retry, lambda value: asks.RetryAsk(filter=value, dry_run=True)),
    "redo": (paying.redo, lambda value: orders.RedoAsk(filter=value.filter, change=value.change, dry_run=True)),
    "job": (paying.single, _job),
    "not_accepted": (
        upkeep.resolve, lambda value: orders.ResolveAsk(filter=value, verdict=Verdict.NOT_ACCEPTED, dry_run=True)
    ),
    "pilot": (pilots.decide, lambda _: orders.PilotAsk(decision=PilotChoice.GO_ON, dry_run=True)),
}  # fmt: skip


def _confirm(service: Service, program: Program, asked: ConfirmTool) -> Any:
    kind, batch = service.runtime.db(quotes.kind_of, program.token_id, asked.quote)
    work, body = _TAKES[kind]
    return work(service, Call(program.actor, program.token_id, _of_batch(batch), body=body(quote=asked.quote)))


_TAKES: Mapping[str, tuple[Work, Callable[..., asks.Ask]]] = {
    "run": (paying.run, asks.RunAsk), "retry": (paying.retry, asks.RetryAsk), "redo": (paying.redo, orders.RedoAsk),
    "job": (paying.single, orders.JobAsk), "resolve": (upkeep.resolve, orders.ResolveAsk),
    "pilot": (pilots.decide, orders.PilotAsk),
}  # fmt: skip
_BY_PLACE = {(each.method, each.path): each for each in ENDPOINTS}
TOOLS: Mapping[str, Tool] = {
    **{name: _of(name, _BY_PLACE[place]) for name, place in _NAMED.items()},
    "plan": Tool(
        "plan", "Price what costs money, and get a quote with its ceiling; nothing is sent", PlanTool, Role.REVIEWER,
        _plan,
    ),
    "confirm": Tool(
        "confirm", "Take a quote: do what it says, for its ceiling at most", ConfirmTool, Role.REVIEWER, _confirm,
        pays=True,
    ),
}  # fmt: skip
