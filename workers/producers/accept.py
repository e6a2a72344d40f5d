"""Acceptance of single jobs from producers; catalogs use COPY, see `catalog`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from celery.app.task import Context
from sqlalchemy import text
from sqlalchemy.orm import Session

from models.fragments import columns, parameters
from models.jobs import ASKED, ROLES
from models.states import ANNOUNCED_JOB_STATES
from recast.errors import InvalidJobError
from recast.names import ARGUMENTS
from workers.engine.runtime import Runtime
from workers.engine.wake import submit_pump, wake
from workers.jobs.fingerprint import fingerprint
from workers.jobs.lanes import lane_operation
from workers.jobs.request import MAX_KEY, MAX_PRIORITY, MIN_PRIORITY, JobRequest, is_storable
from workers.jobs.routing import in_one_form, picture_uri, route
from workers.messaging.publish import announce
from workers.producers.canvas import keep
from workers.restore import hold

_COLUMNS = ("id", *ASKED, "lane", "priority", "dedupe_key", "expires_at")
_INSERT = text(f"""
    INSERT INTO jobs ({columns(_COLUMNS)}) VALUES ({parameters(_COLUMNS)}) ON CONFLICT DO NOTHING RETURNING id
""")
_EXISTING = text(
    "SELECT id, fingerprint, state FROM jobs WHERE id = :id OR dedupe_key = :dedupe_key ORDER BY id = :id DESC LIMIT 1"
)
# Celery has just set a redelivered task back to STARTED: if its job has ended, the end is announced once more.
_ANNOUNCE = text("""
    INSERT INTO announcements (task_id, job_id, canvas) VALUES (:task_id, :job_id, :canvas)
    ON CONFLICT (task_id) DO UPDATE SET announced_at = NULL
""")


def arguments(task: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments that a message gave to a producer's task, by name.

    Raises:
        InvalidJobError: they are too many, unknown, or given twice.
    """
    fields = ARGUMENTS[task]
    if len(args) > len(fields):
        raise InvalidJobError("arguments", f"{len(args)} positional arguments; {task} takes {', '.join(fields)}")
    named = dict(zip(fields, args, strict=False))
    for name, value in kwargs.items():
        if name in named:
            raise InvalidJobError(name, "is given twice, by position and by name")
        if name not in fields:
            raise InvalidJobError(name, f"is not an argument of {task}; allowed: {', '.join(fields)}")
        named[name] = value
    return named


def accept(runtime: Runtime, kind: str, arguments: Mapping[str, Any], request: Context) -> str:
    """Commit a producer's job with the completion notice that its task waits for, and wake pumps that can submit it.

    Returns:
        The job's id: the task's own, or that of the job that shares its `dedupe_key`.

    Raises:
        InvalidJobError: nothing was stored.
    """
    ask = _ask(kind, arguments)
    priority = _priority(arguments.get("priority"))
    dedupe_key = _key(arguments.get("dedupe_key"))
    lane = route(ask, runtime.accounts, runtime.reach)
    ask = in_one_form(ask, lane, runtime.accounts)
    values = {
        "id": request.id,
        "kind": kind,
        **{role: getattr(ask, role) for role in ROLES},
        "prompt": ask.prompt,
        "options": json.dumps(ask.options),
        "account": ask.account,
        "provider": ask.provider,
        "operation": ask.operation,
        "lane": lane,
        "priority": priority,
        "dedupe_key": dedupe_key,
        "fingerprint": fingerprint(ask),
        "expires_at": _expires(request.expires),
        # As in a catalog, where it is metadata.
        "extra": json.dumps({"consent": ask.consent} if ask.consent else {}),
    }
    job_id, ended = runtime.db(_insert, runtime, values, request)
    if ended:
        announce((job_id,))
        return job_id
    serving = (account.name for account in runtime.accounts.values() if lane_operation(lane, account))
    wake(runtime, *map(submit_pump, serving))
    return job_id


def _insert(session: Session, runtime: Runtime, values: Mapping[str, Any], request: Context) -> tuple[str, bool]:
    """The job's id, and whether it has ended already."""
    job_id, ended = session.execute(_INSERT, values).scalar_one_or_none(), False
    if job_id is None:
        existing = session.execute(_EXISTING, values).one()
        if existing.fingerprint != values["fingerprint"]:
            raise InvalidJobError(
                "dedupe_key" if existing.id != values["id"] else "task_id",
                f"{values['dedupe_key'] or values['id']!r} belongs to another job with other arguments: {existing.id}",
            )
        job_id, ended = existing.id, existing.state in ANNOUNCED_JOB_STATES
    elif _comes_again(request) and hold.watches(session):
        hold.hold(session, runtime.accounts, runtime.settings.max_attempts, [job_id])
    session.execute(_ANNOUNCE, {"task_id": values["id"], "job_id": job_id, "canvas": keep(request)})
    return str(job_id), ended


def _comes_again(request: Context) -> bool:
    """Whether this task may repeat an earlier one: redelivered, or sent again by a repeated completion notice."""
    return bool((request.delivery_info or {}).get("redelivered") or request.parent_id)


def _ask(kind: str, arguments: Mapping[str, Any]) -> JobRequest:
    options = arguments.get("options")
    if options is not None and not isinstance(options, Mapping):
        raise InvalidJobError("options", f"{options!r} is not a mapping of option names to values")
    named = {name: arguments.get(name) for name in ("prompt", "account", "provider", "operation")}
    for name in ("account", "provider", "operation"):
        if named[name] is not None and not isinstance(named[name], str):
            raise InvalidJobError(name, f"{named[name]!r} is not text; use a name")
    pictures = {role: _picture(role, arguments.get(role)) for role in ROLES}
    return JobRequest(kind=kind, **pictures, **named, options=dict(options or {}), consent=arguments.get("consent"))


def _picture(role: str, value: Any) -> str | None:
    """A picture's URI; another job's result means its first picture, so that jobs can be chained."""
    if isinstance(value, Mapping):
        results = value.get("results")
        if isinstance(results, list) and results and isinstance(results[0], Mapping) and "uri" in results[0]:
            return picture_uri(role, str(results[0]["uri"]))
        raise InvalidJobError(
            role, "is a mapping without a picture; use a path, a URL, or the result of a job that has pictures"
        )
    if value is not None and not isinstance(value, str):
        raise InvalidJobError(role, f"{value!r} is not a path or URL")
    return value and picture_uri(role, value)


def _priority(value: Any) -> int:
    if value is None:
        return 0
    if not isinstance(value, int) or isinstance(value, bool) or not MIN_PRIORITY <= value <= MAX_PRIORITY:
        raise InvalidJobError("priority", f"{value!r} is not allowed; allowed: {MIN_PRIORITY} to {MAX_PRIORITY}")
    return value


def _key(value: Any) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or not value or len(value) > MAX_KEY or not is_storable(value):
        raise InvalidJobError("dedupe_key", f"{value!r} is not allowed; allowed: text of 1 to {MAX_KEY} characters")
    return value


def _expires(value: Any) -> datetime | None:
    if value is None or isinstance(value, datetime):
        return value
    return datetime.fromisoformat(str(value))
