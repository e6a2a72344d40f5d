"""`recast forget` and `recast prune`: erasure of a person's data, and removal of pictures by age."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from cli import completion
from cli.deployment import open_deployment
from cli.environment import JsonOption, SandboxOption
from cli.exit_codes import ExitCode
from cli.output import Style, complain, emit, say
from cli.summary import PICTURES
from models.identity import SHORT
from models.states import ANNOUNCED_JOB_STATES, JobState
from reports.archives import all_files
from reports.batch import find
from reports.copies import copies
from workers.config.units import duration
from workers.counted import counted
from workers.http.addresses import AddressError, one_form
from workers.operations.erase import Removed
from workers.operations.forget import Forgotten, Person
from workers.operations.forget import forget as forget_person
from workers.operations.prune import Pruned, prune_guests, prune_orphans
from workers.operations.prune import prune as prune_jobs

#: What Flower keeps where it is started with `--persistent`.
FLOWER_STATE = "flower*.db*"

DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Count; change nothing.")]


def forget(
    pictures: Annotated[
        list[str] | None, typer.Argument(metavar="PICTURE", help="Paths and URLs of the person's pictures.")
    ] = None,
    *,
    sha256: Annotated[list[str] | None, typer.Option(help="SHA-256 of a picture; can be given more than once.")] = None,
    consent: Annotated[str | None, typer.Option(metavar="REF", help="All jobs with this consent reference.")] = None,
    metadata: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN=VALUE", help="All jobs with this metadata; can be given more than once."),
    ] = None,
    exports: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FOLDER",
            help="Also list copies of the pictures in this folder; can be given more than once. "
            f"./{PICTURES} is always searched.",
        ),
    ] = None,
    dry_run: DryRunOption = False,
    sandbox: SandboxOption = False,
    as_json: JsonOption = False,
) -> None:
    """Remove a person's pictures and data, and what they became.

    This removes inputs, results, thumbnails, and personal fields of jobs. Recorded attempts and costs stay. The command
    lists what it could not remove, because a provider stores it, a job is in progress, or it is not Recast's to remove;
    the exit code is then 3.
    """
    pairs = [dict([_pair(word)]) for word in metadata or ()] + ([{"consent": consent}] if consent else [])
    if not (pictures or sha256 or pairs):
        raise typer.BadParameter("nothing is selected; name pictures, --sha256, --consent or --metadata COLUMN=VALUE")
    person = Person([_uri(word) for word in pictures or ()], sha256 or (), pairs)
    with open_deployment(sandbox=sandbox) as runtime:
        done = forget_person(runtime, person, dry_run=dry_run)
        archived = [runtime.storage.url(key) for key in runtime.db(all_files)]
    found = [str(path) for folder in (PICTURES, *(exports or ())) for path in copies(folder, done.pictures)]
    flower = [str(path) for path in Path().glob(FLOWER_STATE)] if done.jobs else []
    if as_json:
        document = {name: value for name, value in asdict(done).items() if name not in {"pictures", "ended"}}
        emit(
            {"jobs": done.jobs, **document, "copies": found, "flower": flower, "archives": archived, "dry_run": dry_run}
        )
    else:
        _print_forgotten(done, dry_run=dry_run)
        _print_left(done, found, flower)
        if archived:
            complain(
                f"files of archived jobs, {len(archived):,} in all and {archived[0]} the first, were not looked into:"
                " remove the person's rows from them, and the pictures that these name",
                style=Style.BAD,
            )
    left = done.at_work or done.uploads or done.files.failed or done.results_left or done.links
    if left or found or flower or archived:
        raise typer.Exit(ExitCode.PERSON)


def _print_left(done: Forgotten, found: list[str], flower: list[str]) -> None:
    """Say what is not Recast's to remove, and how it is removed."""
    for path in found:
        complain(f"{path} is a copy of a picture: remove it", style=Style.BAD)
    if done.links:
        complain(
            f"exports have {done.links:,} hard links to the pictures; --exports FOLDER lists those in a folder: remove"
            " them there",
            style=Style.BAD,
        )
    for path in flower:
        complain(f"{path} has what Flower saw of the tasks: stop Flower, remove the file, start it", style=Style.BAD)
    if done.results_left:
        complain(
            f"the result backend did not remove the results of {len(done.results_left):,} tasks; they expire by"
            " themselves within 7 days, or remove the keys celery-task-meta-ID of " + ", ".join(done.results_left[:10]),
            style=Style.BAD,
        )


