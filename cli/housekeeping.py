"""`recast forget` and `recast prune`: pictures that must go, and pictures that nobody needs any more."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from cli.environment import JsonOption, SandboxOption, looking
from cli.output import Code, Style, complain, emit, say
from models.states import ANNOUNCED_JOB_STATES, JobState
from reports.batch import find
from workers.config.accounts import duration
from workers.operations.erase import Removed
from workers.operations.forget import Forgotten, Person
from workers.operations.forget import forget as forget_person
from workers.operations.prune import Pruned, prune_orphans
from workers.operations.prune import prune as prune_jobs

DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Count, change nothing.")]


def forget(
    pictures: Annotated[
        list[str] | None, typer.Argument(metavar="[PICTURE]...", help="Paths and URLs of the person's pictures.")
    ] = None,
    *,
    sha256: Annotated[list[str] | None, typer.Option(help="Digest of a picture; may be repeated.")] = None,
    consent: Annotated[str | None, typer.Option(metavar="REF", help="All jobs under this release.")] = None,
    metadata: Annotated[
        list[str] | None, typer.Option(metavar="COLUMN=VALUE", help="All jobs with this metadata; may be repeated.")
    ] = None,
    dry_run: DryRunOption = False,
    sandbox: SandboxOption = False,
    as_json: JsonOption = False,
) -> None:
    """Remove a person's pictures everywhere: inputs, results, thumbnails, and what rows say of them.

    The books stay. What could not be removed, because it lies at a provider or a job is at work, is told; then the exit
    code is 3.
    """
    pairs = [dict([_pair(word)]) for word in metadata or ()] + ([{"consent": consent}] if consent else [])
    if not (pictures or sha256 or pairs):
        raise typer.BadParameter("name pictures, a --sha256, a --consent or --metadata COLUMN=VALUE")
    person = Person([_uri(word) for word in pictures or ()], sha256 or (), pairs)
    with looking(sandbox=sandbox) as runtime:
        done = forget_person(runtime, person, dry_run=dry_run)
    if as_json:
        emit({**asdict(done), "dry_run": dry_run})
    else:
        _tell_forgotten(done, dry_run=dry_run)
    if done.at_work or done.uploads or done.files.failed:
        raise typer.Exit(Code.PERSON)


def _pair(word: str) -> tuple[str, str]:
    name, equals, value = word.partition("=")
    if not name or not equals:
        raise typer.BadParameter(f"{word!r} is not allowed; write COLUMN=VALUE", param_hint="--metadata")
    return name, value


def _uri(word: str) -> str:
    """As jobs name it: a path from the root."""
    return word if "://" in word else str(Path(word).absolute())


def _tell_forgotten(done: Forgotten, *, dry_run: bool) -> None:
    would = "would be " if dry_run else ""
    say(
        f"{done.jobs:,} jobs {would}redacted, {done.canceled:,} of them canceled;"
        f" {done.inputs:,} inputs {would}forgotten"
    )
    _tell_files(done.files, would)
    if done.at_work:
        listed = ", ".join(job[:8] for job in done.at_work[:10])
        complain(
            f"{len(done.at_work):,} jobs are at work ({listed}): forget again when they have ended", style=Style.BAD
        )
    for upload in done.uploads:
        complain(
            f"{upload['account']} holds a picture ({upload['role']}) as {upload['handle']}: its API documents no way"
            " to remove it; ask the provider",
            style=Style.BAD,
        )
    for account, number in done.sent.items():
        complain(f"{account} was sent {number:,} jobs with it: what it keeps of them is for the provider to say")


def prune(
    *,
    older: Annotated[
        str | None,
        typer.Option(metavar="AGE", help='Jobs that ended longer ago, such as "30d"; what batches keep by default.'),
    ] = None,
    state: Annotated[list[JobState] | None, typer.Option(help="That ended so; may be repeated.")] = None,
    batch: Annotated[str | None, typer.Option(help="Of this batch.")] = None,
    orphans: Annotated[
        bool, typer.Option("--orphans", help="Files that no row names, and copies of inputs that nobody uses.")
    ] = False,
    dry_run: DryRunOption = False,
    sandbox: SandboxOption = False,
    as_json: JsonOption = False,
) -> None:
    """Remove pictures from the storage by age; the jobs and the books stay.

    Without options: those that are older than `recast run --keep` told their batches to keep them.
    """
    states = tuple(state or ANNOUNCED_JOB_STATES)
    if not set(states) <= ANNOUNCED_JOB_STATES:
        allowed = ", ".join(sorted(ANNOUNCED_JOB_STATES))
        raise typer.BadParameter(f"only jobs that have ended can be pruned: {allowed}", param_hint="--state")
    seconds = age(older, "--older") if older else None
    pruned, files = Pruned(), Removed()
    with looking(sandbox=sandbox) as runtime:
        if batch is not None:
            runtime.db(find, batch)  # a misspelled name is not an empty batch
        if not orphans or older:
            pruned = prune_jobs(runtime, seconds=seconds, states=states, batch=batch, dry_run=dry_run)
        if orphans:
            files = prune_orphans(runtime, dry_run=dry_run)
    if as_json:
        emit({"jobs": pruned.jobs, "pictures": asdict(pruned.removed), "orphans": asdict(files), "dry_run": dry_run})
    else:
        would = "would be " if dry_run else ""
        say(f"{pruned.jobs:,} jobs {would}pruned")
        files.add(pruned.removed)
        _tell_files(files, would)
    if pruned.removed.failed or files.failed:
        raise typer.Exit(Code.INFRASTRUCTURE)


def age(text: str, option: str) -> float:
    """Seconds that an age such as ``30d`` stands for."""
    try:
        return duration(text)
    except ValueError:
        raise typer.BadParameter(f'{text!r} is no age; write "12h" or "30d"', param_hint=option) from None


def _tell_files(files: Removed, would: str) -> None:
    shared = f"; {files.shared:,} stay, which other jobs use too" if files.shared else ""
    say(f"{files.files:,} files {would}removed{shared}")
    for key, why in files.failed.items():
        complain(f"{key}: {why}", style=Style.BAD)
