"""What operators change by one press: accounts, schedules and webhooks, each with its audit row."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from datetime import datetime
from enum import StrEnum

from sqlalchemy.orm import Session

from desk.actors import Actor
from desk.audit import note
from desk.verdicts import DeskError
from models.people import Role
from models.states import Closure
from recast.hints import hint
from workers.accounts import admission, overrides
from workers.engine.runtime import Runtime
from workers.engine.wake import DELIVER_PUMP, poll_pump, submit_pump, wake
from workers.operations import credential_checks
from workers.schedules import service as schedules
from workers.schedules.tick import start
from workers.webhooks import deliver
from workers.webhooks import service as webhooks


class AccountAction(StrEnum):
    """What can be done to an account; the words are those of `recast accounts`."""

    PAUSE = "pause"
    RESUME = "resume"
    RESET = "reset"


class ScheduleAction(StrEnum):
    """What can be done to a schedule; the words are those of `recast schedule`."""

    PAUSE = "pause"
    RESUME = "resume"
    RUN = "run"


class WebhookAction(StrEnum):
    """What can be done to a webhook; the words are those of `recast webhooks`."""

    OFF = "off"
    ON = "on"


def account(runtime: Runtime, actor: Actor, name: str, action: AccountAction, reason: str | None = None) -> None:
    """Stop an account, start it, or drop the limits that people changed; `reason` is shown with a stop.

    Raises:
        ForbiddenError: `actor` is not an operator.
        AccountsError: there is no such account.
    """
    actor.need(Role.OPERATOR, f"{action} accounts")
    runtime.account(name)

    def work(session: Session) -> None:
        if action is AccountAction.PAUSE:
            admission.stop(session, name, Closure.PAUSED, reason)
        elif action is AccountAction.RESUME:
            admission.resume(session, name)
        else:
            overrides.drop(session, name)
        note(session, actor, f"accounts {action}", f"account {name}")

    runtime.db(work)
    if action is not AccountAction.PAUSE:
        wake(runtime, submit_pump(name), poll_pump(name))


def set_limits(runtime: Runtime, actor: Actor, name: str, words: Sequence[str]) -> None:
    """Change an account's limits, prices or budgets, in the words of `recast accounts set`.

    Raises:
        ForbiddenError: `actor` is not an operator.
        AccountsError: there is no such account, or a word is not allowed, or does not fit what else holds.
    """
    actor.need(Role.OPERATOR, "set limits of accounts")
    runtime.account(name)
    changes = overrides.parse(words)

    def work(session: Session) -> None:
        overrides.change(session, runtime.accounts, name, changes, actor.name)
        note(session, actor, "accounts set", f"account {name}", words=list(words))

    runtime.db(work)
    wake(runtime, submit_pump(name), poll_pump(name))


def check_credentials(runtime: Runtime, actor: Actor, name: str) -> None:
    """Have a worker check an account's credentials, which costs nothing; one check at a time.

    Raises:
        ForbiddenError: `actor` is not an operator.
        AccountsError: there is no such account.
    """
    actor.need(Role.OPERATOR, "check credentials")
    runtime.account(name)

    def work(session: Session) -> datetime | None:
        asked_at = credential_checks.ask(session, name)
        if asked_at is not None:
            note(session, actor, "accounts check", f"account {name}")
        return asked_at

    asked_at = runtime.db(work)
    if asked_at is not None:
        credential_checks.send(runtime, name, asked_at)


def schedule(runtime: Runtime, actor: Actor, name: str, action: ScheduleAction) -> None:
    """Pause a schedule, resume it, or run it now.

    Raises:
        ForbiddenError: `actor` is not an operator.
        UnknownScheduleError: there is no such schedule.
    """
    actor.need(Role.OPERATOR, f"{action} schedules")
    works: dict[ScheduleAction, Callable[[Session, str], object]] = {
        ScheduleAction.PAUSE: schedules.pause,
        ScheduleAction.RESUME: schedules.resume,
        ScheduleAction.RUN: schedules.run_now,
    }

    def work(session: Session) -> object:
        done = works[action](session, name)
        note(session, actor, f"schedule {action}", f"schedule {name}")
        return done

    done = runtime.db(work)
    if isinstance(done, schedules.AskedRun):
        start(done.id)


def webhook(runtime: Runtime, actor: Actor, number: int, action: WebhookAction) -> None:
    """Switch a webhook off, which gives up its waiting deliveries, or on.

    Raises:
        ForbiddenError: `actor` is not an operator.
        UnknownWebhookError: there is no such webhook.
    """
    actor.need(Role.OPERATOR, f"switch webhooks {action}")

    def work(session: Session) -> None:
        webhooks.find(session, number)
        if action is WebhookAction.OFF:
            deliver.disable(session, number, f"switched off by {actor.name}")
        else:
            webhooks.switch_on(session, number)
        note(session, actor, f"webhooks {action}", f"webhook {number}")

    runtime.db(work)


def retry_deliveries(runtime: Runtime, actor: Actor, number: int, ids: Sequence[uuid.UUID]) -> None:
    """Send a webhook's deliveries now that were given up, or that wait for a later try.

    Raises:
        ForbiddenError: `actor` is not an operator.
        UnknownWebhookError: there is no such webhook.
        DeskError: the webhook is off, or one of the deliveries is not there.
    """
    actor.need(Role.OPERATOR, "send messages to webhooks")

    def work(session: Session) -> int:
        _need_on(session, number)
        if (other := webhooks.foreign(session, number, ids)) is not None:
            raise DeskError(f"delivery: '{other}' is not possible; allowed: what the page of webhook {number} lists")
        queued = webhooks.retry(session, number, ids)
        if queued:
            note(session, actor, "webhooks retry", f"webhook {number}", deliveries=queued)
        return queued

    queued = runtime.db(work)
    if queued:
        wake(runtime, DELIVER_PUMP)


def test_webhook(runtime: Runtime, actor: Actor, number: int, delivery: uuid.UUID) -> None:
    """Have a worker send a test message to a webhook that is on; `delivery` names it, so that it is sent once.

    Raises:
        ForbiddenError: `actor` is not an operator.
        UnknownWebhookError: there is no such webhook.
        DeskError: the webhook is off.
    """
    actor.need(Role.OPERATOR, "send messages to webhooks")

    def work(session: Session) -> bool:
        _need_on(session, number)
        sent = webhooks.send_test(session, number, delivery)
        if sent:
            note(session, actor, "webhooks test", f"webhook {number}")
        return sent

    if runtime.db(work):
        wake(runtime, DELIVER_PUMP)


def _need_on(session: Session, number: int) -> None:
    if webhooks.find(session, number).is_off:
        raise DeskError(f"webhook {number} is off; {hint('webhooks on', number)} switches it on")
