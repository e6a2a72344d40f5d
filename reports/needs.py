"""What needs a person, over the whole deployment: one sentence for each cause, with what to do about it.

The words are those of `recast status` and `recast doctor`, which ask the same functions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.orm import Session

from models.schedules import RunState
from models.states import LASTING_CLOSURES, Closure, JobState, PauseReason
from recast.hints import hint
from recast.money import Money
from reports import held, signs
from reports.batch import BatchReport
from reports.documents import AccountStatus
from reports.planned import Planned
from reports.text import moment, waiting_for_decision
from workers.config.accounts import Account

LOOKED_AT = 20  # open batches whose obstacles are looked for, the newest first

_OFF = text("SELECT id, url, disabled_note FROM webhooks WHERE disabled_at IS NOT NULL ORDER BY id LIMIT 20")


@dataclass(frozen=True, slots=True)
class Need:
    """One thing that needs a person; commands in the texts are in backticks."""

    sentence: str
    #: What to do, as a command or in words.
    advice: str
    #: The page where it is done, as parts of its path, and what a link to it says; None where no page helps.
    page: Sequence[object] = ()
    action: str = ""
    #: Whether work stands still, or may stand still soon.
    grave: bool = True


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known of the deployment already."""

    accounts: Mapping[str, Account] | None
    statuses: Sequence[AccountStatus]
    batches: Sequence[BatchReport]
    planned: Sequence[Planned]
    heartbeats: Sequence[signs.Sign]
    pumps: signs.Pumps
    stake: held.Stake
    #: Why our own web cannot be reached, if it cannot.
    own_web: str | None
    accounts_file: Path
    currency: str


def needs(session: Session, seen: Seen, obstacles_of: Callable[[BatchReport], Sequence[str]]) -> list[Need]:
    """Everything that needs a person now, what stops the most first.

    Args:
        session: of the database.
        seen: what is known already.
        obstacles_of: says what keeps a batch from continuing, as `reports.obstacles.obstacles`.
    """
    return [
        *_of_deployment(seen), *_of_accounts(seen), *_of_held(seen), *_of_batches(seen, obstacles_of),
        *_of_schedules(seen), *_of_webhooks(session),
    ]  # fmt: skip


def _of_deployment(seen: Seen) -> Iterator[Need]:
    if seen.accounts is None:
        yield Need(f"the accounts file {seen.accounts_file} cannot be read", hint("doctor"))
    if seen.own_web is not None:
        yield Need(
            f"our own web cannot be reached, so links to pictures fail: {seen.own_web}",
            f"start {hint('web')}, or correct RECAST_PUBLIC_URL",
        )
    for sign in seen.heartbeats:
        if sign.reasons:
            yield Need(f"process {sign.name}: {'; '.join(sign.reasons)}", sign.advice)
    if seen.pumps.late:
        yield Need(f"no worker runs the pumps; {signs.late_text(seen.pumps.late)}", signs.start())


def _of_accounts(seen: Seen) -> Iterator[Need]:
    for status in seen.statuses:
        if status.admission.closed_for is not None:
            lasts = status.admission.closed_reason in LASTING_CLOSURES
            action = "Check and resume" if status.admission.closed_reason is Closure.AUTH else "Resume the account"
            action = action if status.admission.until is None else "See the account"
            yield Need(
                f"account {status.account.name}: {status.state}", status.advice, ("accounts",), action, grave=lasts
            )


def _of_held(seen: Seen) -> Iterator[Need]:
    stake = seen.stake
    if stake.jobs:
        least = "at least " if stake.more else ""
        money = f"{least}{Money(stake.cost, seen.currency)} at stake"
        yield Need(f"{least}{waiting_for_decision(stake.jobs)}, {money}", hint("resolve"), ("decide",), "Decide")


def _of_batches(seen: Seen, obstacles_of: Callable[[BatchReport], Sequence[str]]) -> Iterator[Need]:
    for report in seen.batches[:LOOKED_AT]:
        # Held jobs have a line of their own, and a batch that only waits for these no other obstacle.
        unheld = replace(report, counts={**report.counts, JobState.HELD: 0})
        if not unheld.open:
            continue
        page: Sequence[object] = ("batches", report.id)
        action = "See the batch"
        if report.paused_reason is not None:
            page, action = ("batches", report.id, "bulk", "resume"), "Resume the batch"
        if report.paused_reason is PauseReason.BUDGET:
            action = "Raise the limit"
        for sentence in obstacles_of(unheld):
            yield Need(f"batch {report.name}: {sentence}", "", page, action)


def _of_schedules(seen: Seen) -> Iterator[Need]:
    for each in seen.planned:
        if each.state == RunState.FAILED and each.paused_at is None:
            yield Need(
                f"schedule {each.name}: its run of {moment(each.planned_at)} UTC failed: {each.note or 'no reason'}",
                f"correct it, then {hint('schedule run', each.name)}",
                ("schedules",),
                "Run it again",
            )


def _of_webhooks(session: Session) -> Iterator[Need]:
    for row in session.execute(_OFF):
        yield Need(
            f"webhook {row.id} to {row.url} is off: {row.disabled_note or 'no reason was recorded'}",
            hint("webhooks on", row.id),
            ("webhooks",),
            "Switch it on",
            grave=False,
        )
