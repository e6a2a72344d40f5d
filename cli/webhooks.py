"""`recast webhooks`: addresses that receive messages when jobs and batches end, and their deliveries."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated

import typer

from cli import completion
from cli.deployment import open_deployment
from cli.environment import JsonOption, SandboxOption
from cli.exit_codes import ExitCode
from cli.output import Style, answer, complain, emit, moment, say, table
from cli.recorded import recorded
from providers.http import URL, InvalidURL
from recast.hints import hint
from workers.engine.runtime import Runtime
from workers.engine.wake import DELIVER_PUMP, wake
from workers.http.addresses import AddressError, web_address
from workers.http.client import build_client
from workers.http.ssrf import ForbiddenAddressError, Guard
from workers.jobs.outbox import EVENTS
from workers.webhooks import service
from workers.webhooks.deliver import disable
from workers.webhooks.messages import TEST_EVENT, Answer, Message, forbidden, make_secret, request, seal, send, unseal

HOUR = 3_600  # seconds
LISTED = 50

webhooks = typer.Typer(
    help="Notify other systems when jobs and batches end. Messages are signed (Standard Webhooks) and retried.",
    no_args_is_help=True,
)

NumberArgument = Annotated[
    int, typer.Argument(metavar="WEBHOOK", help="Number of the webhook, as in `recast webhooks list`.")
]


@webhooks.command()
@recorded("webhooks add")
def add(
    url: Annotated[str, typer.Argument(help="An https address; RECAST_WEBHOOK_HOSTS must name private hosts.")],
    *,
    events: Annotated[str, typer.Option(help=f"Events to send, separated by commas: {', '.join(EVENTS)}.")] = ",".join(
        EVENTS
    ),
    batch: Annotated[
        list[str] | None,
        typer.Option(help="Only events of this batch; can be given more than once.", autocompletion=completion.batches),
    ] = None,
    sandbox: SandboxOption = False,
    as_json: JsonOption = False,
) -> None:
    """Add a webhook. Its signing secret is shown only now."""
    wanted = chosen_events(events)
    secret = make_secret()
    with open_deployment(sandbox=sandbox) as runtime:
        url = checked_url(url, runtime.settings.webhook_hosts)
        number = runtime.db(service.add, url, wanted, batch or [], seal(runtime.settings, [(secret, None)]))
    if as_json:
        emit({"webhook": number, "url": url, "events": wanted, "batches": batch or [], "secret": secret})
        return
    say(f"webhook {number}: {url}", style="bold")
    say(f"  secret  {secret}")
    complain(f"store the secret now, it is not shown again; next: {hint('webhooks test', number)}")


@webhooks.command("list")
def list_all(*, sandbox: SandboxOption = False, as_json: JsonOption = False) -> None:
    """List webhooks with the numbers of their deliveries."""
    with open_deployment(sandbox=sandbox) as runtime:
        found = runtime.db(service.listed)
    if as_json:
        emit([asdict(row) for row in found])
        return
    table(
        ("webhook", "url", "events", "batches", "waiting", "dead", "delivered", "last delivered", "state"),
        [
            (
                row.id, row.url, "all" if set(row.events) == set(EVENTS) else ", ".join(row.events),
                ", ".join(row.batches) or "all", row.waiting, row.dead, row.delivered, moment(row.delivered_at),
                f"off: {row.disabled_note}" if row.disabled_at else row.error or "on",
            )
            for row in found
        ],
        right=("waiting", "dead", "delivered"),
    )  # fmt: skip
    if not found:
        complain(f"there are no webhooks; {hint('webhooks add', 'URL')} adds one")
    if any(row.dead for row in found):
        given_up, again = hint("webhooks deliveries", dead=True), hint("webhooks retry")
        complain(f"{given_up} lists what was given up; {again} sends it again")


@webhooks.command()
def deliveries(
    webhook: Annotated[int | None, typer.Option(help="Only deliveries to this webhook.")] = None,
    *,
    dead: Annotated[bool, typer.Option("--dead", help="Only deliveries that were given up.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="Maximum number to list.")] = LISTED,
    sandbox: SandboxOption = False,
    as_json: JsonOption = False,
) -> None:
    """List deliveries, newest first."""
    with open_deployment(sandbox=sandbox) as runtime:
        found = runtime.db(service.deliveries, webhook, limit, dead=dead)
    if as_json:
        emit([asdict(row) for row in found])
        return
    table(
        ("delivery", "webhook", "event", "about", "since", "tries", "state", "next try", "error"),
        [
            (
                row.id, row.webhook, row.event, row.about, moment(row.created_at), row.tries, row.state,
                moment(row.next_at), row.error,
            )
            for row in found
        ],
        right=("tries",),
    )  # fmt: skip


@webhooks.command()
@recorded("webhooks retry")
def retry(
    delivery: Annotated[
        list[uuid.UUID] | None,
        typer.Argument(
            metavar="DELIVERY", help="Ids of deliveries, waiting ones too. Default: all that were given up."
        ),
    ] = None,
    *,
    webhook: Annotated[int | None, typer.Option(help="Only deliveries to this webhook.")] = None,
    sandbox: SandboxOption = False,
    as_json: JsonOption = False,
) -> None:
    """Send deliveries that were given up again. They keep their ids and get a new series of tries.

    So do deliveries that wait for a later try, if they are named by their ids.
    """
    with open_deployment(sandbox=sandbox) as runtime:
        if webhook is not None:
            runtime.db(service.find, webhook)
        number = runtime.db(service.retry, webhook, delivery or None)
        if number:
            wake(runtime, DELIVER_PUMP)
    why_none = "" if number else "; deliveries to a webhook that is off are not queued"
    answer(f"{number} queued again{why_none}", {"queued": number}, as_json=as_json)


@webhooks.command("test")
def send_test(webhook: NumberArgument, *, sandbox: SandboxOption = False, as_json: JsonOption = False) -> None:
    """Send a test message and show the answer. This works even if the webhook is off."""
    with open_deployment(sandbox=sandbox) as runtime:
        row = runtime.db(service.find, webhook)
        secrets = [secret for secret, _ in unseal(runtime.settings, row.secrets)]
        message = Message(uuid.uuid4(), TEST_EVENT, {"webhook": webhook}, row.now, row.url, secrets)
        heard = asyncio.run(_send(runtime, message))
    if as_json:
        emit({"webhook": webhook, "id": str(message.id), "status": heard.status, "error": heard.error})
    elif heard.error is None:
        complain(f"{row.url} accepted the message ({heard.status})", style=Style.GOOD)
    else:
        complain(f"{row.url} did not accept the message: {heard.error}", style=Style.BAD)
    if heard.error is not None:
        raise typer.Exit(ExitCode.INFRASTRUCTURE)


@webhooks.command()
@recorded("webhooks rotate")
def rotate(
    webhook: NumberArgument,
    *,
    keep: Annotated[
        float,
        typer.Option(min=0, metavar="HOURS", help="Hours in which messages are also signed with the previous secrets."),
    ] = 24.0,
    sandbox: SandboxOption = False,
    as_json: JsonOption = False,
) -> None:
    """Create a new signing secret. For some hours, messages are also signed with the previous secrets."""
    secret = make_secret()
    with open_deployment(sandbox=sandbox) as runtime:
        runtime.db(service.rotate, runtime.settings, webhook, secret, time.time() + keep * HOUR)
    if as_json:
        emit({"webhook": webhook, "secret": secret, "old_valid_hours": keep})
        return
    say(f"webhook {webhook}: new secret {secret}")
    complain(f"store it now, it is not shown again; for {keep:g} h, messages are also signed with the previous secrets")


@webhooks.command()
@webhooks.command("pause", hidden=True)
@recorded("webhooks off")
def off(webhook: NumberArgument, *, sandbox: SandboxOption = False, as_json: JsonOption = False) -> None:
    """Switch a webhook off. Deliveries that are waiting for it are given up."""
    with open_deployment(sandbox=sandbox) as runtime:
        runtime.db(service.find, webhook)
        runtime.db(disable, webhook, "switched off by a person")
    said = f"webhook {webhook} is off; next: {hint('webhooks on', webhook)} switches it on"
    answer(said, {"webhook": webhook, "state": "off"}, as_json=as_json)


@webhooks.command()
@webhooks.command("resume", hidden=True)
@recorded("webhooks on")
def on(webhook: NumberArgument, *, sandbox: SandboxOption = False, as_json: JsonOption = False) -> None:
    """Switch a webhook on for new events. `recast webhooks retry` sends deliveries that were given up."""
    with open_deployment(sandbox=sandbox) as runtime:
        runtime.db(service.switch_on, webhook)
    retried = hint("webhooks retry", webhook=webhook)
    said = f"webhook {webhook} is on; {retried} sends deliveries that were given up"
    answer(said, {"webhook": webhook, "state": "on"}, as_json=as_json)


@webhooks.command()
@recorded("webhooks remove")
def remove(webhook: NumberArgument, *, sandbox: SandboxOption = False, as_json: JsonOption = False) -> None:
    """Remove a webhook with all its deliveries."""
    with open_deployment(sandbox=sandbox) as runtime:
        runtime.db(service.remove, webhook)
    answer(f"webhook {webhook} is removed", {"webhook": webhook, "state": "removed"}, as_json=as_json)


async def _send(runtime: Runtime, message: Message) -> Answer:
    async with build_client(Guard(runtime.settings.webhook_hosts), max_connections=1) as client:
        return await send(client, request(runtime, message))


def chosen_events(words: str) -> list[str]:
    """The named events, each once.

    Raises:
        typer.BadParameter: a word is not an event, or none is named.
    """
    wanted = [word.strip() for word in words.split(",") if word.strip()]
    for word in wanted:
        if word not in EVENTS:
            raise typer.BadParameter(f"--events: {word!r} is not an event; allowed: {', '.join(EVENTS)}")
    if not wanted:
        raise typer.BadParameter(f"--events: name at least one of {', '.join(EVENTS)}")
    return list(dict.fromkeys(wanted))


def checked_url(url: str, hosts: Sequence[str]) -> str:
    """An address in its one form, to which messages can be sent, and that encrypts them on the internet.

    Raises:
        typer.BadParameter: the address is not allowed.
    """
    try:
        url = web_address(url)
        parsed = URL(url)
        Guard(hosts).check_url(parsed)
    except AddressError as error:
        raise typer.BadParameter(str(error)) from None
    except InvalidURL as error:
        raise typer.BadParameter(f"{url!r} is not a valid URL: {error}") from None
    except ForbiddenAddressError:
        raise typer.BadParameter(f"{url!r}: {forbidden(URL(url))}") from None
    named = {parsed.host, parsed.netloc.decode("ascii", "replace")} & set(hosts)
    if parsed.scheme != "https" and not named:
        raise typer.BadParameter(
            f"{url!r} is not allowed; use https://, or name the host in RECAST_WEBHOOK_HOSTS to use http://"
        )
    return url
