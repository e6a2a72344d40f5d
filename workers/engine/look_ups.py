"""Look-ups: questions about single attempts, where an inbox that serves the whole account may have lost an answer.

Events expire at the provider. So what an inbox does not mention is looked up once it is late, and always before its
deadline gives it up: an attempt that one round does not reach stays due for the next one.
"""

from __future__ import annotations

import asyncio
import math
import random
import threading
from collections import deque
from collections.abc import Callable, Sequence

from providers.outcomes import Pending, PollOutcome, Unanswered
from providers.protocol import Provider
from workers.engine import provider_calls
from workers.engine.due import Due
from workers.http.exchange import clock

AT_ONCE = 8  # look-ups side by side, of the connections that a worker has; 200 take seconds, and none of them is paid
PER_READ = 20  # of attempts before their deadline, after one read of the inbox: most of them are only slow
ROUND_SECONDS = 10.0  # in which look-ups begin; the inbox is not read meanwhile


def is_late(provider: Provider, item: Due, outcome: PollOutcome) -> bool:
    """Whether an attempt must be looked up: the inbox says nothing of it, and its event may have expired."""
    if not isinstance(outcome, Pending) or outcome.look_in is not None or provider.look_up_after == math.inf:
        return False
    return item.refetches > 0 or item.left <= 0 or item.age >= provider.look_up_after


def chosen(late: Sequence[Due]) -> list[Due]:
    """The order of a round: all that have no other way, then some of the others, chance giving each its turn.

    Past its deadline an attempt would be given up, and an event that was acknowledged does not come again.
    """
    last = [item for item in late if item.left <= 0 or item.refetches]
    others = [item for item in late if item.left > 0 and not item.refetches]
    return last + random.sample(others, min(PER_READ, len(others)))


async def look_up_late(
    provider: Provider,
    late: Sequence[Due],
    answered: Callable[[Due, PollOutcome], None],
    *,
    rate: float | None,
    places: int,
    stopping: threading.Event,
) -> None:
    """Look up what `chosen` gives, at most `rate` a second and `places` at once; `answered` hears of each answer.

    A question without an answer ends the round: the provider may be asking for fewer calls.
    """
    waiting, ends_at = deque(chosen(late)), clock() + ROUND_SECONDS
    next_at = clock()

    async def one_after_another() -> None:
        nonlocal next_at
        while waiting:
            item = waiting.popleft()
            if rate is not None:
                begin_at = next_at = max(next_at, clock())
                next_at += 1 / rate
                await asyncio.sleep(begin_at - clock())
            if clock() >= ends_at or stopping.is_set():
                waiting.clear()
                return
            outcome = await provider_calls.look_up(provider, item.for_provider())
            if isinstance(outcome, Unanswered):
                waiting.clear()
            answered(item, outcome)

    await asyncio.gather(*(one_after_another() for _ in range(min(AT_ONCE, places, len(waiting)))))