def _pair(word: str) -> tuple[str, str]:
    name, equals, value = word.partition("=")
    if not name or not equals:
        raise typer.BadParameter(f"{word!r} is not COLUMN=VALUE", param_hint="--metadata")
    return name, value


def _uri(word: str) -> str:
    """A picture's URI as jobs store it: an address in its one form, a path absolute."""
    try:
        word = one_form(word)
    except AddressError:
        return word.strip()  # jobs of earlier versions may have it as it stands
    return word if "://" in word else str(Path(word).absolute())


def _print_forgotten(done: Forgotten, *, dry_run: bool) -> None:
    would = "would be " if dry_run else ""
    jobs, inputs = counted(done.jobs, "job"), counted(done.inputs, "input")
    say(f"{jobs} {would}redacted, {done.canceled:,} of them canceled; {inputs} {would}removed")
    _print_files(done.files, would)
    if done.at_work:
        listed = ", ".join(job[:SHORT] for job in done.at_work[:10])
        complain(
            f"{counted(len(done.at_work), 'job', 'are')} in progress ({listed}); run this again later",
            style=Style.BAD,
        )
    for upload in done.uploads:
        complain(
            f"{upload['account']} stores a picture ({upload['role']}) as {upload['handle']}; its API has no documented"
            " call to remove it: ask the provider",
            style=Style.BAD,
        )
    for account, number in done.sent.items():
        complain(
            f"{account} received {counted(number, 'job')} with the person's pictures; ask the provider what it keeps"
        )


def prune(
    *,
    older: Annotated[
        str | None,
        typer.Option(
            metavar="AGE",
            help="Only jobs that ended longer ago than this, for example 30d. Default: each batch's --keep.",
        ),
    ] = None,
    state: Annotated[
        list[JobState] | None, typer.Option(help="Only jobs that ended in this state; can be given more than once.")
    ] = None,
    batch: Annotated[
        str | None, typer.Option(help="Only jobs of this batch.", autocompletion=completion.batches)
    ] = None,
    orphans: Annotated[
        bool, typer.Option("--orphans", help="Remove files that no row names and unused copies of inputs.")
    ] = False,
    dry_run: DryRunOption = False,
    sandbox: SandboxOption = False,
    as_json: JsonOption = False,
) -> None:
    """Remove pictures by age. Jobs and costs stay.

    Without options, remove pictures that are older than their batch's `recast run --keep`.
    """
    states = tuple(state or ANNOUNCED_JOB_STATES)
    if not set(states) <= ANNOUNCED_JOB_STATES:
        allowed = ", ".join(sorted(ANNOUNCED_JOB_STATES))
        raise typer.BadParameter(
            f"only pictures of jobs that have ended can be removed; allowed: {allowed}", param_hint="--state"
        )
    seconds = age(older, "--older") if older else None
    pruned, files = Pruned(), Removed()
    with open_deployment(sandbox=sandbox) as runtime:
        if batch is not None:
            runtime.db(find, batch)  # so that a misspelled name is an error, not an empty batch
        if not orphans or older:
            pruned = prune_jobs(runtime, seconds=seconds, states=states, batch=batch, dry_run=dry_run)
        if orphans:
            files = prune_orphans(runtime, dry_run=dry_run)
            if not dry_run:
                runtime.db(prune_guests)
    if as_json:
        emit({"jobs": pruned.jobs, "pictures": asdict(pruned.removed), "orphans": asdict(files), "dry_run": dry_run})
    else:
        would = "would be " if dry_run else ""
        say(f"pictures of {counted(pruned.jobs, 'job')} {would}removed")
        files.add(pruned.removed)
        _print_files(files, would)
    if pruned.removed.failed or files.failed:
        raise typer.Exit(ExitCode.INFRASTRUCTURE)


def age(text: str, option: str) -> float:
    """An age such as ``30d``, in seconds.

    Raises:
        typer.BadParameter: it is not an age.
    """
    try:
        return duration(text)
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is not a valid age; use a number with a unit such as 12h or 30d", param_hint=option
        ) from None


def _print_files(files: Removed, would: str) -> None:
    shared = f"; {files.shared:,} kept, because other jobs use them" if files.shared else ""
    say(f"{counted(files.files, 'file')} {would}removed{shared}")
    for key, why in files.failed.items():
        complain(f"{key}: {why}", style=Style.BAD)
