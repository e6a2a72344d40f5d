"""`recast accounts` and `recast providers`: where jobs can go, and whether anything keeps them from going there."""

from __future__ import annotations

import getpass
import json
import math
import socket
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from sqlalchemy.orm import Session

from cli.environment import JsonOption, SandboxOption, looking
from cli.output import Code, Style, duration, emit, moment, say, table
from cli.paid_check import options_of, try_account
from models.states import Closure
from providers import PROVIDERS
from providers.describing import OperationInWords, describe
from providers.outcomes import Credentials
from providers.protocol import NotSentError, UnclearError
from providers.spec import Operation
from workers.accounts import admission, overrides
from workers.config.accounts import Account, AccountsError, load
from workers.config.accounts import duration as parse_duration
from workers.config.settings import read
from workers.engine.runtime import Runtime
from workers.engine.wake import poll_pump, submit_pump, wake
from workers.jobs.request import Ask

COLUMN = 28  # characters, as many as `options.num_inference_steps` and a blank

accounts = typer.Typer(help="Accounts at providers.", no_args_is_help=True)

NameArgument = Annotated[str, typer.Argument(help="The account's name in the accounts file.")]


#: What the provider says of the credentials; `unknown` where it cannot be asked without spending.
Verdict = Literal["good", "refused", "unknown", "silent"]
_VERDICT_STYLES: Mapping[Verdict, Style] = {
    "good": Style.GOOD,
    "refused": Style.BAD,
    "unknown": Style.WAITING,
    "silent": Style.BAD,
}


@dataclass(frozen=True, slots=True)
class _Standing:
    """An account and its gate."""

    account: Account
    gate: admission.Gate
    note: str | None
    overridden_by: str | None
    overridden_at: datetime | None

    @property
    def changed(self) -> str:
        """What people changed while it ran, who and when."""
        if not self.gate.overrides:
            return ""
        return f"{overrides.told(self.gate.overrides)} ({self.overridden_by}, {moment(self.overridden_at)})"

    @property
    def told(self) -> str:
        """Whether it is open, in words."""
        if self.gate.closed_for is None:
            return "open" if not self.gate.failures else f"probing after {self.gate.failures} failures"
        until = "until it is opened" if math.isinf(self.gate.closed_for) else f"for {duration(self.gate.closed_for)}"
        return f"closed {until}: {self.gate.closed_reason}{f' ({self.note})' if self.note else ''}"


@accounts.command("list")
def list_accounts(*, sandbox: SandboxOption = False, as_json: JsonOption = False) -> None:
    """List the accounts with their limits, what is in flight, and whether they are open."""
    with looking(sandbox=sandbox) as runtime:
        found = _standings(runtime, tuple(runtime.accounts.values()))
    if as_json:
        emit([_document(standing) for standing in found])
        return
    rows = []
    for standing in found:
        limits = standing.account.with_overrides(standing.gate.overrides)
        rate = f"{limits.rate * 60:g}/min" if limits.rate is not None else ""
        in_flight = f"{standing.gate.count.open} of {limits.max_in_flight}"
        rows.append(
            (standing.account.name, standing.account.provider, in_flight, rate, standing.told, standing.changed)
        )
    table(("account", "provider", "in flight", "rate", "gate", "overridden"), rows)


