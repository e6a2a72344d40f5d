"""What Celery would do inside one worker, for jobs, whose worker is not the producer's: maps, chunks and errbacks.

`swap.starmap(...)`, `map` and `chunks` are groups of jobs: there is no worker that could run them one after the other.
An errback that takes more than the task's id, `f(request, exc, traceback)`, is called in the producer's own worker, by
a task that this module registers in every app; so that worker has to import `recast`, as a module that sends jobs does.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from typing import Any

from celery import group, shared_task
from celery.app.task import Context
from celery.canvas import Signature, maybe_signature
from celery.exceptions import NotRegistered
from celery.signals import before_task_publish
from celery.utils import uuid
from celery.utils.functional import arity_greater, maybe_list
from kombu.utils.functional import fxrange

from recast.names import ARGUMENTS, ERRBACK

#: The arguments of a signature that are signatures themselves: those of groups, chains and chords.
_NESTED = ("tasks", "header", "body")
_GROUP, _CHORD = "celery.group", "celery.chord"
READS = 20  # of a failed task's error, before its errback is called without it
READ_SECONDS = 0.5  # between two of them


class Chunks(group):  # type: ignore[misc]  # celery ships no types
    """A group whose result is, like that of Celery's chunks, a list of lists."""

    size = 1

    @classmethod
    def of(cls, jobs: Iterable[Signature], size: int, app: Any) -> Chunks:
        """The jobs, `size` of them in each list of the result.

        Raises:
            ValueError: `size` is not positive.
        """
        if size < 1:
            raise ValueError(f"chunks of {size} are not possible; use 1 or more")
        made = cls(list(jobs), app=app)
        made.size = size
        return made

    def group(self) -> Chunks:
        """The chunks as a group, which they are already."""
        return self

    def skew(self, start: float = 1.0, stop: float | None = None, step: float = 1.0) -> Chunks:
        """Have each chunk wait longer than the one before, in seconds; those behind `stop` wait as long as it."""
        countdowns = fxrange(start, stop, step, repeatlast=True)
        for chunk in self._parts():
            countdown = next(countdowns)
            for job in chunk:
                job.set(countdown=countdown)
        return self

    def apply_async(self, args: Any = None, kwargs: Any = None, **options: Any) -> Any:
        """Send every job; the result has one group for each chunk."""
        sent = [group(chunk, app=self.app).apply_async(args, kwargs, **options) for chunk in self._parts()]
        return self.app.GroupResult(uuid(), sent)

    def _parts(self) -> Iterator[list[Signature]]:
        jobs = iter(self.tasks)
        while chunk := list(islice(jobs, self.size)):
            yield chunk


@shared_task(name=ERRBACK, bind=True, ignore_result=True)  # type: ignore[untyped-decorator]  # celery ships no types
def call_errback(self: Any, task_id: str, errback: Mapping[str, Any], request: Mapping[str, Any]) -> None:
    """Call an errback with the failed task's request, its error and its traceback, as Celery does in one worker."""
    failed = self.app.AsyncResult(task_id)
    if not failed.ready() and self.request.retries < READS:
        raise self.retry(countdown=READ_SECONDS, max_retries=READS)  # of a chord's body, Celery writes it afterwards
    whose = {**request, "id": task_id, "root_id": self.request.root_id, "parent_id": self.request.parent_id}
    maybe_signature(dict(errback), app=self.app)(Context(whose), failed.result, failed.traceback)


@before_task_publish.connect  # type: ignore[untyped-decorator]
def _carry_errbacks(sender: str = "", body: Any = None, **_: Any) -> None:
    """Have new-style errbacks of jobs called in the producer's worker, wherever in a canvas the jobs are."""
    if not isinstance(body, tuple) or len(body) != 3 or not isinstance(body[2], dict):  # noqa: PLR2004 - Celery's protocol
        return
    args, kwargs, embedded = body
    if sender in ARGUMENTS and embedded.get("errbacks"):
        embedded["errbacks"] = _carried(embedded["errbacks"], sender, args, kwargs)
    for name in ("callbacks", "chain"):
        if embedded.get(name):
            embedded[name] = [_walked(signature) for signature in embedded[name]]
    if embedded.get("chord"):
        embedded["chord"] = _walked(embedded["chord"])
        if sender in ARGUMENTS:
            embedded["chord"] = _told(embedded["chord"])


def _walked(signature: Any) -> Any:
    """The signature with the errbacks of all jobs in it carried; the caller's own is not changed."""
    if isinstance(signature, list | tuple):
        return [_walked(each) for each in signature]
    if not isinstance(signature, Mapping) or "task" not in signature:
        return signature
    name, args = signature["task"], signature.get("args") or ()
    kwargs, options = signature.get("kwargs") or {}, signature.get("options") or {}
    if name in ARGUMENTS and options.get("link_error"):
        options = {**options, "link_error": _carried(options["link_error"], name, args, kwargs)}
    if options.get("link"):
        options = {**options, "link": _walked(maybe_list(options["link"]))}
    nested = {role: _walked(value) for role, value in kwargs.items() if role in _NESTED}
    if name == _CHORD and _has_jobs(nested.get("header")):
        nested["body"] = _told(nested.get("body"))
    return {**signature, "options": options, "kwargs": {**kwargs, **nested}}


def _told(body: Any) -> Any:
    """A chord's body with its errbacks carried: where a job of the header fails, they are called for the body."""
    if not isinstance(body, Mapping) or "task" not in body:
        return body
    args, kwargs, options = body.get("args") or (), body.get("kwargs") or {}, body.get("options") or {}
    if body["task"] == _GROUP:
        kwargs = {**kwargs, "tasks": [_told(each) for each in kwargs.get("tasks") or ()]}
    if options.get("link_error"):
        options = {**options, "link_error": _carried(options["link_error"], body["task"], args, kwargs)}
    return {**body, "kwargs": kwargs, "options": options}


def _has_jobs(signature: Any) -> bool:
    """Whether a job is in a signature, or in a list of them."""
    if isinstance(signature, list | tuple):
        return any(map(_has_jobs, signature))
    if not isinstance(signature, Mapping) or "task" not in signature:
        return False
    kwargs = signature.get("kwargs") or {}
    return signature["task"] in ARGUMENTS or any(_has_jobs(kwargs.get(role)) for role in _NESTED)


def _carried(errbacks: Any, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[Any]:
    request = {"task": name, "args": list(args), "kwargs": dict(kwargs)}
    return [
        Signature(ERRBACK, (), {"errback": dict(each), "request": request}, dict(each.get("options") or {}))
        if _wants_all(each)
        else each
        for each in maybe_list(errbacks)
    ]


def _wants_all(errback: Any) -> bool:
    """Whether the errback takes more than the task's id; unknown here, it is sent on as Celery does."""
    try:
        header = getattr(maybe_signature(errback).type, "__header__", None)
    except NotRegistered:
        return False
    if header is None or isinstance(header, partial):  # of a bound task: Celery gives it the id only
        return False
    given = maybe_signature(errback)
    try:
        if not given.immutable and (given.args or given.kwargs):
            header = partial(header, *given.args, **given.kwargs)
        return bool(arity_greater(header, 1))
    except (TypeError, ValueError):
        return False
