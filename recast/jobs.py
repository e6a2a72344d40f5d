"""The producers' tasks, `swap` and `generate`, with their arguments and results typed.

They are Celery tasks that run on Recast's workers: `delay`, `apply_async`, `s`, `si` and all canvases work. A missing,
misspelled or surplus argument is an error for a type checker and a TypeError at the call; whether its value is
right is the workers' to say, who know the accounts and their options, at `.get()`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from inspect import Parameter, Signature
from typing import Any, ClassVar, Generic, NoReturn, TypedDict, TypeVar, Unpack

from celery import Task, states
from celery.canvas import Signature as TaskSignature
from celery.result import AsyncResult
from kombu.exceptions import OperationalError

from recast import settings
from recast.client import app
from recast.errors import DirectCallError, RecastError, UnreachableError
from recast.names import ARGUMENTS, GENERATE, JOBS_QUEUE, REQUIRED, SWAP
from recast.results import GenerateResult, JobResult, Picture, SwapResult

R = TypeVar("R", bound=JobResult)

#: A path or address, as workers see it; or a job's result, or its JSON, which stands for its first picture.
Source = str | Picture | JobResult | Mapping[str, Any]


class JobOptions(TypedDict, total=False):
    """What any job may be given besides its pictures and its text."""

    #: The account to use, or a provider or an operation whose accounts may be used.
    account: str | None
    provider: str | None
    operation: str | None
    #: Of the operation; see `recast providers`.
    options: Mapping[str, Any] | None
    #: From -100 to 100; higher ones go first.
    priority: int | None
    #: An idempotency key: a second job with the same key shares the first one.
    dedupe_key: str | None
    #: The reference of the release that the person shown has signed; accounts may insist on one.
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
            timeout: seconds; None waits for as long as it takes.
            **options: Celery's, such as `on_interval`.

        Raises:
            InvalidJobError: an argument was wrong.
            JobRejectedError: the picture, the text or an option was refused.
            JobFailedError: the provider, or the way to it, failed.
            celery.exceptions.TaskRevokedError: the job was canceled.
            celery.exceptions.TimeoutError: the time is over; the job goes on.
        """
        value: R = super().get(timeout, **options)
        return value

    def _set_cache(self, d: dict[str, Any]) -> Any:
        # What every way to the result reads, also that of a group.
        if d["status"] == states.SUCCESS and isinstance(d["result"], Mapping):
            d = {**d, "result": self.outcome.read(d["result"])}
        return super()._set_cache(d)


class _SwapAsyncResult(JobAsyncResult[SwapResult]):
    outcome = SwapResult


class _GenerateAsyncResult(JobAsyncResult[GenerateResult]):
    outcome = GenerateResult


