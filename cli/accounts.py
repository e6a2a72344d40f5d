"""`recast accounts`: accounts at providers, with their limits and states."""

from __future__ import annotations

import getpass
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from cli import completion
from cli.deployment import open_deployment
from cli.environment import JsonOption, SandboxOption
from cli.exit_codes import ExitCode
from cli.output import Style, answer, complain, emit, say, table
from cli.paid_check import check_with_payment, options_of
from cli.recorded import recorded
from models.accounts import CredentialVerdict
from models.states import Closure
from providers import PROVIDERS
from providers.protocol import NotSentError, UnclearError
from providers.spec import Choice
from recast.hints import hint
from reports import documents
from reports.documents import ACCEPTS, AccountStatus, of_account
from workers.accounts import admission, overrides
from workers.config.account_values import AccountsError
from workers.config.accounts import Account
from workers.config.units import duration as parse_duration
from workers.config.units import per_minute
from workers.engine.runtime import Runtime
from workers.engine.wake import poll_pump, submit_pump, wake
from workers.jobs.request import JobRequest
from workers.operations.credential_checks import credentials

accounts = typer.Typer(help="Show, check, pause, resume and change accounts at providers.", no_args_is_help=True)

NameArgument = Annotated[
    str, typer.Argument(help="Name of the account in the accounts file.", autocompletion=completion.accounts)
]


_VERDICT_STYLES: Mapping[CredentialVerdict, Style] = {
    CredentialVerdict.GOOD: Style.GOOD,
    CredentialVerdict.REFUSED: Style.BAD,
    CredentialVerdict.UNKNOWN: Style.WAITING,
    CredentialVerdict.SILENT: Style.BAD,
}


@accounts.command("list")
def list_accounts(*, sandbox: SandboxOption = False, as_json: JsonOption = False) -> None:
    """List accounts with their limits and states."""
    with open_deployment(sandbox=sandbox) as runtime:
        found = statuses_of(runtime, tuple(runtime.accounts.values()))
    if as_json:
        emit([of_account(status) for status in found])
        return
    rows = []
    for status in found:
        limits = status.account.with_overrides(status.admission.overrides)
        rate = per_minute(limits.rate) if limits.rate is not None else ""
        in_flight = f"{status.admission.count.open} of {limits.max_in_flight}"
        rows.append((status.account.name, status.account.provider, in_flight, rate, status.state, status.changed))
    table(("account", "provider", "in flight", "rate", "state", "overridden"), rows)
    if stopped_ones := [status.account.name for status in found if status.admission.closed_for is not None]:
        complain(f"next, if the cause is settled: {', '.join(hint('accounts resume', name) for name in stopped_ones)}")


