"""Quotes for the rest of a pilot: what sending it may cost, and sending it as it was quoted, or not at all."""

from __future__ import annotations

from sqlalchemy.orm import Session

from desk import pilot, quotes
from desk.actors import Actor
from desk.pilot import Agreed, NoPilotError
from desk.prices import require_prices
from desk.quotes import Quote, StaleQuoteError, UnknownQuoteError
from desk.verdicts import DeskError
from models.people import Role
from models.pilots import PilotDecision
from reports.batch import BatchReport
from reports.pilot import KeptWaiting, PilotReport, RestCost, lanes_waiting, pilot_of
from workers.engine.runtime import Runtime


def read(runtime: Runtime, batch: BatchReport, kept: KeptWaiting | None = None) -> PilotReport:
    """The pilot of a batch; what of it waits is from `kept` while its number stays the same.

    Raises:
        NoPilotError: it has none.
    """
    found = runtime.db(pilot_of, batch.id, runtime.accounts, runtime.settings.tries.paid, kept)
    if found is None:
        raise NoPilotError(batch.name)
    return found


def as_shown(runtime: Runtime, batch: BatchReport, shown: PilotReport) -> Agreed:
    """Lets those jobs alone be decided about that a person was shown, and at no higher price."""

    def agreed(session: Session) -> None:
        found = pilot_of(session, batch.id, runtime.accounts, runtime.settings.tries.paid)
        if found is None or found.which != shown.which or _is_dearer(found.rest, shown.rest):
            raise DeskError(
                f"batch: other jobs of {batch.name!r} wait than the {shown.waiting:,} that were shown, or dearer ones; "
                "nothing was decided; look again"
            )

    return agreed


def _is_dearer(found: RestCost, shown: RestCost) -> bool:
    return found.at_most > shown.at_most or (shown.priced and not found.priced)


def offer(
    runtime: Runtime, actor: Actor, token_id: int, batch: BatchReport, seconds: float
) -> tuple[PilotReport, Quote | None]:
    """The pilot, with a quote for sending its rest; None where nothing waits, or it was stopped.

    Raises:
        ForbiddenError: `actor` is not an operator.
        NoPilotError: the batch has no pilot.
        InvalidJobError: an operation has no price.
    """
    actor.need(Role.OPERATOR, "ask for a quote")
    found = read(runtime, batch)
    require_prices(runtime, runtime.db(lanes_waiting, batch.id), "decision")
    if not found.waiting or found.decision is PilotDecision.STOPPED:
        return found, None
    terms = {"which": found.which}
    return found, runtime.db(
        quotes.offer, token_id, "pilot", batch.name, terms, b"", found.rest.at_most, seconds
    )  # fmt: skip


def take(runtime: Runtime, actor: Actor, token_id: int, quote_id: str, batch: BatchReport) -> int:
    """Take a quote: send the rest of this batch; how many jobs.

    Raises:
        ForbiddenError, QuoteError, SpendLimitError, DeskError, InvalidJobError: nothing was sent.
    """
    actor.need(Role.OPERATOR, "decide about a pilot")
    quote = runtime.db(quotes.find, token_id, "pilot", quote_id)
    if quote.batch != batch.name:
        raise UnknownQuoteError(f"the quote is for batch {quote.batch!r}, and not for {batch.name!r}")
    require_prices(runtime, runtime.db(lanes_waiting, batch.id), "quote")

    def agreed(session: Session) -> None:
        found = pilot_of(session, batch.id, runtime.accounts, runtime.settings.tries.paid)
        # A quote of a version before does not say which jobs it is for.
        if found is None or found.which != quote.terms.get("which") or found.rest.at_most > quote.ceiling:
            raise StaleQuoteError("prices or the waiting jobs have changed since the quote was made; ask for a new one")
        quotes.take(session, token_id, quote, runtime.settings.currency)

    # With the decision: if this process dies before all are sent, another quote sends the others.
    return pilot.go_on(runtime, actor, batch, agreed=agreed)
