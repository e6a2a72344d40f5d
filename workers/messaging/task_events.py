"""Task events, which Flower shows: of producers' tasks, and of catalogs' jobs, which have no Celery task.

Celery sends those of producers' tasks, but for the start: that comes when the job is sent to a provider.
Flower keeps its tasks in memory and falls behind at about 2,500 events a second, so of catalogs' jobs only a few are
shown when they end: a sample of the successful ones, unless all are requested, and never more than `JOBS_PER_SECOND`.
Their events come together then, each with the time at which what it tells of happened: queued, sent to a provider,
ended. The truth is in PostgreSQL.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import structlog
from celery import signals
from celery.events import EventDispatcher
from kombu.exceptions import OperationalError
from sqlalchemy import text
from sqlalchemy.orm import Session

from models.batches import SINGLES
from models.fragments import PLACE, columns, last_attempt
from models.jobs import ROLES
from models.states import ANNOUNCED_JOB_STATES, JobState, Reason
from recast.money import Money
from workers.http.exchange import clock
from workers.jobs.state_changes import Moved
from workers.messaging.app import app

JOBS_PER_SECOND = 100.0  # of one worker process; at three events a job, eight of them are what Flower can take
SAMPLED_PER_SECOND = 1.0  # jobs that succeed, where a sample is asked for
BURST_SECONDS = 10.0  # a small batch is shown whole
GATHER_SECONDS = 0.1  # nobody sees in Flower that an event came so much later
EVENTS_AT_ONCE = 500  # in one message, which each of Flower's and of `celery events` gets whole
EVENT_CHARS = 500  # of arguments and results

log = structlog.get_logger()

_hostnames: list[str] = []

_DETAILS = text(f"""
    SELECT j.id, j.kind, j.key, b.name AS batch, {columns(ROLES, "j")}, j.state, j.reason, j.error,
        {PLACE}, last.cost,
        extract(epoch FROM j.created_at)::float8 AS created, extract(epoch FROM j.started_at)::float8 AS started,
        extract(epoch FROM coalesce(j.finished_at, clock_timestamp()))::float8 AS finished
    FROM jobs j JOIN batches b ON b.id = j.batch_id
    LEFT JOIN LATERAL {last_attempt("j.id", "account, operation, cost")} last ON true
    WHERE j.id = ANY(:ids) ORDER BY j.seq
""")


@signals.celeryd_init.connect  # type: ignore[untyped-decorator]
def _remember_hostname(sender: str, **_: Any) -> None:
    _hostnames[:] = [sender]


class Bucket:
    """How many more may pass: `rate` a second, and what was saved up in `BURST_SECONDS`."""

    def __init__(self, rate: float, now: Callable[[], float]) -> None:
        self._rate, self._now = rate, now
        self._tokens, self._at = rate * BURST_SECONDS, now()

    def take(self, wanted: int) -> int:
        """As many of `wanted` as may pass now."""
        now = self._now()
        self._tokens = min(self._rate * BURST_SECONDS, self._tokens + (now - self._at) * self._rate)
        self._at = now
        granted = min(wanted, int(self._tokens))
        self._tokens -= granted
        return granted


class Sampler:
    """Chooses the jobs that are shown; one for each worker process.

    Args:
        mode: ``sample`` (what failed, and of the rest a few), ``all`` or ``off``.
        now: seconds on a clock that only runs forward.
    """

    def __init__(self, mode: str, now: Callable[[], float] = clock) -> None:
        self._mode = mode
        self._all = Bucket(JOBS_PER_SECOND, now)
        self._good = Bucket(JOBS_PER_SECOND if mode == "all" else SAMPLED_PER_SECOND, now)

    def choose(self, moves: Sequence[Moved]) -> list[str]:
        """The ids of those to show; what went wrong goes first."""
        if self._mode == "off":
            return []
        ended = [move for move in moves if move.batch_id != SINGLES and move.now in ANNOUNCED_JOB_STATES]
        bad = [move.job_id for move in ended if move.now is not JobState.SUCCEEDED]
        good = [move.job_id for move in ended if move.now is JobState.SUCCEEDED]
        shown = bad[: self._all.take(len(bad))]
        return shown + good[: self._all.take(self._good.take(len(good)))]


class Later:
    """Sends what a consumer's dispatcher has gathered, soon and together; Celery's own sends it at once, one by one."""

    def __init__(self, consumer: Any) -> None:
        self._consumer = consumer
        self._expected = False

    def __call__(self) -> None:
        """Have what is gathered sent within `GATHER_SECONDS`."""
        if not self._expected:
            self._expected = True
            self._consumer.timer.call_after(GATHER_SECONDS, self._send)

    def _send(self) -> None:
        self._expected = False
        if self._consumer.event_dispatcher:
            self._consumer.event_dispatcher.flush()


def gather(consumer: Any) -> None:
    """Have a consumer's task events sent together."""
    found = consumer.event_dispatcher
    if found is not None and found.buffer_group and not isinstance(found.on_send_buffered, Later):
        found.buffer_limit = EVENTS_AT_ONCE
        found.on_send_buffered = Later(consumer)