@accounts.command()
def check(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="ACCOUNT", help="Accounts to check. Default: all.", autocompletion=completion.accounts),
    ] = None,
    *,
    paid: Annotated[bool, typer.Option("--paid", help="Make one paid job at one account and record it.")] = False,
    operation: Annotated[
        str | None, typer.Option(help="With --paid: operation, for example zhiqite.swap. Default: the first.")
    ] = None,
    source: Annotated[str | None, typer.Option(help="With --paid: picture with the face, for a swap.")] = None,
    target: Annotated[str | None, typer.Option(help="With --paid: picture to change, for a swap.")] = None,
    image: Annotated[str | None, typer.Option(help="With --paid: picture with the face, for a portrait.")] = None,
    prompt: Annotated[str | None, typer.Option(help="With --paid: prompt, if the operation uses one.")] = None,
    options: Annotated[str, typer.Option(metavar="JSON", help="With --paid: the operation's options.")] = "{}",
    to: Annotated[
        Path | None, typer.Option(help="With --paid: file for the recording. Default: NAME-paid-check.json.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="With --paid: do not ask before paying.")] = False,
    sandbox: SandboxOption = False,
    as_json: JsonOption = False,
) -> None:
    """Check the credentials of accounts.

    The check costs nothing. Where a provider has no free call for it, the verdict is "unknown".

    With --paid, make one job at one account, from the submission to the picture, and write all requests and answers to
    a file, without secrets. This answers what the provider's documentation leaves open.
    """
    if paid:
        if not names or len(names) != 1:
            raise typer.BadParameter(
                f"--paid checks one account, {len(names or ())} are named; name one, for example zhiqite-main"
            )
        ask = JobRequest(
            kind="generate" if image else "swap", source=source, target=target, image=image, prompt=prompt,
            account=names[0], operation=operation, options=options_of(options),
        )  # fmt: skip
        check_with_payment(ask, to or Path(f"{names[0]}-paid-check.json"), yes=yes, sandbox=sandbox)
        return
    with open_deployment(sandbox=sandbox, with_sandbox=True) as runtime:
        chosen = [_account(runtime, name) for name in names] if names else list(runtime.accounts.values())
        found = {account.name: credentials(runtime, account) for account in chosen}
    if as_json:
        emit({name: {"verdict": verdict, "message": message} for name, (verdict, message) in found.items()})
    else:
        for name, (verdict, message) in found.items():
            say(f"{name}: {verdict}: {message}", style=_VERDICT_STYLES[verdict])
    verdicts = {verdict for verdict, _ in found.values()}
    if CredentialVerdict.REFUSED in verdicts:
        raise typer.Exit(ExitCode.PERSON)
    if CredentialVerdict.SILENT in verdicts:
        raise typer.Exit(ExitCode.INFRASTRUCTURE)


@accounts.command()
@accounts.command("stop", hidden=True)
@accounts.command("close", hidden=True)
@recorded("accounts pause")
def pause(
    name: NameArgument,
    *,
    lasting: Annotated[
        str | None, typer.Option("--for", help="For how long, for example 2h. Default: until it is resumed.")
    ] = None,
    note: Annotated[str | None, typer.Option(help="Reason, shown with the account's state.")] = None,
    sandbox: SandboxOption = False,
    as_json: JsonOption = False,
) -> None:
    """Pause an account: it is sent no more jobs. Jobs that it has accepted are finished."""
    try:
        seconds = None if lasting is None else parse_duration(lasting)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--for") from None
    with open_deployment(sandbox=sandbox) as runtime:
        account = _account(runtime, name)
        if seconds is None:
            runtime.db(admission.stop, account.name, Closure.PAUSED, note)
        else:
            runtime.db(admission.stop_for, account.name, Closure.PAUSED, seconds, note)
        (status,) = statuses_of(runtime, (account,))
    answer(f"{name}: {status.state}", of_account(status), as_json=as_json)


@accounts.command()
@accounts.command("start", hidden=True)
@accounts.command("open", hidden=True)
@recorded("accounts resume")
def resume(name: NameArgument, *, sandbox: SandboxOption = False, as_json: JsonOption = False) -> None:
    """Send jobs to a stopped account again, whatever stopped it."""
    with open_deployment(sandbox=sandbox) as runtime:
        account = _account(runtime, name)
        runtime.db(admission.resume, account.name)
        wake(runtime, submit_pump(account.name))
        (status,) = statuses_of(runtime, (account,))
    answer(f"{name}: {ACCEPTS}", of_account(status), as_json=as_json)


@accounts.command("set")
@recorded("accounts set")
def set_limits(
    name: NameArgument,
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="SETTING=VALUE",
            help="For example max_in_flight=5, rate=30/min, poll_every=5s, 'budget.day=20 USD' or"
            " 'prices.swap=0.02 USD'. The value none removes a rate, a price or a budget.",
        ),
    ],
    *,
    sandbox: SandboxOption = False,
    as_json: JsonOption = False,
) -> None:
    """Change an account's limits, prices and budgets. `accounts reset` undoes it.

    Workers apply the change within one time slice: 10 seconds, unless RECAST_SLICE_SECONDS is set.
    """
    changes = overrides.parse(words)
    with open_deployment(sandbox=sandbox) as runtime:
        account = _account(runtime, name)
        runtime.db(
            overrides.change, runtime.accounts, account.name, changes, f"{getpass.getuser()}@{socket.gethostname()}"
        )
        _wake(runtime, account)
        (status,) = statuses_of(runtime, (account,))
    answer(f"{name}: {overrides.described(status.admission.overrides)}", of_account(status), as_json=as_json)


@accounts.command()
@recorded("accounts reset")
def reset(name: NameArgument, *, sandbox: SandboxOption = False, as_json: JsonOption = False) -> None:
    """Undo `accounts set`. The limits, prices and budgets of the accounts file apply again."""
    with open_deployment(sandbox=sandbox) as runtime:
        account = _account(runtime, name)
        dropped = runtime.db(overrides.drop, account.name)
        _wake(runtime, account)
        (status,) = statuses_of(runtime, (account,))
    said = f"{', '.join(dropped)} reset to the accounts file" if dropped else "nothing was overridden"
    answer(f"{name}: {said}", of_account(status), as_json=as_json)


@accounts.command()
def templates(name: NameArgument, *, sandbox: SandboxOption = False, as_json: JsonOption = False) -> None:
    """List the templates of an account's provider. Costs nothing.

    Their ids are for the option template_id.
    """
    with open_deployment(sandbox=sandbox) as runtime:
        account = _account(runtime, name)
        listing = [operation for operation in account.adapter.OPERATIONS.values() if operation.listed]
        if not listing:
            having = sorted(one.NAME for one in PROVIDERS.values() if any(op.listed for op in one.OPERATIONS.values()))
            raise AccountsError(
                f"account: {name!r} is at {account.provider}, which has none; allowed: {', '.join(having)}"
            )

        async def ask() -> Sequence[Choice]:
            return await runtime.provider(account).choices()

        try:
            found = runtime.on_loop(ask())
        except (NotSentError, UnclearError) as error:
            complain(f"{name}: {error}", style=Style.BAD)
            raise typer.Exit(ExitCode.INFRASTRUCTURE) from None
    if as_json:
        emit([{str(listing[0].listed): choice.value, **choice.about} for choice in found])
    else:
        about = sorted({key for choice in found for key in choice.about})
        rows = [(choice.value, *(choice.about.get(key, "") for key in about)) for choice in found]
        table((str(listing[0].listed), *about), rows)


def _wake(runtime: Runtime, account: Account) -> None:
    wake(runtime, submit_pump(account.name), poll_pump(account.name))


def _account(runtime: Runtime, name: str) -> Account:
    if name not in runtime.accounts:
        allowed = ", ".join(runtime.accounts)
        raise AccountsError(f"account: {name!r} is not in {runtime.settings.accounts_file}; allowed: {allowed}")
    return runtime.accounts[name]


def statuses_of(runtime: Runtime, chosen: Sequence[Account]) -> list[AccountStatus]:
    """The states of accounts, in the given order."""
    return runtime.db(documents.statuses_of, chosen)
