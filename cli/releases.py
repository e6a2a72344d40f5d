"""`recast releases`: what the people shown have agreed to, and what was made under it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from cli.environment import JsonOption, SandboxOption, open_database
from cli.output import answer, emit, moment, say, table
from desk import releases as desk
from desk.actors import from_command
from recast.hints import hint
from workers.jobs.request import KINDS

releases = typer.Typer(help="Say what a release allows, and list what was made.", no_args_is_help=True)

ReferenceArgument = Annotated[
    str, typer.Argument(metavar="REF", help="The release's reference, as in the column consent.")
]


@releases.command("set")
def put(
    reference: ReferenceArgument,
    *,
    until: Annotated[
        str | None, typer.Option(metavar="DATE", help="The last day (UTC), or a time, such as 2027-06-30.")
    ] = None,
    kind: Annotated[
        list[str] | None, typer.Option(metavar="KIND", help=f"What it allows: {' or '.join(KINDS)}. Default: both.")
    ] = None,
    label: Annotated[
        list[str] | None, typer.Option(metavar="LABEL", help="A label of batches that it allows. Default: all jobs.")
    ] = None,
    sandbox: SandboxOption = False,
    as_json: JsonOption = False,
) -> None:
    """Write down what a release allows, in place of what was written before."""
    ends_at = None if until is None else desk.end_of(until)
    with open_database(sandbox=sandbox) as deployment:
        deployment.db(
            lambda session: desk.put(
                session, from_command(), reference, ends_at=ends_at, kinds=kind or (), labels=label or ()
            )
        )
    written = desk.ListedRelease(reference, ends_at, kind, label)
    answer(f"{reference}: {written.scope}", asdict(written), as_json=as_json)


@releases.command()
def end(reference: ReferenceArgument, *, sandbox: SandboxOption = False, as_json: JsonOption = False) -> None:
    """End a release now: workers send no job under it any more."""
    with open_database(sandbox=sandbox) as deployment:
        deployment.db(desk.end, from_command(), reference)
        release, _ = deployment.db(desk.made, reference)
    said = f"{reference} has ended; {hint('releases show', reference)} lists what was made under it"
    answer(said, release and asdict(release), as_json=as_json)


@releases.command("list")
def listed(*, sandbox: SandboxOption = False, as_json: JsonOption = False) -> None:
    """List the releases that have an end or a scope."""
    with open_database(sandbox=sandbox) as deployment:
        found = deployment.db(desk.everything)
    if as_json:
        emit([asdict(each) for each in found])
        return
    if not found:
        say(f"no release has an end or a scope yet; {hint('releases set', 'REF', until='DATE')} gives it one")
        return
    for each in found:
        say(f"{each.reference}: {each.scope}")


@releases.command()
def show(reference: ReferenceArgument, *, sandbox: SandboxOption = False, as_json: JsonOption = False) -> None:
    """Show what a release allows, and the jobs that name it."""
    with open_database(sandbox=sandbox) as deployment:
        release, jobs = deployment.db(desk.made, reference)
    if as_json:
        emit({"release": release and asdict(release), "jobs": [asdict(job) for job in jobs]})
        return
    say(f"{reference}: {release.scope if release is not None else 'no end and no limit is written down'}")
    if not jobs:
        say("no job names it")
        return
    table(
        ("job", "state", "pictures", "ended"),
        [
            (
                f"{job.batch}/{job.key}" if job.key is not None else job.job_id, job.state, job.pictures or "",
                moment(job.finished_at) if job.finished_at else "",
            )
            for job in jobs
        ],
        right=("pictures",),
    )  # fmt: skip
    say(f"{hint('forget', consent=reference)} removes these pictures")
