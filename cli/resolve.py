"""`recast resolve`: what a person decides about jobs that cannot go on by themselves."""

from __future__ import annotations

from dataclasses import asdict
from decimal import Decimal
from itertools import groupby
from typing import Annotated

import typer

from cli.environment import JsonOption, SandboxOption, looking
from cli.filters import Choice, chooses
from cli.output import Code, Style, amount, complain, emit, moment, table
from models.states import Reason
from workers.engine.runtime import Runtime
from workers.engine.wake import poll_pump, submit_pump, wake
from workers.messaging.publish import announce
from workers.operations.resolve import Held, Verdict, held
from workers.operations.resolve import resolve as apply_verdict
from workers.restore import reconcile


@chooses("state", "reason", "everything")
def resolve(
    choice: Choice,
    *,
    accepted: Annotated[str | None, typer.Option(metavar="HANDLE", help="The provider took it, under this id.")] = None,
    not_accepted: Annotated[bool, typer.Option("--not-accepted", help="The provider has none of them: again.")] = False,
    give_up: Annotated[bool, typer.Option("--give-up", help="They fail; their cost stays in the books.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count jobs and money, change nothing.")] = False,
    sandbox: SandboxOption = False,
    as_json: JsonOption = False,
) -> None:
    """Show held jobs, or say what became of them at the provider.

    A job is held when its submission got no answer, or may have been made after the backup that was restored, and the
    provider cannot be asked. Look the time, the account and the client reference up in the provider's own records; then
    say what you found.
    """
    verdict = _verdict(accepted, not_accepted=not_accepted, give_up=give_up)
    if verdict is not None and not (choice.words or choice.which.named):
        raise typer.BadParameter("name jobs, or say which by --batch or --account: a verdict is never for everything")
    with looking(sandbox=sandbox) as runtime:
        which = choice.resolve(runtime)
        found = runtime.db(held, which) + runtime.db(reconcile.waiting, runtime.accounts, which)
        if verdict is Verdict.ACCEPTED and len(found) != 1:
            raise typer.BadParameter(f"--accepted is about one job, and {len(found)} held ones fit")
        if verdict is not None and not dry_run:
            _apply(runtime, found, verdict, accepted)
    _show(found, runtime.settings.currency, verdict, dry_run=dry_run, as_json=as_json)


def _verdict(accepted: str | None, *, not_accepted: bool, give_up: bool) -> Verdict | None:
    said = {Verdict.ACCEPTED: accepted is not None, Verdict.NOT_ACCEPTED: not_accepted, Verdict.GIVE_UP: give_up}
    given = [verdict for verdict, is_said in said.items() if is_said]
    if len(given) > 1:
        raise typer.BadParameter("say one of --accepted, --not-accepted and --give-up")
    return given[0] if given else None


def _apply(runtime: Runtime, found: list[Held], verdict: Verdict, handle: str | None) -> None:
    for (restored, account), group in groupby(found, key=lambda job: (job.state == Reason.RESTORED, job.account)):
        if restored:
            ended = runtime.db(reconcile.told, runtime.accounts, account, list(group), verdict, handle)
        else:
            ended = runtime.db(apply_verdict, account, list(group), verdict, handle).announce
        announce(ended)
        wake(runtime, submit_pump(account), poll_pump(account))


def _show(found: list[Held], currency: str, verdict: Verdict | None, *, dry_run: bool, as_json: bool) -> None:
    total = sum((job.cost for job in found), Decimal(0))
    done = verdict is not None and not dry_run
    if as_json:
        emit({"jobs": [asdict(job) for job in found], "cost": str(total), "currency": currency, "resolved": done})
        return
    table(
        ("job", "batch", "key", "account", "sent", "client reference", "cost", "what is known"),
        [
            (
                job.job_id[:8], job.batch, job.key, job.account, moment(job.sent_at), str(job.id),
                f"{amount(job.cost)} {currency}", job.error or "",
            )
            for job in found
        ],
    )  # fmt: skip
    what = f"{len(found)} held, {amount(total)} {currency} possibly paid"
    if done:
        complain(f"{what}: now {verdict.value.replace('_', ' ') if verdict else ''}", style=Style.GOOD)
    elif found:
        complain(f"{what}; next: recast resolve JOB --accepted HANDLE | --not-accepted | --give-up")
        raise typer.Exit(Code.OK if dry_run else Code.PERSON)
    else:
        complain("no job is held")