class Job(Task, Generic[R]):  # type: ignore[misc]  # celery ships no types
    """Base of `swap` and `generate`: what is common to their sending."""

    abstract = True
    #: Bound to at the first use, so that an import reads no settings.
    _app = app
    ignore_result = False
    typing = False  # arguments are checked here, by names that have no function behind them
    result_class: ClassVar[Any]

    @classmethod
    def bind(cls, app: Any) -> Any:
        """Celery's, once there are settings: without them a task would be left bound by half."""
        _ = app.conf.broker_url
        return super().bind(app)

    def __call__(self, *args: Any, **kwargs: Any) -> NoReturn:  # noqa: ARG002 - Celery's signature
        """Refuse to run in a caller's process."""
        raise DirectCallError(f"{self.name} runs on workers: use {self.name}.delay(...) and .get() the result")

    def apply(self, *args: Any, **kwargs: Any) -> NoReturn:  # noqa: ARG002 - Celery's signature
        """Refuse eager mode: there is no provider, queue or database in it."""
        raise DirectCallError(f"{self.name} cannot run eagerly; for tests without keys start `recast up --sandbox`")

    def signature(
        self,
        args: Iterable[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        options: Any = None,
        **more: Any,
    ) -> TaskSignature:
        """A signature of the task; arguments that a chain or a link passes on may be missing.

        Raises:
            TypeError: an argument is misspelled, surplus or, where nothing is passed on, missing.
        """
        args, kwargs = self._check(args, kwargs, partial=not more.get("immutable"))
        # A worker of another project that sends this, after a task of its own, does not know our queue.
        return TaskSignature(self, args, kwargs, {"queue": JOBS_QUEUE, **(options or {})}, app=self._app, **more)

    def AsyncResult(self, task_id: str, **options: Any) -> JobAsyncResult[R]:  # noqa: N802 - Celery's name
        """The handle of a job that was sent before."""
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
            names = f"the broker at {chosen.place}, which {chosen.named_by} names, or its result store"
            raise UnreachableError(f"{names}, does not answer: {error}") from None
        except RecastError as error:
            # The frames of Celery between would bury the message.
            raise error.with_traceback(None) from None
        return sent

    def _check(
        self, args: Iterable[Any] | None, kwargs: Mapping[str, Any] | None, *, partial: bool = False
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments, once they fit the task, with results of jobs replaced by their pictures."""
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
        """Send the job; its result is waited for with `.get()`.

        Raises:
            TypeError: an argument is missing, misspelled or surplus.
            NotConfiguredError: no broker is named.
            UnreachableError: the broker does not answer.
        """
        return self._send((), _given(source=source, target=target, prompt=prompt, **more), {})

    def apply_async(
        self, args: Iterable[Any] | None = None, kwargs: SwapArguments | None = None, **options: Any
    ) -> JobAsyncResult[SwapResult]:
        """Send the job with Celery's options, such as `link`, `countdown` or `task_id`; errors as of `delay`."""
        return self._send(args, kwargs, options)

    def s(self, *args: Source | None, **kwargs: Unpack[SwapArguments]) -> TaskSignature:
        """A signature; what is missing is passed on by whoever runs it."""
        return self.signature(args, kwargs)

    def si(
        self, source: Source, target: Source, prompt: str | None = None, **more: Unpack[JobOptions]
    ) -> TaskSignature:
        """A signature that takes nothing from whoever runs it."""
        return self.signature((), _given(source=source, target=target, prompt=prompt, **more), immutable=True)


class Generate(Job[GenerateResult]):
    """Make portraits of the face in `image`."""

    name = GENERATE
    result_class = _GenerateAsyncResult

    def delay(
        self, image: Source, prompt: str | None = None, **more: Unpack[JobOptions]
    ) -> JobAsyncResult[GenerateResult]:
        """Send the job; its result is waited for with `.get()`.

        Raises:
            TypeError: an argument is missing, misspelled or surplus.
            NotConfiguredError: no broker is named.
            UnreachableError: the broker does not answer.
        """
        return self._send((), _given(image=image, prompt=prompt, **more), {})

    def apply_async(
        self, args: Iterable[Any] | None = None, kwargs: GenerateArguments | None = None, **options: Any
    ) -> JobAsyncResult[GenerateResult]:
        """Send the job with Celery's options, such as `link`, `countdown` or `task_id`; errors as of `delay`."""
        return self._send(args, kwargs, options)

    def s(self, *args: Source | None, **kwargs: Unpack[GenerateArguments]) -> TaskSignature:
        """A signature; what is missing is passed on by whoever runs it."""
        return self.signature(args, kwargs)

    def si(self, image: Source, prompt: str | None = None, **more: Unpack[JobOptions]) -> TaskSignature:
        """A signature that takes nothing from whoever runs it."""
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
    """By name, because Flower shows them so; None says no more than its absence."""
    return {name: value for name, value in arguments.items() if value is not None}


def _sendable(value: Any) -> Any:
    return value.uri if isinstance(value, Picture | JobResult) else value


_SIGNATURES = {task: _declared(task) for task in ARGUMENTS}

swap = Swap()
generate = Generate()


def _register(sender: Any, **_: Any) -> None:
    for job in (swap, generate):
        sender.tasks.register(job)


app.on_after_finalize.connect(_register)
