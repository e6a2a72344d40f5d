"""`recast tokens`: tokens of programs that use the API of `recast web`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from cli.answers import amount
from cli.environment import JsonOption, SandboxOption, open_database
from cli.output import answer, complain, emit, listing, moment, priced, say
from cli.people import RoleOption
from desk import tokens as desk
from desk.actors import from_command
from models.people import Role
from recast.hints import hint
from recast.money import Money

tokens = typer.Typer(help="Add, list and revoke tokens of programs that use the API.", no_args_is_help=True)

NameArgument = Annotated[str, typer.Argument(help="Name of the token, such as that of the program.")]


@tokens.command()
def add(
    name: NameArgument,
    *,
    role: RoleOption = Role.VIEWER,
    spend_per_day: Annotated[
        str | None,
        typer.Option(
            "--spend-per-day",
            metavar="MONEY",
            help="The most that it may commit to in a day (UTC), for example 20. Default: no limit of its own.",
        ),
    ] = None,
    sandbox: SandboxOption = False,
    as_json: JsonOption = False,
) -> None:
    """Add a token and print it. It is shown once; only its digest is kept."""
    with open_database(sandbox=sandbox) as deployment:
        currency = deployment.settings.currency
        limit = amount(spend_per_day, currency, "--spend-per-day")
        token = deployment.db(desk.add, from_command(), name, role, limit)
    if as_json:
        emit({"name": name, "role": role, "spend_per_day": limit and Money(limit, currency), "token": token})
        return
    say(token)
    complain(f"keep it: it is not shown again; {hint('tokens revoke', name)} ends it")


@tokens.command("list")
def listed(*, sandbox: SandboxOption = False, as_json: JsonOption = False) -> None:
    """List all tokens, without their secrets."""
    with open_database(sandbox=sandbox) as deployment:
        found = deployment.db(desk.everything)
        currency = deployment.settings.currency
    listing(
        ("name", "role", "since", "today", "of", ""),
        [
            (
                token.name, token.role, moment(token.created_at),
                Money(token.spent_today, currency) if token.spent_today else "",
                Money(token.spend_per_day, currency) if token.spend_per_day is not None else "",
                f"revoked {moment(token.revoked_at)}" if token.revoked_at else "",
            )
            for token in found
        ],
        priced([asdict(token) for token in found], currency),
        empty=f"there are no tokens yet; {hint('tokens add', 'NAME')} adds one", as_json=as_json, right=("today", "of"),
    )  # fmt: skip


@tokens.command()
def revoke(name: NameArgument, *, sandbox: SandboxOption = False, as_json: JsonOption = False) -> None:
    """Revoke a token: it opens nothing any more, at once."""
    with open_database(sandbox=sandbox) as deployment:
        deployment.db(desk.revoke, from_command(), name)
        currency, found = deployment.settings.currency, deployment.db(desk.everything)
    # Of tokens that had this name, in whatever case, the one that was revoked last.
    known = " ".join(name.split()).lower()
    named = [(token.revoked_at, token) for token in found if token.revoked_at and token.name.lower() == known]
    document = priced(asdict(max(named, key=lambda each: each[0])[1]), currency)
    answer(f"{name} is revoked", document, as_json=as_json)
