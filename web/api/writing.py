"""Changing what costs nothing: verdicts, cancel, pause and resume, accounts."""

from __future__ import annotations

from dataclasses import asdict, replace
from http import HTTPStatus
from typing import Any

from sqlalchemy.orm import Session

from desk import bulk_operations
from desk.audit import note
from desk.bulk_operations import BulkOperation
from desk.verdicts import Area, Decision, judge
from models.states import Closure, JobState
from reports import documents
from reports.selection import resolved
from web.api.endpoints import Call, Service, Work, result_of
from web.api.problems import ProblemError, unprocessable
from workers.accounts import admission, overrides
from workers.config.account_values import AccountsError
from workers.config.units import duration
from workers.engine.wake import poll_pump, submit_pump, wake
from workers.jobs.filters import ids_of


def verdict(service: Service, call: Call) -> dict[str, Any]:
    """Record a verdict about a picture."""
    asked, result_id = call.body, result_of(call)
    area = None if asked.area is None else Area(**asked.area.model_dump())
    decided = service.runtime.db(
        judge, call.actor, result_id, Decision(asked.verdict, asked.reasons, asked.note, area),
        based_on=asked.based_on, known_reasons=service.runtime.settings.review_reasons,
    )  # fmt: skip
    return asdict(decided)


def bulk_operation(which: BulkOperation) -> Work:
    """The work of an operation on many jobs."""

    def work(service: Service, call: Call) -> dict[str, Any]:
        asked, runtime = call.body, service.runtime
        abandon = getattr(asked, "abandon", False)
        chosen = runtime.db(resolved, asked.filter.named(), asked.filter.jobs or ())
        found = bulk_operations.impact(runtime, which, chosen, abandon=abandon)
        done, more = (0, {}) if asked.dry_run else bulk_operations.apply(
            runtime, call.actor, which, chosen, found, abandon=abandon
        )  # fmt: skip
        return found.document(which.value, service.currency, dry_run=asked.dry_run, done=done, **more)

    return work


def priority(service: Service, call: Call) -> dict[str, Any]:
    """Set the priority of queued jobs."""
    asked, runtime = call.body, service.runtime
    chosen = runtime.db(resolved, asked.filter.named(), asked.filter.jobs or ())
    ids = runtime.db(ids_of, replace(chosen, states=[JobState.QUEUED]))
    found = bulk_operations.Impact(ids, bulk_operations.at_most_of(runtime, ids))
    done = 0 if asked.dry_run else bulk_operations.set_priority(runtime, call.actor, chosen, found, asked.priority)
    return found.document("set-priority", service.currency, dry_run=asked.dry_run, done=done)


def reroute(service: Service, call: Call) -> dict[str, Any]:
    """Send queued jobs to another account, where that makes none of them dearer."""
    asked, runtime = call.body, service.runtime
    if asked.to not in runtime.accounts:
        allowed = ", ".join(runtime.accounts)
        raise unprocessable(f"to: {asked.to[:80]!r} is not there; allowed: {allowed}", "to", asked.to, allowed)
    chosen = runtime.db(resolved, asked.filter.named(), asked.filter.jobs or ())
    moved, found = bulk_operations.reroute(
        runtime, call.actor, chosen, runtime.accounts[asked.to], dry_run=asked.dry_run
    )  # fmt: skip
    done = 0 if asked.dry_run else len(moved.ids)
    return found.document(
        "reroute", service.currency, dry_run=asked.dry_run, done=done, problems=dict(moved.problems)
    )  # fmt: skip


def account(service: Service, call: Call) -> dict[str, Any]:
    """Stop or start an account, or change its limits."""
    asked, runtime, name = call.body, service.runtime, call.path["name"]
    if name not in runtime.accounts:
        allowed = ", ".join(runtime.accounts)
        raise ProblemError(HTTPStatus.NOT_FOUND, f"account: {name[:80]!r} is not there; allowed: {allowed}",
                           "account", name, allowed)  # fmt: skip
    if (asked.lasting is not None or asked.note is not None) and not asked.stopped:
        raise unprocessable("stopped: lasting and note belong to a stop", "stopped", asked.stopped, "true")
    try:
        runtime.db(_change, service, call)
    except AccountsError as error:
        raise unprocessable(str(error), "limits", allowed=str(error).partition("allowed: ")[2] or None) from None
    wake(runtime, submit_pump(name), poll_pump(name))
    (status,) = runtime.db(documents.statuses_of, (runtime.accounts[name],))
    return documents.of_account(status)


def _change(session: Session, service: Service, call: Call) -> None:
    """Everything that is asked for, in one transaction."""
    asked, name, accounts = call.body, call.path["name"], service.runtime.accounts
    if asked.reset:
        overrides.drop(session, name)
        note(session, call.actor, "accounts reset", f"account {name}")
    if asked.limits:
        words = [f"{key}={overrides.NOTHING if value is None else value}" for key, value in asked.limits.items()]
        overrides.change(session, accounts, name, overrides.parse(words), call.actor.name)
        note(session, call.actor, "accounts set", f"account {name}", limits=sorted(asked.limits))
    if asked.stopped:
        if asked.lasting is None:
            admission.stop(session, name, Closure.PAUSED, asked.note)
        else:
            admission.stop_for(session, name, Closure.PAUSED, duration(asked.lasting), asked.note)
        note(session, call.actor, "accounts pause", f"account {name}")
    elif asked.stopped is False:
        admission.resume(session, name)
        note(session, call.actor, "accounts resume", f"account {name}")
