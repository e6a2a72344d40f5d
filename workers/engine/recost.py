"""The cost of an attempt by the number of its pictures, once the provider says how many it makes.

Until then the most that the operation makes is booked, so that no budget is exceeded by what a template decides.
"""

from __future__ import annotations

from dataclasses import replace

import structlog

from providers.spec import Operation
from workers.config.accounts import Account
from workers.engine.effects import Effects

log = structlog.get_logger()


def recosted(effects: Effects, account: Account, operation: Operation, pictures: int | None) -> Effects:
    """`effects` of an acceptance or a result with the cost of `pictures`; None for a number that is not known."""
    price, attempt = account.price(operation), effects.attempt
    if not pictures or attempt is None or operation.count or price is None or not price.per_picture:
        return effects
    cost, note = price.for_pictures(pictures), attempt.error
    if pictures > operation.most:
        note = f"the provider makes {pictures} pictures, and only {operation.most} were expected: all are booked"
        log.warning("more_pictures_than_booked", attempt=str(attempt.id), account=account.name, pictures=pictures)
    return replace(effects, attempt=replace(attempt, cost=cost, error=note))
