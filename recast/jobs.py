"""The producers' tasks, `swap` and `generate`, with their arguments and results typed.

They are Celery tasks that run on Recast's workers: `delay`, `apply_async`, `s`, `si` and all canvases work. A missing,
misspelled or surplus argument is an error for a type checker and a TypeError at the call. Workers check the values,
because they know the accounts and their options; `.get()` raises their errors.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from inspect import Parameter, Signature
from typing import Any, ClassVar, Generic, NoReturn, TypedDict, TypeVar, Unpack

from celery import Task, group, states
from celery.canvas import Signature as TaskSignature
from celery.result import AsyncResult
from kombu.exceptions import OperationalError

from recast import settings
from recast.canvas import Chunks
from recast.client import app
from recast.errors import DirectCallError, RecastError, UnreachableError
from recast.hints import hint
from recast.names import ARGUMENTS, GENERATE, JOBS_QUEUE, REQUIRED, SWAP
from recast.results import GenerateResult, JobResult, Picture, SwapResult

R = TypeVar("R", bound=JobResult)

#: A path or address, as workers see it; or a job's result, or its JSON, which means its first picture.
Source = str | Picture | JobResult | Mapping[str, Any]


class JobOptions(TypedDict, total=False):
    """The options of every job, besides its pictures and its text."""

    #: The account to use, or a provider or an operation whose accounts can be used.
    account: str | None
    provider: str | None
    operation: str | None
    #: The operation's options; see `recast providers`.
    options: Mapping[str, Any] | None
    #: From -100 to 100; higher ones go first.
    priority: int | None
    #: An idempotency key: a second job with the same key shares the first one.
    dedupe_key: str | None
    #: The reference of the release that the person shown has signed; accounts can require one.
    consent: str | None


class SwapArguments(JobOptions, total=False):
    """The arguments of `swap`, by name."""

    source: Source
    target: Source
    prompt: str | None


class GenerateArguments(JobOptions, total=False):
    """The arguments of `generate`, by name."""

    image: Source
    prompt: str | None


class JobAsyncResult(AsyncResult, Generic[R]):  # type: ignore[misc]  # celery ships no types
    """Celery's handle of a task that was sent, with a typed result."""

    id: str
    outcome: type[R]

    def get(self, timeout: float | None = None, **options: Any) -> R:
        """Wait for the job's end, and return its result.

        Args:
            timeout: seconds; None waits without limit.
            **options: Celery's, such as `on_interval`.

        Raises:
            InvalidJobError: an argument was not valid.
            JobRejectedError: the picture, the text or an option was rejected.
            JobFailedError: the provider, or the connection to it, failed.
            celery.exceptions.TaskRevokedError: the job was canceled.
            celery.exceptions.TimeoutError: the timeout is over; the job continues.
        """
        value: R = super().get(timeout, **options)
        return value

    def _set_cache(self, d: dict[str, Any]) -> Any:
        # Every reader of a result calls this, groups too.
        if d["status"] == states.SUCCESS and isinstance(d["result"], Mapping):
            d = {**d, "result": self.outcome.read(d["result"])}
        return super()._set_cache(d)


class _SwapAsyncResult(JobAsyncResult[SwapResult]):
    outcome = SwapResult


class _GenerateAsyncResult(JobAsyncResult[GenerateResult]):
    outcome = GenerateResult