@accounts.command()
def check(
    names: Annotated[list[str] | None, typer.Argument(help="Accounts to check; all by default.")] = None,
    *,
    paid: Annotated[bool, typer.Option("--paid", help="Pay for one job at one account and record it.")] = False,
    operation: Annotated[str | None, typer.Option(help="Paid: such as zhiqite.swap; the first by default.")] = None,
    source: Annotated[str | None, typer.Option(help="Paid: picture with the face, for a swap.")] = None,
    target: Annotated[str | None, typer.Option(help="Paid: picture that gets the face, for a swap.")] = None,
    image: Annotated[str | None, typer.Option(help="Paid: picture of the face, for a generation.")] = None,
    prompt: Annotated[str | None, typer.Option(help="Paid: for operations that take one.")] = None,
    options: Annotated[str, typer.Option(metavar="JSON", help="Paid: of the operation.")] = "{}",
    to: Annotated[Path | None, typer.Option(help="Paid: the recording; NAME-trial.json by default.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Paid: do not ask before paying.")] = False,
    sandbox: SandboxOption = False,
    as_json: JsonOption = False,
) -> None:
    """Ask each account's provider whether it takes the credentials, as far as that is possible for free.

    With --paid, one job is made at one account, from the submission to the picture, and what was said is written down
    without the secrets: the documents of the providers leave questions open that only this answers.
    """
    if paid:
        if not names or len(names) != 1:
            raise typer.BadParameter("--paid checks one account: name it")
        ask = Ask(
            kind="generate" if image else "swap", source=source, target=target, image=image, prompt=prompt,
            account=names[0], operation=operation, options=options_of(options),
        )  # fmt: skip
        try_account(ask, to or Path(f"{names[0]}-trial.json"), yes=yes, sandbox=sandbox)
        return
    with looking(sandbox=sandbox, with_sandbox=True) as runtime:
        chosen = [_account(runtime, name) for name in names] if names else list(runtime.accounts.values())
        found = {account.name: credentials(runtime, account) for account in chosen}
    if as_json:
        emit({name: {"verdict": verdict, "message": message} for name, (verdict, message) in found.items()})
    else:
        for name, (verdict, message) in found.items():
            say(f"{name}: {verdict}: {message}", style=_VERDICT_STYLES[verdict])
    verdicts = {verdict for verdict, _ in found.values()}
    if "refused" in verdicts:
        raise typer.Exit(Code.PERSON)
    if "silent" in verdicts:
        raise typer.Exit(Code.INFRASTRUCTURE)


@accounts.command()
def close(
    name: NameArgument,
    *,
    lasting: Annotated[str | None, typer.Option("--for", help='Such as "2h"; until it is opened by default.')] = None,
    note: Annotated[str | None, typer.Option(help="Why, for whoever finds it closed.")] = None,
    sandbox: SandboxOption = False,
) -> None:
    """Send nothing more to an account; what it has taken is finished."""
    try:
        seconds = None if lasting is None else parse_duration(lasting)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--for") from None
    with looking(sandbox=sandbox) as runtime:
        account = _account(runtime, name)
        if seconds is None:
            runtime.db(admission.close, account.name, Closure.PAUSED, note)
        else:
            runtime.db(admission.close_for, account.name, Closure.PAUSED, seconds, note)
        (standing,) = _standings(runtime, (account,))
    say(f"{name}: {standing.told}")


@accounts.command("open")
def open_account(name: NameArgument, *, sandbox: SandboxOption = False) -> None:
    """Let an account take jobs again, whatever it was closed for."""
    with looking(sandbox=sandbox) as runtime:
        account = _account(runtime, name)
        runtime.db(admission.reopen, account.name)
        wake(runtime, submit_pump(account.name))
    say(f"{name}: open")


@accounts.command("set")
def set_limits(
    name: NameArgument,
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="SETTING=VALUE...",
            help="Such as max_in_flight=5, rate=30/min, poll_every=5s, 'budget.day=20 USD', 'prices.swap=0.02 USD';"
            " `none` takes a rate, a price or a budget away.",
        ),
    ],
    *,
    sandbox: SandboxOption = False,
    as_json: JsonOption = False,
) -> None:
    """Change an account's limits, prices and budget while it works; `accounts reset` undoes it.

    Workers obey within a slice, which is ten seconds unless it was set otherwise.
    """
    changes = overrides.parse(words)
    with looking(sandbox=sandbox) as runtime:
        account = _account(runtime, name)
        runtime.db(
            overrides.change, runtime.accounts, account.name, changes, f"{getpass.getuser()}@{socket.gethostname()}"
        )
        _wake(runtime, account)
        (standing,) = _standings(runtime, (account,))
    if as_json:
        emit(_document(standing))
    else:
        say(f"{name}: {overrides.told(standing.gate.overrides)}")


@accounts.command()
def reset(name: NameArgument, *, sandbox: SandboxOption = False) -> None:
    """Drop what people changed while it ran: the accounts file holds again."""
    with looking(sandbox=sandbox) as runtime:
        account = _account(runtime, name)
        dropped = runtime.db(overrides.drop, account.name)
        _wake(runtime, account)
    say(f"{name}: {', '.join(dropped)} as in the accounts file again" if dropped else f"{name}: nothing was overridden")


def _wake(runtime: Runtime, account: Account) -> None:
    wake(runtime, submit_pump(account.name), poll_pump(account.name))


