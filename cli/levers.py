"""`recast resolve`: what a person decides about jobs that cannot go on by themselves."""

from __future__ import annotations

from dataclasses import asdict
from decimal import Decimal
from itertools import groupby
from typing import Annotated

import typer

from catalog.stories import tell
from cli.environment import JsonOption, SandboxOption, looking
from cli.output import Code, Style, amount, complain, emit, moment, table
from workers.resolve import Held, Verdict, held, resolve
from workers.runtime import Runtime
from workers.tell import announce
from workers.wake import poll_pump, submit_pump, wake


def resolve_held(
    jobs: Annotated[list[str] | None, typer.Argument(help="Ids, beginnings of ids, keys or BATCH/KEY.")] = None,
    *,
    batch: Annotated[str | None, typer.Option(help="Held jobs of this batch.")] = None,
    account: Annotated[str | None, typer.Option(help="Held jobs sent to this account.")] = None,
    accepted: Annotated[str | None, typer.Option(metavar="HANDLE", help="The provider took it, under this id.")] = None,
    not_accepted: Annotated[bool, typer.Option("--not-accepted", help="The provider has none of them: again.")] = False,
    give_up: Annotated[bool, typer.Option("--give-up", help="They fail; their cost stays in the books.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count jobs and money, change nothing.")] = False,
    sandbox: SandboxOption = False,
    as_json: JsonOption = False,
) -> None:
    """Show held jobs, or say what became of them at the provider.

    A job is held when its submission got no answer and the provider cannot be asked. Look the time, the account and the
    client reference up in the provider's own records; then say what you found.
    """
    verdict = _verdict(accepted, not_accepted=not_accepted, give_up=give_up)
    if verdict is not None and not (jobs or batch or account):
        raise typer.BadParameter("name jobs, a --batch or an --account: a verdict is never meant for everything")
    with looking(sandbox=sandbox) as runtime:
        ids = [str(runtime.db(tell, word, runtime.storage).job["id"]) for word in jobs or ()] or None
        found = runtime.db(held, job_ids=ids, batch=batch, account=account)
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
    for account, group in groupby(found, key=lambda job: job.account):
        recorded = runtime.db(resolve, account, list(group), verdict, handle)
        announce(recorded.announce)
        wake(runtime, submit_pump(account))
        wake(runtime, poll_pump(account))


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