class Job(Task, Generic[R]):  # type: ignore[misc]  # celery ships no types
    """Base of `swap` and `generate`, which sends them."""

    abstract = True
    #: Bound at the first use, so that an import reads no settings.
    _app = app
    ignore_result = False
    typing = False  # arguments are checked here, because no function here has their names
    result_class: ClassVar[Any]

    @classmethod
    def bind(cls, app: Any) -> Any:
        """Bind once there are settings: without them, a task would stay half bound."""
        _ = app.conf.broker_url
        return super().bind(app)

    def __call__(self, *args: Any, **kwargs: Any) -> NoReturn:  # noqa: ARG002 - Celery's signature
        """Raise: a job does not run in the caller's process."""
        raise DirectCallError(f"{self.name} runs on workers: use {self.name}.delay(...) and .get() the result")

    def apply(self, *args: Any, **kwargs: Any) -> NoReturn:  # noqa: ARG002 - Celery's signature
        """Raise: eager mode has no provider, queue or database."""
        raise DirectCallError(
            f"{self.name} cannot run eagerly; for tests without keys start {hint('up', sandbox=True)}"
        )

    def signature(
        self,
        args: Iterable[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        options: Any = None,
        **more: Any,
    ) -> TaskSignature:
        """A signature of the task; arguments that a chain or a link passes on can be missing.

        Raises:
            TypeError: an argument is misspelled, surplus or, where nothing is passed on, missing.
        """
        args, kwargs = self._check(args, kwargs, partial=not more.get("immutable"))
        # A worker of another project that sends this, after a task of its own, does not know our queue.
        return TaskSignature(self, args, kwargs, {"queue": JOBS_QUEUE, **(options or {})}, app=self._app, **more)

    #: Celery's other name for it.
    subtask = signature

    def map(self, it: Iterable[Any]) -> group:
        """A group of jobs, one for each first argument.

        Raises:
            TypeError: a job needs more than one argument.
        """
        return group(self._wholes((each,) for each in it), app=self._app)

    def starmap(self, it: Iterable[Iterable[Any]]) -> group:
        """A group of jobs, one for each tuple of arguments; `get` returns a list of results.

        Raises:
            TypeError: a tuple has too few arguments, or too many.
        """
        return group(self._wholes(it), app=self._app)

    def chunks(self, it: Iterable[Iterable[Any]], n: int) -> Chunks:
        """The same as `starmap`; `get` returns lists of `n` results.

        Raises:
            TypeError: as of `starmap`.
            ValueError: `n` is not positive.
        """
        return Chunks.of(self._wholes(it), n, self._app)

    def _wholes(self, rows: Iterable[Iterable[Any]]) -> list[TaskSignature]:
        """Signatures to which nothing is passed on: what is missing would be noticed when others are sent already."""
        return [self.signature(self._check(row, None)[0]) for row in rows]

    def AsyncResult(self, task_id: str, **options: Any) -> JobAsyncResult[R]:  # noqa: N802 - Celery's name
        """The handle of a job that was sent earlier."""
        handle: JobAsyncResult[R] = self.result_class(task_id, backend=self.backend, app=self.app, **options)
        return handle

    def _send(
        self, args: Iterable[Any] | None, kwargs: Mapping[str, Any] | None, options: Mapping[str, Any]
    ) -> JobAsyncResult[R]:
        args, kwargs = self._check(args, kwargs)
        try:
            if self.app.conf.task_always_eager:
                self.apply()
            sent: JobAsyncResult[R] = super().apply_async(args, kwargs, **options)
        except (OperationalError, UnreachableError) as error:
            chosen = settings.read()
            place = f"the broker at {chosen.place} (from {chosen.named_by}) or its result store"
            raise UnreachableError(f"{place} does not answer: {error}; check that it is running") from None
        except RecastError as error:
            # Celery's frames in between would bury the message.
            raise error.with_traceback(None) from None
        return sent

    def _check(
        self, args: Iterable[Any] | None, kwargs: Mapping[str, Any] | None, *, partial: bool = False
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The checked arguments, with results of jobs replaced by their pictures."""
        args = tuple(map(_sendable, args or ()))
        kwargs = {name: _sendable(value) for name, value in (kwargs or {}).items()}
        declared = _SIGNATURES[self.name]
        try:
            (declared.bind_partial if partial else declared.bind)(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{self.name}: {error}") from None
        return args, kwargs


class Swap(Job[SwapResult]):
    """Put the face of `source` onto `target`."""

    name = SWAP
    result_class = _SwapAsyncResult

    def delay(
        self, source: Source, target: Source, prompt: str | None = None, **more: Unpack[JobOptions]
    ) -> JobAsyncResult[SwapResult]:
        """Send the job; wait for its result with `.get()`.

        Raises:
            TypeError: an argument is missing, misspelled or surplus.
            NotConfiguredError: no broker is configured.
            UnreachableError: the broker does not answer.
        """
        return self._send((), _given(source=source, target=target, prompt=prompt, **more), {})

    def apply_async(
        self, args: Iterable[Any] | None = None, kwargs: SwapArguments | None = None, **options: Any
    ) -> JobAsyncResult[SwapResult]:
        """Send the job with Celery's options, such as `link`, `countdown` or `task_id`; errors as of `delay`."""
        return self._send(args, kwargs, options)

    def s(self, *args: Source | None, **kwargs: Unpack[SwapArguments]) -> TaskSignature:
        """A signature; a chain or a link passes on the missing arguments."""
        return self.signature(args, kwargs)

    def si(
        self, source: Source, target: Source, prompt: str | None = None, **more: Unpack[JobOptions]
    ) -> TaskSignature:
        """An immutable signature: a chain or a link passes nothing on."""
        return self.signature((), _given(source=source, target=target, prompt=prompt, **more), immutable=True)


class Generate(Job[GenerateResult]):
    """Make portraits of the face in `image`."""

    name = GENERATE
    result_class = _GenerateAsyncResult

    def delay(
        self, image: Source, prompt: str | None = None, **more: Unpack[JobOptions]
    ) -> JobAsyncResult[GenerateResult]:
        """Send the job; wait for its result with `.get()`.

        Raises:
            TypeError: an argument is missing, misspelled or surplus.
            NotConfiguredError: no broker is configured.
            UnreachableError: the broker does not answer.
        """
        return self._send((), _given(image=image, prompt=prompt, **more), {})

    def apply_async(
        self, args: Iterable[Any] | None = None, kwargs: GenerateArguments | None = None, **options: Any
    ) -> JobAsyncResult[GenerateResult]:
        """Send the job with Celery's options, such as `link`, `countdown` or `task_id`; errors as of `delay`."""
        return self._send(args, kwargs, options)

    def s(self, *args: Source | None, **kwargs: Unpack[GenerateArguments]) -> TaskSignature:
        """A signature; a chain or a link passes on the missing arguments."""
        return self.signature(args, kwargs)

    def si(self, image: Source, prompt: str | None = None, **more: Unpack[JobOptions]) -> TaskSignature:
        """An immutable signature: a chain or a link passes nothing on."""
        return self.signature((), _given(image=image, prompt=prompt, **more), immutable=True)


def _declared(task: str) -> Signature:
    return Signature(
        [
            Parameter(
                name,
                Parameter.POSITIONAL_OR_KEYWORD,
                default=Parameter.empty if name in REQUIRED[task] else None,
            )
            for name in ARGUMENTS[task]
        ]
    )


def _given(**arguments: Any) -> dict[str, Any]:
    """The arguments by name, as Flower shows them; those that are None are left out."""
    return {name: value for name, value in arguments.items() if value is not None}


def _sendable(value: Any) -> Any:
    return value.uri if isinstance(value, Picture | JobResult) else value


_SIGNATURES = {task: _declared(task) for task in ARGUMENTS}

swap = Swap()
generate = Generate()


def _register(sender: Any, **_: Any) -> None:
    for job in (swap, generate):
        sender.tasks.register(job)
        job.bind(sender)  # as `finalize` has done with all others: a worker of this app traces every task that it knows


app.on_after_finalize.connect(_register)
