"""The check of what a producer's message asks for: the row that its job becomes, or an error that names the field."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from celery.app.task import Context

from models.jobs import ROLES
from recast.errors import InvalidJobError
from recast.names import ARGUMENTS
from workers.engine.runtime import Runtime
from workers.jobs.fingerprint import fingerprint
from workers.jobs.request import MAX_KEY, MAX_PRIORITY, MIN_PRIORITY, JobRequest, is_storable
from workers.jobs.routing import in_one_form, picture_uri, route
from workers.jobs.run_options import LAST_YEAR
from workers.producers.canvas import keep

LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)  # what expires before has expired


@dataclass(frozen=True, slots=True)
class TaskMessage:
    """What a message says: the task, its arguments by position and by name, and its request."""

    task: str
    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    request: Context


@dataclass(frozen=True, slots=True)
class Checked:
    """A job to be stored, and the task that waits for it."""

    id: str
    #: The job's columns, by name.
    values: Mapping[str, Any]
    canvas: str
    #: The release of the person shown, if the job names one.
    consent: str | None
    #: Whether the task may repeat an earlier one: redelivered, or sent again by a repeated completion notice.
    again: bool


def check(runtime: Runtime, asked: TaskMessage) -> Checked:
    """The job that a message asks for.

    Raises:
        InvalidJobError: naming the field, the value and what is allowed.
    """
    named = arguments(asked.task, asked.args, asked.kwargs)
    request = asked.request
    values = {**values_of(runtime, asked.task, named), "id": request.id, "expires_at": _expires(request.expires)}
    again = bool((request.delivery_info or {}).get("redelivered") or request.parent_id)
    return Checked(str(request.id), values, keep(request), named.get("consent") or None, again)


def values_of(runtime: Runtime, task: str, named: Mapping[str, Any]) -> dict[str, Any]:
    """The columns of the job that arguments of `task` ask for, but its id and its expiry.

    Raises:
        InvalidJobError: naming the field, the value and what is allowed.
    """
    ask = _ask(task, named)
    priority = _priority(named.get("priority"))
    dedupe_key = _key(named.get("dedupe_key"))
    lane = route(ask, runtime.accounts, runtime.reach)
    ask = in_one_form(ask, lane, runtime.accounts)
    return {
        "kind": task,
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
        # As in a catalog, where it is metadata.
        "extra": json.dumps({"consent": ask.consent} if ask.consent else {}),
    }


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
    """The moment, as one that the database can give back in every zone: the rest is always or never."""
    found = datetime.fromisoformat(str(value)) if value is not None and not isinstance(value, datetime) else value
    if found is None or found.year >= LAST_YEAR:
        return None
    return found if found.year >= LONG_AGO.year else LONG_AGO
