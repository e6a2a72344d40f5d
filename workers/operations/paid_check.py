"""One paid job, run in this process and written down: the first contact with a real provider.

It goes through the same gate, books and tables as any other job, so it is counted, and found again should this process
die. Only its claims and polls are kept to this process, so that every word of the exchange is recorded.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from models.fragments import columns, parameters, seconds_from_now
from models.identity import bulk_job_id
from models.jobs import INPUTS, ROLES
from providers.outcomes import Accepted, Pending, PollOutcome, SubmitOutcome, Unanswered
from providers.protocol import Provider
from providers.spec import OpenAttempt
from workers.config.accounts import Account
from workers.engine import begin, claims, provider_calls
from workers.engine.due import DUE, Due
from workers.engine.notify import tell
from workers.engine.outcomes import WRITE_SECONDS, Sent, of_poll, of_submit
from workers.engine.prepare import Prepared, prepare
from workers.engine.record import Recorded, record
from workers.engine.runtime import Runtime
from workers.http.exchange import clock
from workers.jobs.lanes import lane_operation
from workers.jobs.request import Ask
from workers.jobs.routing import route

KEEP_SECONDS = 3600  # other workers leave the trial's job and attempt alone for as long


class TrialError(Exception):
    """The trial could not be made; the message says why. Nothing was paid."""


@dataclass(frozen=True, slots=True)
class Trial:
    """What a trial did."""

    job_id: str
    operation: str
    outcomes: tuple[str, ...]
    exchanges: tuple[dict[str, Any], ...]


_INSERT = text(f"""
    WITH made AS (INSERT INTO batches (name, queued) VALUES (:batch, 1) RETURNING id)
    INSERT INTO jobs (id, kind, {columns(INPUTS)}, account, operation, lane, batch_id, key, claimed_until)
    SELECT :id, :kind, {parameters((*ROLES, "prompt"))}, cast(:options AS jsonb), :account, :operation, :lane, made.id,
        'trial', {seconds_from_now(":seconds")} FROM made
    RETURNING batch_id
""")
_DUE = text(f"SELECT {DUE} FROM attempts WHERE id = :id")


def plan(runtime: Runtime, account: Account, ask: Ask) -> tuple[str, str]:
    """The lane and the operation a trial of `ask` at `account` would use.

    Raises:
        InvalidJobError: as for any job.
    """
    lane = route(ask, {account.name: account}, runtime.reach)
    operation = lane_operation(lane, account)
    if operation is None:
        raise TrialError(f"{account.name} cannot do this")
    return lane, operation


async def trial(runtime: Runtime, account: Account, ask: Ask, say: Callable[[str], None]) -> Trial:
    """Run one job of `account` to the provider's last word; its pictures are then saved as any job's are.

    Raises:
        TrialError: the input, the gate or the budget does not allow it; nothing was sent.
    """
    lane, operation = plan(runtime, account, ask)
    recorder, provider = runtime.recorded(account)
    claim = await runtime.adb(_insert, account, ask, lane, operation)
    ready, unready = await prepare(runtime, account, provider, [claim])
    if unready:
        raise TrialError(unready[0].job.error or "the job cannot be prepared")
    outcomes = [await _submit(runtime, account, provider, ready[0], say)]
    if outcomes[0] == Accepted.__name__:
        outcomes += await _poll(runtime, account, provider, ready[0], say)
    return Trial(claim.job_id, operation, tuple(outcomes), tuple(recorder.exchanges))


def _insert(session: Session, account: Account, ask: Ask, lane: str, operation: str) -> claims.Claim:
    batch = f"trial of {account.name} at {datetime.now(UTC):%Y-%m-%d %H:%M:%S.%f}"
    job_id = bulk_job_id(batch, "trial")
    values = {
        "id": job_id,
        "batch": batch,
        "kind": ask.kind,
        **{role: getattr(ask, role) for role in ROLES},
        "prompt": ask.prompt,
        "options": json.dumps(dict(ask.options)),
        "account": account.name,
        "operation": operation,
        "lane": lane,
        "seconds": KEEP_SECONDS,
    }
    batch_id = session.execute(_INSERT, values).scalar_one()
    return claims.Claim(
        job_id, batch_id, operation, ask.pictures(), ask.prompt, dict(ask.options), expired=False, last_number=0,
        last_account=None, last_state=None, version=1,
    )  # fmt: skip


async def _submit(
    runtime: Runtime, account: Account, provider: Provider, item: Prepared, say: Callable[[str], None]
) -> str:
    write_before = clock() + WRITE_SECONDS
    begun = await runtime.adb(begin.begin, account, [item.ready])
    if not begun.started:
        raise TrialError(f"the account takes nothing now: {begun.blocked_by or 'its budget is spent'}")
    outcome = await provider_calls.submit(provider, item.order, write_before=write_before)
    say(f"submitted: {_words(outcome)}")
    operation = account.operations[item.ready.claim.operation]
    sent = Sent(item.ready.claim.reference, item.ready.claim.job_id, item.ready.claim.number, operation, begun.sent_at)
    # No other worker polls before this time; after it, should this process have died, all do.
    effects = of_submit(sent, outcome, KEEP_SECONDS, max_attempts=1)
    await _written(runtime, account, await runtime.adb(record, account.name, [effects]))
    return type(outcome).__name__


async def _poll(
    runtime: Runtime, account: Account, provider: Provider, item: Prepared, say: Callable[[str], None]
) -> list[str]:
    operation = account.operations[item.ready.claim.operation]
    names: list[str] = []
    while True:
        await asyncio.sleep(account.poll_every)
        due = await runtime.adb(_due, item)
        asked = OpenAttempt(due.id, due.operation, due.handle, due.locator, due.age)
        outcome = (await provider_calls.poll(provider, [asked])).get(due.id, Pending())
        if not names or names[-1] != type(outcome).__name__:
            say(f"polled: {_words(outcome)}")
            names.append(type(outcome).__name__)
        ended = not isinstance(outcome, Pending | Unanswered) or due.left <= 0
        effects = of_poll(due, operation, account, outcome, interval=KEEP_SECONDS, max_attempts=1)
        if ended:
            await _written(runtime, account, await runtime.adb(record, account.name, [effects]))
            receipts = getattr(outcome, "receipts", ())
            if receipts:
                await provider.acknowledge(receipts)
            return names


async def _written(runtime: Runtime, account: Account, recorded: Recorded) -> None:
    await tell(runtime, account.name, recorded)


def _due(session: Session, item: Prepared) -> Due:
    return Due.read(session.execute(_DUE, {"id": item.ready.claim.reference}).one())


def _words(outcome: SubmitOutcome | PollOutcome) -> str:
    said = getattr(outcome, "message", None) or getattr(outcome, "handle", None)
    return f"{type(outcome).__name__}{f' ({said})' if said else ''}"