@contextmanager
def dispatcher(hostname: str) -> Iterator[EventDispatcher]:
    """Sends task events, those of the block as one message."""
    with app.amqp.producer_pool.acquire(block=True) as producer:
        found = app.events.Dispatcher(
            producer.connection,
            hostname=hostname,
            channel=producer.channel,
            buffer_group=("task",),
            buffer_limit=EVENTS_AT_ONCE,
        )
        with found:
            yield found
            found.flush()


def show(session: Session, job_ids: Sequence[str], currency: str) -> None:
    """Send the events of these jobs, which have ended; where no worker runs they are lost."""
    if _hostnames:
        rows = session.execute(_DETAILS, {"ids": list(job_ids)}).all()
        _send([event for row in rows for event in _history(row, currency)])


def show_starts(sent: Sequence[tuple[str, datetime]]) -> None:
    """Send when the jobs of these producers' tasks were sent to a provider; where no worker runs that is lost."""
    if _hostnames:
        _send([("task-started", {"uuid": task_id, "timestamp": at.timestamp()}) for task_id, at in sent])


def _send(events: Sequence[tuple[str, dict[str, Any]]]) -> None:
    """Send events as one message; where the broker is unavailable they are lost."""
    try:
        with dispatcher(_hostnames[0]) as sender:
            for kind, fields in events:
                sender.send(kind, **fields)
    except OperationalError as error:
        log.warning("events_not_sent", events=len(events), error=str(error))


def _history(row: Any, currency: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """What happened to a job, each with its own time."""
    arguments = {name: getattr(row, name) for name in _ARGUMENTS if getattr(row, name)}
    told = {"name": row.kind, "args": "()", "kwargs": _short(arguments)}
    yield "task-received", {"uuid": row.id, "timestamp": row.created, **told}
    if row.started is not None:
        yield "task-started", {"uuid": row.id, "timestamp": row.started}
    kind, fields = _ending(row, currency)
    runtime = round(row.finished - (row.started or row.created), 3)
    yield kind, {"uuid": row.id, "timestamp": row.finished, "runtime": runtime, **fields}


_ARGUMENTS = ("batch", "key", "account", "operation", *ROLES)


def _ending(row: Any, currency: str) -> tuple[str, dict[str, Any]]:
    if row.state == JobState.SUCCEEDED:
        return "task-succeeded", {"result": f"{row.operation} at {row.account}, {Money(row.cost, currency)}"}
    if row.state == JobState.CANCELED:
        return "task-revoked", {"terminated": False, "signum": None, "expired": row.reason == Reason.EXPIRED}
    said = f"{row.state} ({row.reason}): {row.error or 'no reason was recorded'}"
    return "task-failed", {"exception": said[:EVENT_CHARS], "traceback": ""}


def _short(arguments: dict[str, Any]) -> str:
    return repr(arguments)[:EVENT_CHARS]
