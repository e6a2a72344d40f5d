"""The producers' result store in Redis: it soon reports an unreachable store, and reads results of older workers."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from celery.backends.redis import RedisBackend, ResultConsumer, SentinelBackend

from recast import errors
from recast.errors import UnreachableError

#: How long a send waits for an unreachable store: a restart takes no longer. Waiting for a result has Celery's own
#: limit, 20 s.
SEND_SECONDS = 3.0
TRY_SECONDS = 0.5  # between two tries

#: Former modules of the errors in `recast.errors`; older results name them.
FORMER_MODULES = frozenset({"models.errors"})

#: When a send in this thread gives up, on `time.monotonic`.
_gives_up_at: ContextVar[float | None] = ContextVar("gives_up_at", default=None)


@contextmanager
def _giving_up_soon() -> Iterator[None]:
    token = _gives_up_at.set(time.monotonic() + SEND_SECONDS)
    try:
        yield
    finally:
        _gives_up_at.reset(token)


class _Consumer(ResultConsumer):  # type: ignore[misc]  # celery ships no types
    """Celery's consumer, which gives up soon when a send cannot subscribe to its result."""

    def _reconnect(self) -> None:
        gives_up_at = _gives_up_at.get()
        if gives_up_at is None:
            super()._reconnect()
            return
        error: Exception = TimeoutError("timed out")
        while time.monotonic() < gives_up_at:
            try:
                self._reconnect_pubsub()
            except self._connection_errors as failed:
                error = failed
                time.sleep(TRY_SECONDS)
            else:
                return
        raise UnreachableError(str(error)) from None


class ResultStore(RedisBackend):  # type: ignore[misc]  # celery ships no types
    """Celery's result store in Redis."""

    ResultConsumer = _Consumer

    def on_task_call(self, producer: Any, task_id: str) -> None:
        """Subscribe to a result before its task is sent.

        Raises:
            UnreachableError: the store cannot be reached.
        """
        with _giving_up_soon():
            super().on_task_call(producer, task_id)

    def apply_chord(self, *args: Any, **options: Any) -> None:
        """Prepare a chord's counter before its header is sent.

        Raises:
            UnreachableError: the store cannot be reached.
        """
        with self._named():
            super().apply_chord(*args, **options)

    def set_chord_size(self, group_id: str, chord_size: int) -> None:
        """Say how many tasks a chord waits for, before the last of them is sent.

        Raises:
            UnreachableError: the store cannot be reached.
        """
        with self._named():
            super().set_chord_size(group_id, chord_size)

    def ensure(self, fun: Any, args: Any, **policy: Any) -> Any:
        """Call the store again and again until it answers, while a task is sent for no longer than the send waits."""
        gives_up_at = _gives_up_at.get()
        if gives_up_at is not None:
            policy["timeout"] = max(TRY_SECONDS, gives_up_at - time.monotonic())
        return super().ensure(fun, args, **policy)

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Give up soon, and say which store does not answer."""
        try:
            with _giving_up_soon():
                yield
        except (UnreachableError, *self.connection_errors) as error:
            place = f"the result store at {self.as_uri()}"
            raise UnreachableError(f"{place} does not answer: {error}; check that it is running") from None

    def exception_to_python(self, exc: Any) -> Any:
        """The error that a worker wrote; a former module's name is replaced by the present one.

        Celery searches the loaded modules for the name, and a producer can have a module with the same name.
        """
        if isinstance(exc, Mapping) and exc.get("exc_module") in FORMER_MODULES and hasattr(errors, exc["exc_type"]):
            exc = {**exc, "exc_module": errors.__name__}
        return super().exception_to_python(exc)


class SentinelResultStore(ResultStore, SentinelBackend):  # type: ignore[misc]  # celery ships no types
    """The same behind Sentinel."""
