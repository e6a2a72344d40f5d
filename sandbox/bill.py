"""The bill: one line for each submission that the sandbox accepted, however it ended."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from sandbox.config import CURRENCY
from sandbox.jobs import Job


def bill(jobs: Iterable[Job], now: float) -> dict[str, Any]:
    """Return the lines and their sum as plain data; `now` (epoch seconds) decides each line's status.

    A line's `reference` is the client's own and `handle` what the client polls by; `at` is in epoch seconds; `amount`
    is the charge for all of the line's `pictures`.
    """
    lines = [
        {
            "line": job.id,
            "at": job.accepted_at,
            "provider": job.provider,
            "operation": job.operation,
            "account": job.account,
            "reference": job.reference,
            "handle": job.handle,
            "pictures": job.pictures,
            "amount": job.amount,
            "status": "lost" if job.lost else job.state(now),
        }
        for job in jobs
    ]
    total = sum((Decimal(str(line["amount"])) for line in lines), Decimal(0))
    return {"lines": lines, "total": str(total), "currency": CURRENCY}
