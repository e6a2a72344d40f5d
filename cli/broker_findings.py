"""What `recast doctor` finds about the broker and the result store."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from redis.exceptions import NoPermissionError

from cli.exit_codes import ExitCode
from cli.findings import Finding, State, clock
from recast.address import parse
from workers.config.settings import SettingsError
from workers.engine.runtime import Runtime
from workers.failures import describe
from workers.messaging.app import QUEUES, app
from workers.messaging.broker import UNREADABLE
from workers.messaging.broker_policy import ask, policies
from workers.messaging.claim import claim
from workers.messaging.unfit import check_results

CROWDED = 1_000  # messages in one queue; there are a few for each account


def broker(runtime: Runtime) -> Iterator[Finding]:
    """The broker, whose it is, and the result store if that is another server."""
    yield from _server(runtime)
    yield from _claim(runtime)
    if runtime.settings.result_url not in {None, runtime.settings.broker_url}:
        yield _results()


def _server(runtime: Runtime) -> Iterator[Finding]:
    url = runtime.settings.broker_url
    if url is None:
        yield Finding(
            "broker",
            State.BAD,
            "RECAST_BROKER_URL is not set",
            "set it, for example to redis://127.0.0.1:6379/0",
            ExitCode.USAGE,
        )
        return
    try:
        # As every other process connects: with its TLS, its Sentinel and its prefix of keys.
        with app.connection_for_write(url=parse(url).celery_url) as connection:
            client = connection.channel().client
            broker = ask(client)
            now = _time(client)
            lengths = {queue: int(client.llen(queue)) for queue in QUEUES}
            unacked, unreadable = int(client.hlen("unacked")), int(client.llen(UNREADABLE))
    except Exception as error:  # noqa: BLE001 - any error is the finding
        yield Finding("broker", State.BAD, describe(error), "start Valkey, or correct RECAST_BROKER_URL")
        return
    yield Finding("broker", State.OK, broker.server)
    for item in policies(broker):
        yield Finding(item.name, State(item.state), item.message, item.advice)
    if now is not None:
        yield clock("broker clock", now)
    counted = ", ".join(f"{queue} {number:,}" for queue, number in lengths.items())
    crowded = [queue for queue, number in lengths.items() if number > CROWDED]
    advice = f"start workers that consume {', '.join(crowded)}" if crowded else ""
    yield Finding("queues", State.WARN if crowded else State.OK, f"{counted}; in progress {unacked:,}", advice)
    if unreadable:
        advice = f"read them with `LRANGE {UNREADABLE} 0 9`, find who writes them, then `DEL {UNREADABLE}`"
        yield Finding("unreadable messages", State.WARN, f"{unreadable:,} were set aside", advice)


def _time(client: Any) -> datetime | None:
    """What the broker's clock says; None where this user may not ask."""
    try:
        seconds, micros = client.time()
    except NoPermissionError:
        return None
    return datetime.fromtimestamp(seconds + micros / 1e6, UTC)


def _claim(runtime: Runtime) -> Iterator[Finding]:
    try:
        claim(runtime)
    except SettingsError as error:
        yield Finding("deployment", State.BAD, str(error), "do as it says; workers do not start", ExitCode.USAGE)
    except Exception:  # noqa: BLE001 - the database or the broker, whose own finding says it
        return
    else:
        yield Finding("deployment", State.OK, "the broker is this deployment's own")


def _results() -> Finding:
    try:
        check_results(app)
    except SettingsError as error:
        return Finding("results", State.BAD, str(error), "do as it says; workers do not start", ExitCode.USAGE)
    except Exception as error:  # noqa: BLE001 - any error is the finding
        return Finding("results", State.BAD, describe(error), "start its server, or correct RECAST_RESULT_URL")
    return Finding("results", State.OK, "the result store answers")
