"""``/metrics`` for Prometheus; docs/metrics.md lists what it tells."""

from __future__ import annotations

import secrets
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
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
from workers.jobs import counters
from workers.observability.metrics import Snapshot, Tally, collect

FRESH_SECONDS = 5.0  # an answer serves every scraper for so long, so that many of them cost no more than one

_PLACE = ("account", "operation")
_Place = tuple[str, ...]


class Metrics:
    """Answers ``/metrics`` to whoever has the token; without one it is not there, since it tells what is spent."""

    def __init__(
        self,
        sessions: sessionmaker[Session],
        token: SecretStr | None,
        currency: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sessions = sessions
        self._token = token
        self._currency = currency
        self._clock = clock
        self._lock = Lock()
        self._known: tuple[float, bytes] | None = None

    async def show(self, request: Request) -> Response:
        """The exposition; 404 without a configured token, 401 without the right one, 503 without the database."""
        if self._token is None:
            return PlainTextResponse("metrics are off: set RECAST_METRICS_TOKEN\n", 404)
        given = request.headers.get("authorization", "").removeprefix("Bearer ")
        if not secrets.compare_digest(given.encode(), self._token.get_secret_value().encode()):
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


class _Exposition(Collector):
    """A snapshot in Prometheus' words."""

    def __init__(self, snapshot: Snapshot, currency: str) -> None:
        self._seen = snapshot
        self._currency = currency

    def collect(self) -> Iterator[Metric]:
        """Every metric."""
        seen = self._seen
        yield _gauge("recast_jobs", "Jobs by state.", ("kind", "state"), seen.jobs.items())
        age = {(): seen.oldest_queued or 0.0}
        yield _gauge("recast_oldest_queued_seconds", "Age of the queued job that came in first.", (), age.items())
        yield _gauge("recast_in_flight", "Attempts at providers.", ("account", "state"), seen.in_flight.items())
        open_ = {(gate.account,): float(gate.closed is None) for gate in seen.gates}
        yield _gauge("recast_gate_open", "Whether an account takes submissions.", ("account",), open_.items())
        closed = {(gate.account, gate.closed): 1.0 for gate in seen.gates if gate.closed is not None}
        yield _gauge("recast_gate_closed", "Why an account takes none.", ("account", "reason"), closed.items())
        failures = {(gate.account,): gate.failures for gate in seen.gates}
        yield _gauge("recast_gate_failures", "Failures since a submission got through.", ("account",), failures.items())
        spend = {(*place, self._currency): float(amount) for place, amount in seen.spend.items()}
        yield _gauge(
            "recast_spend", "Money promised in this period (UTC).", ("account", "period", "currency"), spend.items()
        )
        yield _gauge("recast_unannounced", "Ends that waiting tasks have not heard of.", (), [((), seen.unannounced)])
        lag = {(name,): seconds for name, seconds in seen.lag.items()}
        yield _gauge("recast_pump_lag_seconds", "How long ago a pump should have run.", ("pump",), lag.items())
        yield from self._tallied()

    def _tallied(self) -> Iterator[Metric]:
        found: dict[str, list[Tally]] = defaultdict(list)
        for tally in self._seen.tallies:
            found[tally.name].append(tally)
        ended, attempts = found[counters.JOBS_ENDED], found[counters.ATTEMPTS_ENDED]
        yield _counter("recast_jobs_ended", "Jobs by how they ended.", ("state", "reason"), ended)
        labels = (*_PLACE, "state", "reason")
        yield _counter("recast_attempts_ended", "Attempts by how they ended.", labels, attempts)
        yield _polls(found[counters.POLLS], attempts)
        yield _latency(found[counters.LATENCY], found[counters.LATENCY_SECONDS])
        rules = found[counters.SWEEP_FOUND]
        yield _counter("recast_sweep_found", "What the sweep set going again.", ("rule",), rules)
        last = {(tally.labels["rule"],): tally.last_at.timestamp() for tally in rules}
        yield _gauge("recast_sweep_last_found_timestamp_seconds", "When it last did.", ("rule",), last.items())


def _gauge(name: str, told: str, labels: tuple[str, ...], values: Iterable[tuple[tuple[str, ...], float]]) -> Metric:
    family = GaugeMetricFamily(name, told, labels=labels)
    for place, value in sorted(values):
        family.add_metric(place, value)
    return family


def _counter(name: str, told: str, labels: tuple[str, ...], values: list[Tally]) -> Metric:
    family = CounterMetricFamily(name, told, labels=labels)
    for tally in values:
        family.add_metric([tally.labels[label] for label in labels], tally.value)
    return family


def _polls(polls: list[Tally], attempts: list[Tally]) -> Metric:
    done: dict[_Place, float] = defaultdict(float)
    for tally in attempts:
        if tally.labels["state"] == AttemptState.DONE:
            done[_place(tally)] += tally.value
    family = SummaryMetricFamily("recast_polls", "Polls of finished attempts.", labels=_PLACE)
    for tally in polls:
        family.add_metric(_place(tally), count_value=int(done[_place(tally)]), sum_value=tally.value)
    return family


def _latency(buckets: list[Tally], sums: list[Tally]) -> Metric:
    found: dict[_Place, dict[float, float]] = defaultdict(dict)
    for tally in buckets:
        found[_place(tally)][float(tally.labels["le"])] = tally.value
    total = {_place(tally): tally.value for tally in sums}
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


def _place(tally: Tally) -> _Place:
    return tuple(tally.labels[label] for label in _PLACE)
