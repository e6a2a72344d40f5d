"""`recast doctor`: checks of everything a deployment needs, with advice for each problem."""

from __future__ import annotations

import asyncio
import os
import platform
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from importlib.metadata import version

import typer

import migrations
from cli.accounts import statuses_of
from cli.broker_findings import broker
from cli.deployment import open_deployment
from cli.environment import JsonOption, SandboxOption
from cli.exit_codes import ExitCode
from cli.findings import STYLES, Finding, State, clock, finding_of
from cli.output import emit, say, waiting_for_decision
from cli.progress import LISTED_BATCHES, stops_of
from cli.sign_on import sign_on
from models.accounts import CredentialVerdict
from models.availability import remedy
from models.connection import Server, server
from models.states import JobState
from recast.hints import hint
from reports import signs
from reports.batch import recent
from workers.config.account_values import AccountsError
from workers.config.accounts import load
from workers.config.settings import Settings, SettingsError
from workers.engine.looks import own_hosts
from workers.engine.runtime import Runtime
from workers.failures import describe
from workers.http.client import build_client
from workers.http.ssrf import Guard
from workers.http.transport import proxies
from workers.images.download import look
from workers.observability.metrics import Snapshot, collect
from workers.operations.credential_checks import credentials

CERTIFICATE_ENDS = timedelta(days=30)  # the time that an authority may take to renew one


def doctor(*, sandbox: SandboxOption = False, as_json: JsonOption = False) -> None:
    """Check what this deployment needs and say how to fix it.

    Exit codes: 0 nothing is bad; 2 a setting or a credential is wrong; 4 a service does not answer.
    """
    with open_deployment(sandbox=sandbox, with_sandbox=True) as runtime:
        found = list(examine(runtime))
    if as_json:
        emit({"ok": not any(item.state is State.BAD for item in found), "findings": [asdict(item) for item in found]})
    else:
        width = max(len(item.name) for item in found)
        for item in found:
            say(f"{item.state:<4} {item.name:<{width}}  {item.message}", style=STYLES[item.state])
            if item.advice:
                say(f"     {'':<{width}}  -> {item.advice}")
    codes = {item.code for item in found if item.state is State.BAD}
    if codes:
        raise typer.Exit(max(codes))


def examine(runtime: Runtime) -> Iterator[Finding]:
    """Run one check after another; checks that depend on a failed one are left out."""
    yield Finding("versions", State.OK, f"Recast {version('recast-server')}, Python {platform.python_version()}")
    yield from _settings(runtime)
    yield from _certificate(runtime)
    yield from _storage(runtime)
    yield from _public_url(runtime)
    yield from _proxies()
    yield from sign_on(runtime.settings)
    yield from _heartbeats(runtime)
    accounts_file, database = _accounts_file(runtime), list(_database(runtime))
    yield accounts_file
    yield from database
    yield from broker(runtime)
    if any(item.state is State.BAD for item in database):
        return
    seen = runtime.db(collect)
    yield from _work(seen)
    yield from _batches(runtime)
    if accounts_file.state is State.OK and runtime.settings.secret_key is not None:
        yield from _accounts(runtime)


def _settings(runtime: Runtime) -> Iterator[Finding]:
    if runtime.settings.secret_key is None:
        advice = "set RECAST_SECRET_KEY to 32 random characters, the same for every process"
        yield Finding(
            "secret key",
            State.BAD,
            "RECAST_SECRET_KEY is not set; workers do not start without it",
            advice,
            ExitCode.USAGE,
        )
    else:
        yield Finding("secret key", State.OK, "set")


def _storage(runtime: Runtime) -> Iterable[Finding]:
    def write() -> None:
        runtime.storage.check_writable()

    return finding_of("storage", write, f"{runtime.settings.storage} is writable", "correct RECAST_STORAGE_URL")


def _certificate(runtime: Runtime) -> Iterator[Finding]:
    """A certificate that signs a picture now, if there is one at all."""
    if runtime.settings.c2pa_certificate is None:
        return
    try:
        signer = runtime.signer
        assert signer is not None
    except SettingsError as error:
        advice = "correct RECAST_C2PA_CERTIFICATE and its key, or unset both; workers do not start before that"
        yield Finding("certificate", State.BAD, str(error), advice, ExitCode.USAGE)
        return
    left = signer.until - datetime.now(UTC)
    message = f"signs results as {signer.subject}, until {signer.until.date()}"
    if left < CERTIFICATE_ENDS:
        yield Finding(
            "certificate",
            State.WARN,
            message,
            "have it renewed: afterwards results wait, and are then stored without a signature",
        )
    else:
        yield Finding("certificate", State.OK, message)


def _accounts_file(runtime: Runtime) -> Finding:
    path = runtime.settings.accounts_file
    try:
        found = load(path)
    except AccountsError as error:
        return Finding(
            "accounts file", State.BAD, str(error), "correct the file; workers do not start before that", ExitCode.USAGE
        )
    return Finding("accounts file", State.OK, f"{path}: {', '.join(found)}")


