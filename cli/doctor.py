"""`recast doctor`: looks at everything a deployment needs, and says of each thing that is wrong what to do."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from enum import StrEnum
from importlib.metadata import version
from typing import Any

import typer
from redis import Redis

import migrations
from cli.accounts import credentials
from cli.environment import JsonOption, SandboxOption, looking
from cli.output import Code, Style, duration, emit, say
from models.connection import server
from models.states import LASTING_CLOSURES, JobState
from providers import http
from workers.config.accounts import AccountsError, load
from workers.engine.runtime import Runtime
from workers.failures import describe
from workers.messaging.app import QUEUES
from workers.observability.health import judge
from workers.observability.metrics import Snapshot, collect

CLOCK_SECONDS = 5.0  # apart: links expire and tokens are renewed by the local clock, leases by the database's
LAG_SECONDS = 60.0  # a pump this late has nobody who wakes or runs it
CROWDED = 1_000  # messages in one queue; there are a few for each account
PROBE_SECONDS = 5.0


class State(StrEnum):
    """How one thing stands."""

    OK = "ok"
    WARN = "warn"
    BAD = "bad"


_STYLES = {State.OK: Style.GOOD, State.WARN: Style.WAITING, State.BAD: Style.BAD}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    name: str
    state: State
    message: str
    #: What to do; empty when all is well.
    advice: str = ""
    #: The exit code that it asks for where it is bad.
    code: Code = Code.INFRASTRUCTURE


def doctor(*, sandbox: SandboxOption = False, as_json: JsonOption = False) -> None:
    """Look at everything this deployment needs: ok, warn or bad, and what to do.

    Exit codes: 0 nothing is bad, 2 a setting or a credential is, 4 something does not answer.
    """
    with looking(sandbox=sandbox, with_sandbox=True) as runtime:
        found = list(examine(runtime))
    if as_json:
        emit({"ok": not any(item.state is State.BAD for item in found), "findings": [asdict(item) for item in found]})
    else:
        width = max(len(item.name) for item in found)
        for item in found:
            say(f"{item.state:<4} {item.name:<{width}}  {item.message}", style=_STYLES[item.state])
            if item.advice:
                say(f"     {'':<{width}}  -> {item.advice}")
    codes = {item.code for item in found if item.state is State.BAD}
    if codes:
        raise typer.Exit(max(codes))


def examine(runtime: Runtime) -> Iterator[Finding]:
    """Look at one thing after the other; what depends on something that is bad is left out."""
    yield Finding("versions", State.OK, f"Recast {version('recast')}, Python {platform.python_version()}")
    yield from _settings(runtime)
    yield from _storage(runtime)
    yield from _public_url(runtime)
    yield from _heartbeats(runtime)
    accounts_file, database = _accounts_file(runtime), list(_database(runtime))
    yield accounts_file
    yield from database
    yield from _broker(runtime)
    if any(item.state is State.BAD for item in database):
        return
    seen = runtime.db(collect)
    yield from _work(seen)
    if accounts_file.state is State.OK and runtime.settings.secret_key is not None:
        yield from _accounts(runtime, seen)


def _settings(runtime: Runtime) -> Iterator[Finding]:
    if runtime.settings.secret_key is None:
        advice = "set RECAST_SECRET_KEY to 32 random characters, the same for every process"
        yield Finding("secret key", State.BAD, "not set: no worker starts", advice, Code.USAGE)
    else:
        yield Finding("secret key", State.OK, "set")


def _storage(runtime: Runtime) -> Iterable[Finding]:
    def write() -> None:
        runtime.storage.check_writable()

    return _guarded("storage", write, f"{runtime.settings.storage} is writable", "correct RECAST_STORAGE_URL")


def _accounts_file(runtime: Runtime) -> Finding:
    path = runtime.settings.accounts_file
    try:
        found = load(path)
    except AccountsError as error:
        return Finding("accounts file", State.BAD, str(error), "correct it; no worker starts with it", Code.USAGE)
    return Finding("accounts file", State.OK, f"{path}: {', '.join(found)}")


def _public_url(runtime: Runtime) -> Iterator[Finding]:
    url = runtime.settings.public_url
    if url is None:
        advice = "set RECAST_PUBLIC_URL to where `recast web` is reached from outside, if a provider fetches by URL"
        yield Finding("public url", State.WARN, "not set: local pictures cannot be fetched, nobody calls back", advice)
        return

    def ask() -> None:
        http.get(f"{url}/healthz", timeout=PROBE_SECONDS).raise_for_status()

    yield from _guarded("public url", ask, f"{url} answers", f"is `recast web` running, and reached by {url}?")


def _heartbeats(runtime: Runtime) -> Iterator[Finding]:
    files = sorted((runtime.settings.home / "health").glob("*.json"))
    for path in files:
        verdict = judge(path)
        name = f"heartbeat {path.stem}"
        if verdict.healthy:
            yield Finding(name, State.OK, f"{verdict.age or 0:.0f} s old")
        else:
            advice = f"see its log; if it is gone for good, remove {path}"
            yield Finding(name, State.BAD, "; ".join(verdict.reasons), advice)
    if not files:
        yield Finding("heartbeats", State.WARN, "none on this machine", "start `recast worker` and `recast beat`")


def _database(runtime: Runtime) -> Iterator[Finding]:
    try:
        number, now = runtime.db(server)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is what is to be told
        yield Finding("database", State.BAD, describe(error), "start PostgreSQL, or correct RECAST_DATABASE_URL")
        return
    yield Finding("database", State.OK, f"PostgreSQL {number}")
    yield _clock("database clock", now)
    differences = migrations.differences(runtime.engine)
    if differences:
        yield Finding("migrations", State.BAD, "; ".join(differences), "run `recast db upgrade`")
    else:
        yield Finding("migrations", State.OK, "the schema is what this version needs")


def _clock(name: str, now: datetime) -> Finding:
    apart = abs((datetime.now(UTC) - now).total_seconds())
    if apart > CLOCK_SECONDS:
        advice = "have both machines keep their time by NTP"
        return Finding(name, State.WARN, f"{duration(apart)} apart from this machine's", advice)
    return Finding(name, State.OK, f"{apart:.1f} s apart from this machine's")


def _broker(runtime: Runtime) -> Iterator[Finding]:
    url = runtime.settings.broker_url
    if url is None:
        yield Finding("broker", State.BAD, "RECAST_BROKER_URL is not set", "set it", Code.USAGE)
        return
    client: Any = None
    try:
        client = Redis.from_url(url, socket_timeout=PROBE_SECONDS, socket_connect_timeout=PROBE_SECONDS)
        info = client.info("server")
        seconds, micros = client.time()
        lengths = {queue: int(client.llen(queue)) for queue in QUEUES}
        unacked = int(client.hlen("unacked"))
    except Exception as error:  # noqa: BLE001 - whatever it is, it is what is to be told
        yield Finding("broker", State.BAD, describe(error), "start Valkey, or correct RECAST_BROKER_URL")
        return
    finally:
        if client is not None:
            with suppress(Exception):
                client.close()
    number = info.get("valkey_version") or info.get("redis_version")
    yield Finding("broker", State.OK, f"{info.get('server_name', 'redis').capitalize()} {number}")
    yield _clock("broker clock", datetime.fromtimestamp(seconds + micros / 1e6, UTC))
    told = ", ".join(f"{queue} {number:,}" for queue, number in lengths.items())
    crowded = [queue for queue, number in lengths.items() if number > CROWDED]
    advice = f"{', '.join(crowded)}: are workers running that consume it?" if crowded else ""
    yield Finding("queues", State.WARN if crowded else State.OK, f"{told}; being worked on {unacked:,}", advice)


def _work(seen: Snapshot) -> Iterator[Finding]:
    late = {pump: seconds for pump, seconds in seen.lag.items() if seconds > LAG_SECONDS}
    if late:
        told = ", ".join(f"{pump} {duration(seconds)}" for pump, seconds in sorted(late.items()))
        yield Finding(
            "pumps", State.WARN, f"late: {told}", "start `recast worker` and `recast beat`, or see their logs"
        )
    else:
        yield Finding("pumps", State.OK, "none is late")
    if seen.unannounced:
        advice = "the sweep sends them again; is `recast beat` running?"
        yield Finding("announcements", State.WARN, f"{seen.unannounced:,} ends not announced yet", advice)
    held = sum(number for (_, state), number in seen.jobs.items() if state == JobState.HELD)
    if held:
        yield Finding("held jobs", State.WARN, f"{held:,} wait for a person", "`recast resolve` lists them")


def _accounts(runtime: Runtime, seen: Snapshot) -> Iterator[Finding]:
    gates = {gate.account: gate for gate in seen.gates}
    for account in runtime.accounts.values():
        gate = gates.get(account.name)
        if gate is not None and gate.closed is not None:
            lasting = gate.closed in LASTING_CLOSURES
            advice = f"`recast accounts open {account.name}` once that is settled" if lasting else "it opens by itself"
            yield Finding(f"gate {account.name}", State.WARN, f"closed: {gate.closed}", advice)
        verdict, message = credentials(runtime, account)
        name = f"credentials {account.name}"
        if verdict == "refused":
            yield Finding(name, State.BAD, message, "correct them in the accounts file's sources", Code.USAGE)
        elif verdict == "silent":
            yield Finding(name, State.BAD, message, f"is {account.base_url} right, and reachable from here?")
        else:
            yield Finding(name, State.OK, message)


def _guarded(name: str, work: Callable[[], object], well: str, advice: str) -> Iterable[Finding]:
    try:
        work()
    except Exception as error:  # noqa: BLE001 - whatever it is, it is what is to be told
        return [Finding(name, State.BAD, describe(error), advice)]
    return [Finding(name, State.OK, well)]