def providers(*, as_json: JsonOption = False) -> None:
    """List what the providers can do, with which options, and what it costs at the accounts there are."""
    known = _known_accounts()
    if as_json:
        emit(
            {
                name: {
                    "base_url": adapter.BASE_URL,
                    "settings": adapter.SETTINGS.model_json_schema(),
                    "operations": {
                        operation.name: {
                            "kind": operation.kind,
                            "summary": operation.summary,
                            "needs": {role: need.via for role, need in operation.needs.items()},
                            "prompt": operation.prompt,
                            "options": operation.options.model_json_schema(),
                            "prices": _prices(known, operation),
                        }
                        for operation in adapter.OPERATIONS.values()
                    },
                }
                for name, adapter in PROVIDERS.items()
            }
        )
        return
    for adapter in PROVIDERS.values():
        for operation in adapter.OPERATIONS.values():
            say(f"{operation.name}", style="bold")
            say(f"  {operation.kind}: {operation.summary}")
            for name, words in _described(describe(operation)):
                say(f"    {name:<{COLUMN}} {words}")
            for account, price in _prices(known, operation).items():
                say(f"    {'price':<{COLUMN}} {price} at {account}")


def _described(operation: OperationInWords) -> Iterator[tuple[str, str]]:
    """What an operation takes, line by line."""
    yield from operation.pictures.items()
    if operation.prompt != "unused":
        yield "prompt", operation.prompt
    for option in operation.options:
        without = "required" if option.required else f"default {json.dumps(option.default)}"
        known = option.required or option.default is not None
        yield f"options.{option.name}", f"{option.allowed} ({without})" if known else option.allowed


def _known_accounts() -> Mapping[str, Account]:
    """The accounts of the accounts file, if there is a usable one: what providers can do does not depend on it."""
    try:
        return load(read().accounts_file)
    except AccountsError:
        return {}


def _prices(accounts: Mapping[str, Account], operation: Operation) -> Mapping[str, str]:
    """What one submission of `operation` costs, by account."""
    short = operation.name.partition(".")[2]
    return {
        account.name: f"{price.amount} {price.currency}{'/picture' if price.per_picture else ''}"
        for account in accounts.values()
        if operation.name in account.operations and (price := account.prices.get(short)) is not None
    }


def _account(runtime: Runtime, name: str) -> Account:
    if name not in runtime.accounts:
        allowed = ", ".join(runtime.accounts)
        raise AccountsError(f"account {name!r} is not in {runtime.settings.accounts_file}; there are {allowed}")
    return runtime.accounts[name]


def _standings(runtime: Runtime, chosen: Sequence[Account]) -> list[_Standing]:
    def read(session: Session) -> list[_Standing]:
        notes = admission.notes(session)
        return [_Standing(account, admission.read(session, account.name), *notes[account.name]) for account in chosen]

    return runtime.db(read)


def _document(standing: _Standing) -> dict[str, Any]:
    seen = standing.gate
    limits = standing.account.with_overrides(seen.overrides)
    return {
        "account": standing.account.name,
        "provider": standing.account.provider,
        "operations": list(standing.account.operations),
        "open": seen.closed_for is None,
        "closed_reason": seen.closed_reason if seen.closed_for is not None else None,
        "closed_note": standing.note if seen.closed_for is not None else None,
        # JSON knows no infinity: null is "until somebody opens it".
        "closed_seconds": seen.closed_for if seen.closed_for is not None and math.isfinite(seen.closed_for) else None,
        "failures": seen.failures,
        "in_flight": seen.count.open,
        "max_in_flight": limits.max_in_flight,
        "rate_per_second": limits.rate,
        "order": standing.account.order,
        "overrides": seen.overrides,
        "overridden_by": standing.overridden_by,
        "overridden_at": standing.overridden_at,
    }


def credentials(runtime: Runtime, account: Account) -> tuple[Verdict, str]:
    """What an account's provider says of its credentials, without spending, and in its words."""

    async def ask() -> Credentials:
        return await runtime.provider(account).check()

    try:
        answer = runtime.on_loop(ask())
    except (NotSentError, UnclearError) as error:
        return "silent", f"no answer: {error}"
    return ("unknown" if answer.ok is None else "good" if answer.ok else "refused"), answer.message
