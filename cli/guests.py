"""`recast guests`: links that open one batch for people without an account."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from cli import completion
from cli.browser import address_of
from cli.environment import JsonOption, SandboxOption, open_database
from cli.output import answer, complain, emit, listing, moment, say
from desk import guests as desk
from desk.actors import from_command
from models.people import Role
from recast.hints import hint
from workers.config.units import duration

WEEK = "7d"

guests = typer.Typer(help="Add, list and revoke links to one batch for guests.", no_args_is_help=True)


@guests.command()
def add(
    batch: Annotated[str, typer.Argument(help="Name of the batch.", autocompletion=completion.batches)],
    *,
    role: Annotated[
        Role,
        typer.Option(help="Viewer: sees the pictures and verdicts of the batch; reviewer: also gives verdicts."),
    ] = Role.VIEWER,
    expires: Annotated[str, typer.Option(metavar="AGE", help="How long it opens the batch, for example 12h.")] = WEEK,
    sandbox: SandboxOption = False,
    as_json: JsonOption = False,
) -> None:
    """Add a guest link and print it. It is shown once; only its digest is kept."""
    try:
        seconds = duration(expires)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--expires") from None
    with open_database(sandbox=sandbox) as deployment:
        added = deployment.db(desk.add, from_command(), batch, role, seconds)
        url = f"{address_of(deployment.settings)}/guest/{added.token}"
    if as_json:
        emit({"number": added.number, "batch": batch, "role": role.value, "expires_at": added.expires_at, "url": url})
        return
    say(url)
    complain(
        f"anyone who has this link is a {role.value} of {batch} until {moment(added.expires_at)} UTC; it is not shown"
        f" again; {hint('guests revoke', added.number)} ends it"
    )


@guests.command("list")
def listed(
    batch: Annotated[
        str | None, typer.Argument(help="Only links to this batch.", autocompletion=completion.batches)
    ] = None,
    *,
    sandbox: SandboxOption = False,
    as_json: JsonOption = False,
) -> None:
    """List guest links, without their secrets, and who came by them."""
    with open_database(sandbox=sandbox) as deployment:
        found = deployment.db(desk.everything, batch)
    listing(
        ("link", "batch", "role", "until", "guests", ""),
        [
            (
                link.number, link.batch, link.role, moment(link.expires_at), ", ".join(link.names),
                f"revoked {moment(link.revoked_at)}" if link.revoked_at else "expired" if link.expired else "",
            )
            for link in found
        ],
        [asdict(link) for link in found],
        empty=f"there are no guest links; {hint('guests add', 'BATCH')} adds one", as_json=as_json,
    )  # fmt: skip


@guests.command()
def revoke(
    number: Annotated[int, typer.Argument(metavar="LINK", help="Number of the link, as in `recast guests list`.")],
    *,
    sandbox: SandboxOption = False,
    as_json: JsonOption = False,
) -> None:
    """Revoke a guest link: it opens nothing any more.

    That is so at once, also for those who are in.
    """
    with open_database(sandbox=sandbox) as deployment:
        batch = deployment.db(desk.revoke, from_command(), number)
        found = deployment.db(desk.everything, batch)
    document = next(asdict(link) for link in found if link.number == number)
    answer(f"guest link {number} to {batch} is revoked", document, as_json=as_json)