def _public_url(runtime: Runtime) -> Iterator[Finding]:
    url = runtime.settings.public_url
    if url is None:
        advice = f"if a provider fetches pictures by URL, set RECAST_PUBLIC_URL to the public address of {hint('web')}"
        yield Finding(
            "public url",
            State.WARN,
            "RECAST_PUBLIC_URL is not set; providers cannot fetch local pictures or call back",
            advice,
        )
        return

    tried = runtime.settings.links_tried_at
    if tried is None:
        yield Finding("public url", State.OK, f"{url} is not tried (RECAST_PUBLIC_URL_CHECK=off)")
        return
    where = url if tried == url else f"{url}, tried at {tried},"

    def ask() -> None:
        asyncio.run(_ask(runtime.settings, f"{tried}/healthz"))

    yield from finding_of(
        "public url", ask, f"{where} answers", f"start {hint('web')}, and check that {tried} leads to it"
    )


def _proxies() -> Iterator[Finding]:
    """A proxy would resolve names and connect by itself, where no rule about private addresses holds."""
    if found := proxies(os.environ):
        message = f"{', '.join(found)} set, and not used: workers connect to providers and pictures by themselves"
        advice = "let workers reach the internet directly; nothing else of Recast uses a proxy"
        yield Finding("proxy", State.WARN, message, advice)


async def _ask(settings: Settings, url: str) -> None:
    async with build_client(Guard(own_hosts(settings)), max_connections=1) as client:
        await look(client, url)


def _heartbeats(runtime: Runtime) -> Iterator[Finding]:
    found = signs.heartbeats(runtime.settings.home)
    for sign in found:
        name = f"heartbeat {sign.name}"
        if sign.reasons:
            yield Finding(name, State.BAD, "; ".join(sign.reasons), sign.advice)
        else:
            yield Finding(name, State.OK, f"{sign.age or 0:.0f} s old")
    if not found:
        services = dict.fromkeys((hint("worker"), hint("beat")))  # of the sandbox, one command starts both
        yield Finding("heartbeats", State.WARN, "none on this machine", f"start {' and '.join(services)}")


def _database(runtime: Runtime) -> Iterator[Finding]:
    try:
        seen = runtime.db(server)
    except Exception as error:  # noqa: BLE001 - any error is the finding
        advice = remedy(error) or "start PostgreSQL"
        yield Finding("database", State.BAD, describe(error), f"{advice}, or correct RECAST_DATABASE_URL")
        return
    yield Finding("database", State.OK, f"PostgreSQL {seen.version}")
    yield _connections(seen, runtime.settings.database_connections)
    yield clock("database clock", seen.now)
    differences = migrations.differences(runtime.engine)
    if differences:
        yield Finding("migrations", State.BAD, "; ".join(differences), f"run {hint('db upgrade')}")
    else:
        yield Finding("migrations", State.OK, "the schema is what this version needs")


def _connections(seen: Server, own: int) -> Finding:
    free = seen.most - seen.reserved - seen.used
    message = f"each process opens {own} at most; the server accepts {seen.most}, of which {seen.used} are in use"
    if free < own:
        advice = "raise max_connections at the server, lower RECAST_DATABASE_CONNECTIONS, or put a pooler between"
        return Finding("connections", State.WARN, f"{message}, and {free} are free", advice)
    return Finding("connections", State.OK, message)


def _work(seen: Snapshot) -> Iterator[Finding]:
    late = {pump: seconds for pump, seconds in seen.lag.items() if seconds > signs.LAG_SECONDS}
    if late:
        yield Finding("pumps", State.WARN, signs.late_text(late), signs.start())
    else:
        yield Finding("pumps", State.OK, "none is late")
    if seen.unannounced:
        advice = f"the sweep sends them again; check that {hint('beat')} is running"
        yield Finding("completion notices", State.WARN, f"{seen.unannounced:,} not sent yet", advice)
    held = sum(number for (_, state), number in seen.jobs.items() if state == JobState.HELD)
    if held:
        yield Finding("held jobs", State.WARN, waiting_for_decision(held), f"{hint('resolve')} lists and resolves them")


def _batches(runtime: Runtime) -> Iterator[Finding]:
    found = [
        Finding(f"batch {name}", State.WARN, sentence)
        for name, sentences in stops_of(runtime, runtime.db(recent, LISTED_BATCHES)).items()
        for sentence in sentences
    ]
    yield from found or [Finding("batches", State.OK, "none is stuck")]


def _accounts(runtime: Runtime) -> Iterator[Finding]:
    for status in statuses_of(runtime, tuple(runtime.accounts.values())):
        account = status.account
        if status.admission.closed_for is not None:
            yield Finding(f"account {account.name}", State.WARN, status.state, status.advice)
        verdict, message = credentials(runtime, account)
        name = f"credentials {account.name}"
        if verdict is CredentialVerdict.REFUSED:
            yield Finding(
                name,
                State.BAD,
                message,
                "correct them, in the environment if the accounts file names a variable",
                ExitCode.USAGE,
            )
        elif verdict is CredentialVerdict.SILENT:
            yield Finding(
                name, State.BAD, message, f"check that {account.base_url} is right and can be reached from this machine"
            )
        else:
            yield Finding(name, State.OK, message)
