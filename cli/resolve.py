"""`recast resolve`: decisions about held jobs."""

from __future__ import annotations

from dataclasses import asdict
from decimal import Decimal
from typing import Annotated

import typer

from cli.deployment import open_deployment
from cli.environment import JsonOption, SandboxOption
from cli.exit_codes import ExitCode
from cli.filters import JobSelection, takes_selection
from cli.output import Style, complain, emit, moment, priced, table, waiting_for_decision
from desk.deciding import apply
from models.identity import SHORT
from recast.hints import hint
from recast.money import Money
from reports import held
from workers.counted import counted
from workers.operations.resolve import Held, Verdict


@takes_selection("state", "reason", "everything")
def resolve(
    selection: JobSelection,
    *,
    accepted: Annotated[
        str | None, typer.Option(metavar="HANDLE", help="The provider accepted the job under this id; poll it.")
    ] = None,
    not_accepted: Annotated[
        bool, typer.Option("--not-accepted", help="The provider has none of the jobs; queue them again.")
    ] = False,
    give_up: Annotated[
        bool, typer.Option("--give-up", help="Mark the jobs as failed; their cost stays recorded.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count jobs and money; change nothing.")] = False,
    sandbox: SandboxOption = False,
    as_json: JsonOption = False,
) -> None:
    """List held jobs, or decide about them.

    A held job is waiting for a decision: its submission got no answer, or it may have been sent after the restored
    backup was taken, and the provider's API cannot say whether it accepted the job. Look up the time, the account and
    the client reference in the provider's own records, then use one of --accepted, --not-accepted and --give-up.
    """
    verdict = _verdict(accepted, not_accepted=not_accepted, give_up=give_up)
    if verdict is not None and not (selection.words or selection.which.named):
        raise typer.BadParameter(
            "no jobs are selected; name a batch or jobs, or use --batch, --singles, --account or another filter"
        )
    with open_deployment(sandbox=sandbox) as runtime:
        which = selection.resolve(runtime)
        found = runtime.db(held.of, runtime.accounts, which)
        if verdict is Verdict.ACCEPTED and len(found) != 1:
            raise typer.BadParameter(
                f"--accepted decides about one job, and {len(found)} held jobs are selected; name the job"
            )
        called_back = [job for job in found if job.callback_at]
        if verdict is Verdict.NOT_ACCEPTED and called_back:
            raise typer.BadParameter(
                f"--not-accepted would pay again for {counted(len(called_back), 'job')} that the provider called back "
                f"about, and so accepted: {called_back[0].job_id}; use --accepted HANDLE or --give-up for those"
            )
        if verdict is not None and not dry_run:
            apply(runtime, found, verdict, accepted)
    _show(found, runtime.settings.currency, verdict, dry_run=dry_run, as_json=as_json)


def _verdict(accepted: str | None, *, not_accepted: bool, give_up: bool) -> Verdict | None:
    said = {Verdict.ACCEPTED: accepted is not None, Verdict.NOT_ACCEPTED: not_accepted, Verdict.GIVE_UP: give_up}
    given = [verdict for verdict, is_said in said.items() if is_said]
    if len(given) > 1:
        raise typer.BadParameter("use only one of --accepted, --not-accepted and --give-up")
    return given[0] if given else None


def _show(found: list[Held], currency: str, verdict: Verdict | None, *, dry_run: bool, as_json: bool) -> None:
    total = Money(sum((job.cost for job in found), Decimal(0)), currency)
    done = verdict is not None and not dry_run
    if as_json:
        emit({"jobs": priced([asdict(job) for job in found], currency), "cost": total, "resolved": done})
        return
    table(
        ("job", "batch", "key", "account", "sent", "callback", "client reference", "cost", "error"),
        [
            (
                job.job_id[:SHORT], job.batch, job.key, job.account, moment(job.sent_at), moment(job.callback_at),
                str(job.id), Money(job.cost, currency), job.error or "",
            )
            for job in found
        ],
    )  # fmt: skip
    what = f"{waiting_for_decision(len(found))}, {total} possibly billed"
    if done:
        decided = verdict.value.replace("_", " ") if verdict else ""
        complain(f"resolved as {decided}: {counted(len(found), 'job')}, {total} possibly billed", style=Style.GOOD)
    elif found:
        called_back = sum(job.callback_at is not None for job in found)
        if called_back:
            complain(
                f"the provider called back about {called_back:,} of them, so it accepted those: find their ids there"
            )
        job = found[0].job_id if len(found) == 1 else "JOB"
        ways = (
            hint("resolve", job, accepted="HANDLE"),
            hint("resolve", job, not_accepted=True),
            hint("resolve", job, give_up=True),
        )
        complain(f"{what}; next: {ways[0]}, {ways[1]} or {ways[2]}")
        raise typer.Exit(ExitCode.OK if dry_run else ExitCode.PERSON)
    else:
        complain("no jobs are waiting for a decision (held)")
