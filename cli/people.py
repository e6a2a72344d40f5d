"""`recast people`: who may sign in to the pages of `recast web`, and what they may do."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import Annotated, Any

import typer

from cli.environment import JsonOption, SandboxOption, open_database
from cli.output import answer, listing, moment
from desk import people as desk
from desk.actors import MAY, from_command
from desk.passwords import MAX_CHARS
from models.people import Role
from recast.hints import hint
from workers.config.deployment import Deployment

people = typer.Typer(help="Add, list and change people who sign in to the pages.", no_args_is_help=True)

NameArgument = Annotated[str, typer.Argument(help="Name of the person.")]
RoleOption = Annotated[
    Role, typer.Option(help="; ".join(f"{role}: {words}" for role, words in MAY.items()).capitalize() + ".")
]


@people.command()
def add(
    name: NameArgument,
    *,
    role: RoleOption = Role.REVIEWER,
    sandbox: SandboxOption = False,
    as_json: JsonOption = False,
) -> None:
    """Add a person. The password is asked for, or read from standard input."""
    password = _password()
    with open_database(sandbox=sandbox) as deployment:
        deployment.db(desk.add, from_command(), name, role, password)
        person = _person(deployment, name)
    answer(f"{name} may sign in as {role}", person, as_json=as_json)


@people.command("list")
def listed(*, sandbox: SandboxOption = False, as_json: JsonOption = False) -> None:
    """List all people."""
    with open_database(sandbox=sandbox) as deployment:
        found = deployment.db(desk.everybody)
    listing(
        ("name", "role", "since", "browsers", ""),
        [
            (
                person.name, person.role, moment(person.created_at), person.signed_in or "",
                f"disabled {moment(person.disabled_at)}" if person.disabled_at else "",
            )
            for person in found
        ],
        [asdict(person) for person in found],
        empty=f"there are no people yet; {hint('people add', 'NAME')} adds a person", as_json=as_json,
        right=("browsers",),
    )  # fmt: skip


@people.command()
def disable(name: NameArgument, *, sandbox: SandboxOption = False, as_json: JsonOption = False) -> None:
    """Keep a person out, at once and in every browser."""
    with open_database(sandbox=sandbox) as deployment:
        deployment.db(desk.disable, from_command(), name)
        person = _person(deployment, name)
    said = f"{name} is signed out everywhere and may not sign in; {hint('people enable', name)} changes that"
    answer(said, person, as_json=as_json)


@people.command()
def enable(name: NameArgument, *, sandbox: SandboxOption = False, as_json: JsonOption = False) -> None:
    """Let a disabled person sign in again."""
    with open_database(sandbox=sandbox) as deployment:
        deployment.db(desk.disable, from_command(), name, disabled=False)
        person = _person(deployment, name)
    answer(f"{name} may sign in again", person, as_json=as_json)


@people.command("role")
def set_role(
    name: NameArgument,
    role: Annotated[Role, typer.Argument(help="What the person may do.")],
    *,
    sandbox: SandboxOption = False,
    as_json: JsonOption = False,
) -> None:
    """Give a person another role."""
    with open_database(sandbox=sandbox) as deployment:
        deployment.db(desk.set_role, from_command(), name, role)
        person = _person(deployment, name)
    answer(f"{name} is a {role}: {MAY[role]}", person, as_json=as_json)


@people.command()
def password(name: NameArgument, *, sandbox: SandboxOption = False, as_json: JsonOption = False) -> None:
    """Give a person another password.

    It is asked for, or read from standard input.
    """
    given = _password()
    with open_database(sandbox=sandbox) as deployment:
        deployment.db(desk.set_password, from_command(), name, given)
        person = _person(deployment, name)
    answer(f"{name} has a new password and is signed out everywhere", person, as_json=as_json)


def _person(deployment: Deployment, name: str) -> dict[str, Any]:
    """A person as `list` shows them."""
    wanted = " ".join(name.split()).lower()
    return next(asdict(each) for each in deployment.db(desk.everybody) if each.name.lower() == wanted)


def _password() -> str:
    """A password that is in no command line, because these are seen by others and remembered."""
    if sys.stdin.isatty():
        return str(typer.prompt("password", hide_input=True, confirmation_prompt=True, err=True))
    return sys.stdin.readline(MAX_CHARS + 2).rstrip("\r\n")
