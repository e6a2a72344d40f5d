"""Single jobs of programs: one swap or one generation, paid by a quote or by what its token may spend in a day.

They are what producers' jobs are: of no batch, and so under no batch's limit. What holds them is the ceiling that was
counted before they were stored: every attempt that may be paid, at the dearest account that may serve them.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import Any

from sqlalchemy.orm import Session

from desk import quotes, tokens
from desk.actors import Actor
from desk.audit import note
from desk.prices import require_prices
from desk.quotes import Quote, StaleQuoteError
from models.jobs import ROLES
from models.people import Role
from recast.errors import InvalidJobError
from workers.engine.runtime import Runtime
from workers.engine.wake import submit_pumps, wake
from workers.images.uris import local_path
from workers.operations.costs import Line, lines
from workers.producers.accept import shared_by, store
from workers.producers.check import Checked, arguments, values_of

#: Of ids that are made of requests: if the answer to one was lost with its process, the next one finds its job.
REQUESTS = uuid.UUID("5d0f1f0e-6c1b-4f43-9c5e-6f1b8f0a2d17")


@dataclass(frozen=True, slots=True)
class Single:
    """A job that was checked, and what it may cost."""

    checked: Checked
    #: Where it may go, paid once; and with every attempt that may be paid.
    lines: Sequence[Line]
    at_most: Decimal

    @property
    def cost(self) -> Decimal:
        """What it costs at the dearest account, paid once."""
        return sum((line.cost for line in self.lines), Decimal(0))


@dataclass(frozen=True, slots=True)
class Made:
    """A job that was stored; or the one that has its `dedupe_key` already, which costs nothing more."""

    single: Single
    job_id: str
    new: bool


class _SharedError(Exception):
    """Another transaction has just stored a job with this key."""

    def __init__(self, job_id: str) -> None:
        super().__init__(job_id)
        self.job_id = job_id


def offer(
    runtime: Runtime, actor: Actor, token_id: int, kind: str, named: Mapping[str, Any], seconds: float
) -> tuple[Single, Quote]:
    """What a job would cost, with a quote.

    Raises:
        ForbiddenError: `actor` is not an operator.
        InvalidJobError: an argument is not possible, or an operation that may serve it has no price.
        OutsideRootsError: pictures may not come from there.
    """
    actor.need(Role.OPERATOR, "ask for a quote")
    single = _checked(runtime, kind, named)
    content = json.dumps({"kind": kind, "named": dict(named)}).encode()
    return single, runtime.db(quotes.offer, token_id, "job", None, {}, content, single.at_most, seconds)


def take(runtime: Runtime, actor: Actor, token_id: int, quote_id: str) -> Made:
    """Take a quote: store its job.

    Raises:
        ForbiddenError, QuoteError, SpendLimitError, InvalidJobError: nothing was stored, and the quote not taken.
    """
    actor.need(Role.OPERATOR, "send jobs")
    quote = runtime.db(quotes.find, token_id, "job", quote_id)
    kept = json.loads(quote.content)
    single = _checked(runtime, kept["kind"], kept["named"])
    if single.at_most > quote.ceiling:
        raise StaleQuoteError("prices have risen since the quote was made; ask for a new one")
    charge = partial(quotes.take, token_id=token_id, quote=quote, currency=runtime.settings.currency)
    return _stored(runtime, actor, single, charge, quote=quote.id)


def send(
    runtime: Runtime, actor: Actor, token_id: int, kind: str, named: Mapping[str, Any], once: str | None = None
) -> Made:
    """Store a job at once: its ceiling is counted against what the token may spend in a day.

    Args:
        runtime: the deployment.
        actor: who sends it.
        token_id: whose limit it is.
        kind: of the job.
        named: its arguments.
        once: what tells this request from the token's others; made again, it finds its job.

    Raises:
        ForbiddenError: `actor` is not an operator.
        SpendLimitError: the token has no limit of a day, or may not commit so much today.
        InvalidJobError, OutsideRootsError: as `offer`.
    """
    actor.need(Role.OPERATOR, "send jobs")
    job_id = None if once is None else str(uuid.uuid5(REQUESTS, f"{token_id} {once}"))
    single = _checked(runtime, kind, named, job_id)
    charge = partial(tokens.charge_without_quote, token_id=token_id, amount=single.at_most,
                     currency=runtime.settings.currency, quotable=True)  # fmt: skip
    return _stored(runtime, actor, single, charge)


def _stored(runtime: Runtime, actor: Actor, single: Single, charge: Callable[[Session], None], **said: str) -> Made:
    job = single.checked

    def work(session: Session) -> str | None:
        known = shared_by(session, job)
        if known is not None:
            return known
        charge(session)
        job_id, new = store(session, job)
        if not new:  # undoes the charge
            raise _SharedError(job_id)
        note(session, actor, "job", f"job {job_id}", ceiling=str(single.at_most), **said)
        return None

    try:
        known = runtime.db(work)
    except _SharedError as shared:
        known = shared.job_id
    if known is not None:
        return Made(single, known, new=False)
    wake(runtime, *submit_pumps(runtime, [job.values["lane"]]))
    return Made(single, job.id, new=True)


def _checked(runtime: Runtime, kind: str, named: Mapping[str, Any], job_id: str | None = None) -> Single:
    for role in ROLES:
        path = local_path(uri.strip()) if isinstance(uri := named.get(role), str) else None
        if path is not None and not path.is_absolute():
            raise InvalidJobError(role, f"{uri!r} is a relative path; allowed: an absolute path, or an address")
    values = values_of(runtime, kind, arguments(kind, (), named))
    for role in ROLES:
        if values[role] is not None:
            runtime.reach.roots.check(values[role])
    lane, options = values["lane"], json.loads(values["options"])
    accounts = require_prices(runtime, [lane], "operation")
    once, most = (lines([(lane, options, 1)], accounts, tries) for tries in (1, runtime.settings.tries.paid))
    job_id = job_id or str(uuid.uuid4())
    columns = {**values, "id": job_id, "expires_at": None}
    checked = Checked(job_id, columns, canvas="", consent=named.get("consent") or None, again=False)
    return Single(checked, once, sum((line.cost for line in most), Decimal(0)))
