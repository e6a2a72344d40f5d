"""The paid check: one paid job at one account, run in this process, with every request and response recorded.

It uses the same admission, budgets and tables as any other job. So it is counted, and other workers continue it if this
process dies. Until then only this process claims and polls it, so that the recording is complete.
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
from workers.config.accounts import Account
from workers.config.settings import Tries
from workers.engine import begin, claims, look_ups, provider_calls
from workers.engine.due import DUE, Due
from workers.engine.locate_outcomes import WRITE_SECONDS
from workers.engine.notify import notify
from workers.engine.outcomes import Sent, after_poll, after_submit
from workers.engine.prepare import Prepared, prepare
from workers.engine.record import Recorded, record
from workers.engine.recost import recosted
from workers.engine.runtime import Runtime
from workers.http.exchange import clock
from workers.jobs.lanes import lane_operation
from workers.jobs.request import JobRequest
from workers.jobs.routing import in_one_form, route

ONCE = Tries(attempts=1, paid=1)  # a paid check is one payment
KEEP_SECONDS = 3600  # for this long other workers leave the job and its attempt alone


class PaidCheckError(Exception):
    """The check was not started; the message says why. Nothing was paid."""


@dataclass(frozen=True, slots=True)
class PaidCheck:
    """The result of a paid check."""

    job_id: str
    operation: str
    outcomes: tuple[str, ...]
    exchanges: tuple[dict[str, Any], ...]


_INSERT = text(f"""
    WITH made AS (INSERT INTO batches (name, queued) VALUES (:batch, 1) RETURNING id)
    INSERT INTO jobs (id, kind, {columns(INPUTS)}, account, operation, lane, batch_id, key, claimed_until)
    SELECT :id, :kind, {parameters((*ROLES, "prompt"))}, cast(:options AS jsonb), :account, :operation, :lane, made.id,
        'paid check', {seconds_from_now(":seconds")} FROM made
    RETURNING batch_id
""")
_DUE = text(f"SELECT {DUE} FROM attempts WHERE id = :id")


def plan(runtime: Runtime, account: Account, ask: JobRequest) -> tuple[str, str]:
    """The lane and the operation a paid check of `ask` at `account` would use.

    Raises:
        InvalidJobError: as for any job.
    """
    lane = route(ask, {account.name: account}, runtime.reach)
    operation = lane_operation(lane, account)
    if operation is None:
        raise PaidCheckError(f"account {account.name} has no operation for this job")
    return lane, operation


async def submit(runtime: Runtime, account: Account, ask: JobRequest, say: Callable[[str], None]) -> PaidCheck:
    """Submit one job to `account` and poll until it ends; its pictures are then saved like those of any job.

    Raises:
        PaidCheckError: the input, the account's admission or a budget does not allow it; nothing was sent.
    """
    lane, operation = plan(runtime, account, ask)
    ask = in_one_form(ask, lane, {account.name: account})
    recorder, provider = runtime.recorded(account)
    claim = await runtime.adb(_insert, account, ask, lane, operation)
    ready, unready = await prepare(runtime, account, provider, [claim])
    if unready:
        raise PaidCheckError(unready[0].job.error or "the job cannot be prepared")
    outcomes = [await _submit(runtime, account, provider, ready[0], say)]
    if outcomes[0] == Accepted.__name__:
        outcomes += await _poll(runtime, account, provider, ready[0], say)
    return PaidCheck(claim.job_id, operation, tuple(outcomes), tuple(recorder.exchanges))


def _insert(session: Session, account: Account, ask: JobRequest, lane: str, operation: str) -> claims.Claim:
    batch = f"paid check of {account.name} at {datetime.now(UTC):%Y-%m-%d %H:%M:%S.%f}"
    job_id = bulk_job_id(batch, "paid check")
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
        raise PaidCheckError(f"the account accepts no submission now: {begun.blocked_by or 'its budget is spent'}")
    outcome = await provider_calls.submit(provider, item.order, write_before=write_before)
    say(f"submitted: {_words(outcome)}")
    operation = account.operations[item.ready.claim.operation]
    sent = Sent(item.ready.claim.reference, item.ready.claim.job_id, item.ready.claim.number, operation, begun.sent_at)
    # No other worker polls before this time. After it any worker may, in case this process died.
    effects = after_submit(sent, outcome, KEEP_SECONDS, ONCE)
    made = len(outcome.parts) if isinstance(outcome, Accepted) else None
    effects = recosted(effects, account, operation, made)
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
        outcome = (await provider_calls.poll(provider, [due.for_provider()])).get(due.id, Pending())
        if look_ups.is_late(provider, due, outcome):
            outcome = await provider_calls.look_up(provider, due.for_provider())
        if not names or names[-1] != type(outcome).__name__:
            say(f"polled: {_words(outcome)}")
            names.append(type(outcome).__name__)
        ended = not isinstance(outcome, Pending | Unanswered) or due.left <= 0
        effects = after_poll(due, operation, account, outcome, next_look=KEEP_SECONDS, tries=ONCE)
        if ended:
            await _written(runtime, account, await runtime.adb(record, account.name, [effects]))
            receipts = getattr(outcome, "receipts", ())
            if receipts:
                await provider.acknowledge(receipts)
            return names


async def _written(runtime: Runtime, account: Account, recorded: Recorded) -> None:
    await notify(runtime, account.name, recorded)


def _due(session: Session, item: Prepared) -> Due:
    return Due.read(session.execute(_DUE, {"id": item.ready.claim.reference}).one())


def _words(outcome: SubmitOutcome | PollOutcome) -> str:
    said = getattr(outcome, "message", None) or getattr(outcome, "handle", None)
    return f"{type(outcome).__name__}{f' ({said})' if said else ''}"
