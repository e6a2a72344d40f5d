"""What operators change by one press: accounts, schedules and webhooks, each with its audit row."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

from sqlalchemy.orm import Session

from desk.actors import Actor
from desk.audit import note
from models.people import Role
from models.states import Closure
from workers.accounts import admission, overrides
from workers.engine.runtime import Runtime
from workers.engine.wake import poll_pump, submit_pump, wake
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
