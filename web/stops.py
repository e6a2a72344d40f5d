"""What keeps a batch from continuing, for pages: of a million queued jobs, what they cost takes seconds to sum."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy.orm import Session

from models.states import PauseReason
from reports.batch import BatchReport
from reports.obstacles import obstacles
from workers.cache import Cache
from workers.config.accounts import Account

SAID_SECONDS = 300.0  # for which is kept what keeps a batch from continuing whose numbers have not changed
SAID_KEPT = 64  # batches


class Stops:
    """Knows what keeps a batch from continuing; of one at its limit, for as long as its numbers stay the same.

    Args:
        currency: the deployment's currency.
    """

    def __init__(self, currency: str) -> None:
        self._currency = currency
        self._said: Cache[object, list[str]] = Cache(SAID_KEPT, SAID_SECONDS)

    def of(self, session: Session, report: BatchReport, accounts: Mapping[str, Account] | None) -> list[str]:
        """It, in sentences; `accounts` are None where they cannot be read, or nothing waits for them."""
        if report.paused_reason is not PauseReason.BUDGET:
            return obstacles(session, report, accounts, self._currency)
        key = (report.id, tuple(report.counts.values()), report.spent, report.max_cost)
        return self._said.get_or_make(key, lambda: obstacles(session, report, accounts, self._currency))
