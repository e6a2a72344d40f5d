"""The metrics for Prometheus at ``/metrics``; docs/metrics.md lists them."""

from __future__ import annotations

import secrets
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from threading import Lock

from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
    SummaryMetricFamily,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector
from pydantic import SecretStr
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session, sessionmaker
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from models.states import AttemptState
from web.guesses import GuessLimiter
from workers.jobs import counters
from workers.observability.metrics import Counter, Snapshot, collect

FRESH_SECONDS = 5.0  # for which one answer serves all scrapers, so that many cost no more than one

_PLACE = ("account", "operation")
_Place = tuple[str, ...]


class Metrics:
    """Answers ``/metrics`` for holders of the token; without a token in the settings it is off, as it shows spend."""

    def __init__(
        self,
        sessions: sessionmaker[Session],
        token: SecretStr | None,
        currency: str,
        clock: Callable[[], float] = time.monotonic,
        guesses: GuessLimiter | None = None,
    ) -> None:
        self._sessions = sessions
        self._token = token
        self._currency = currency
        self._clock = clock
        self._guesses = guesses or GuessLimiter()
        self._lock = Lock()
        self._known: tuple[float, bytes] | None = None

    async def show(self, request: Request) -> Response:
        """The exposition; 404 without a configured token, 401 without the right one, 503 without the database."""
        if self._token is None:
            return PlainTextResponse("metrics are off: set RECAST_METRICS_TOKEN\n", 404)
        given = request.headers.get("authorization", "").removeprefix("Bearer ")
        if not given or not await self._guesses.find(request, given, partial(_same, given, self._token)):
            return PlainTextResponse("wrong token\n", 401, {"WWW-Authenticate": "Bearer"})
        try:
            body = await run_in_threadpool(self._body)
        except SQLAlchemyError:
            return PlainTextResponse("the database does not answer\n", 503)
        return Response(body, media_type=CONTENT_TYPE_LATEST, headers={"Cache-Control": "no-store"})

    def _body(self) -> bytes:
        with self._lock:
            now = self._clock()
            if self._known is None or now - self._known[0] >= FRESH_SECONDS:
                with self._sessions() as session:
                    snapshot = collect(session)
                registry = CollectorRegistry()
                registry.register(_Exposition(snapshot, self._currency))
                self._known = (now, generate_latest(registry))
            return self._known[1]


async def _same(given: str, token: SecretStr) -> bool | None:
    return secrets.compare_digest(given.encode(), token.get_secret_value().encode()) or None


class _Exposition(Collector):
    """A snapshot as Prometheus metrics."""

    def __init__(self, snapshot: Snapshot, currency: str) -> None:
        self._seen = snapshot
        self._currency = currency

    def collect(self) -> Iterator[Metric]:
        """Every metric."""
        seen = self._seen
        yield _gauge("recast_jobs", "Jobs by state.", ("kind", "state"), seen.jobs.items())
        age = {(): seen.oldest_queued or 0.0}
        yield _gauge("recast_oldest_queued_seconds", "Age of the oldest queued job.", (), age.items())
        yield _gauge("recast_in_flight", "Attempts at providers.", ("account", "state"), seen.in_flight.items())
        yield from self._accounts()
        spend = {(*place, self._currency): float(amount) for place, amount in seen.spend.items()}
        yield _gauge(
            "recast_spend", "Committed spend in this period (UTC).", ("account", "period", "currency"), spend.items()
        )
        yield _gauge(
            "recast_unannounced", "Ended jobs whose completion notices were not sent yet.", (), [((), seen.unannounced)]
        )
        lag = {(name,): seconds for name, seconds in seen.lag.items()}
        yield _gauge("recast_pump_lag_seconds", "How long ago a pump should have run.", ("pump",), lag.items())
        yield from self._counted()

    def _accounts(self) -> Iterator[Metric]:
        """Whether accounts accept submissions."""
        accounts = self._seen.accounts
        stopped = {(item.account, item.closed): 1.0 for item in accounts if item.closed is not None}
        failures = {(item.account,): item.failures for item in accounts}
        yield _gauge("recast_account_stopped", "Why an account is stopped.", ("account", "reason"), stopped.items())
        yield _gauge(
            "recast_account_failures", "Failures since the last successful submission.", ("account",), failures.items()
        )

    def _counted(self) -> Iterator[Metric]:
        found: dict[str, list[Counter]] = defaultdict(list)
        for counter in self._seen.counters:
            found[counter.name].append(counter)
        ended, attempts = found[counters.JOBS_ENDED], found[counters.ATTEMPTS_ENDED]
        yield _counter("recast_jobs_ended", "Jobs by how they ended.", ("state", "reason"), ended)
        labels = (*_PLACE, "state", "reason")
        yield _counter("recast_attempts_ended", "Attempts by how they ended.", labels, attempts)
        yield _polls(found[counters.POLLS], attempts)
        yield _latency(found[counters.LATENCY], found[counters.LATENCY_SECONDS])
        rules = found[counters.SWEEP_FOUND]
        yield _counter("recast_sweep_found", "Jobs and pumps that the sweep continued.", ("rule",), rules)
        last = {(counter.labels["rule"],): counter.last_at.timestamp() for counter in rules}
        yield _gauge(
            "recast_sweep_last_found_timestamp_seconds",
            "When the sweep last continued something.",
            ("rule",),
            last.items(),
        )


def _gauge(
    name: str, help_text: str, labels: tuple[str, ...], values: Iterable[tuple[tuple[str, ...], float]]
) -> Metric:
    family = GaugeMetricFamily(name, help_text, labels=labels)
    for place, value in sorted(values):
        family.add_metric(place, value)
    return family


def _counter(name: str, help_text: str, labels: tuple[str, ...], values: list[Counter]) -> Metric:
    family = CounterMetricFamily(name, help_text, labels=labels)
    for counter in values:
        family.add_metric([counter.labels[label] for label in labels], counter.value)
    return family


def _polls(polls: list[Counter], attempts: list[Counter]) -> Metric:
    done: dict[_Place, float] = defaultdict(float)
    for counter in attempts:
        if counter.labels["state"] == AttemptState.DONE:
            done[_place(counter)] += counter.value
    family = SummaryMetricFamily("recast_polls", "Polls of finished attempts.", labels=_PLACE)
    for counter in polls:
        family.add_metric(_place(counter), count_value=int(done[_place(counter)]), sum_value=counter.value)
    return family


def _latency(buckets: list[Counter], sums: list[Counter]) -> Metric:
    found: dict[_Place, dict[float, float]] = defaultdict(dict)
    for counter in buckets:
        found[_place(counter)][float(counter.labels["le"])] = counter.value
    total = {_place(counter): counter.value for counter in sums}
    family = HistogramMetricFamily(
        "recast_provider_latency_seconds", "From a provider's acceptance to its result.", labels=_PLACE
    )
    for place, counts in sorted(found.items()):
        cumulated, sofar = [], 0.0
        for bound in counters.BUCKETS:
            sofar += counts.get(bound, 0.0)
            cumulated.append(("+Inf" if bound == float("inf") else f"{bound:g}", sofar))
        family.add_metric(place, buckets=cumulated, sum_value=total.get(place, 0.0))
    return family


def _place(counter: Counter) -> _Place:
    return tuple(counter.labels[label] for label in _PLACE)
