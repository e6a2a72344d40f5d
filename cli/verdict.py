"""`recast verdict`: a verdict about a picture, or about those of a batch, or of single jobs, that a filter chooses."""

from __future__ import annotations

from dataclasses import asdict
from enum import StrEnum
from typing import Annotated

import typer
from sqlalchemy.orm import Session

from cli.deployment import open_deployment
from cli.environment import JsonOption, SandboxOption
from cli.filters import JobSelection, is_batch, takes_pictures
from cli.output import Style, emit, say
from cli.selections import VerdictCommand, decide
from desk.actors import from_command
from desk.verdicts import Decided, Decision, DeskError, choose, judge, newest_of, undo
from models.verdicts import Verdict
from reports.job import JobDetail, find_detail
from workers.engine.runtime import Runtime


class Answer(StrEnum):
    """What can be said of a picture by command."""

    APPROVE = "approve"
    NEEDS_WORK = "needs-work"
    UNDO = "undo"
    CHOOSE = "choose"


@takes_pictures("words", "batch", "label", "fault", "everything")
def verdict(
    selection: JobSelection,
    name: Annotated[
        str,
        typer.Argument(
            help="Job id, the beginning of one, key, or BATCH/KEY; or a batch, for all that filters choose. Left out"
            " with --singles.",
        ),
    ],
    answer: Annotated[Answer | None, typer.Argument(help="What you say of its picture.", show_default=False)] = None,
    *,
    reason: Annotated[
        list[str] | None, typer.Option(help="What is wrong, from RECAST_REVIEW_REASONS. Give it once for each reason.")
    ] = None,
    note: Annotated[str | None, typer.Option(help="What else there is to say.")] = None,
    picture: Annotated[
        int | None, typer.Option(min=0, help="Which picture, if the job made several. Default: the one that is used.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count the pictures of a batch; change nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    sandbox: SandboxOption = False,
    as_json: JsonOption = False,
) -> None:
    """Approve a picture or not, undo that, or choose one.

    With a batch's name, all of its unreviewed pictures are meant; --verdict, --check, --state and the other filters
    choose others. With --singles, the same is meant of the jobs that came one by one.
    """
    job, answer = _read(name, answer, singles=selection.which.singles)
    decision = Decision(_VERDICTS[answer], tuple(reason or ()), note)
    with open_deployment(sandbox=sandbox) as runtime:
        if job is None or runtime.db(_is_batch, job, selection):
            if answer is Answer.CHOOSE or picture is not None:
                raise typer.BadParameter(f"{job or '--singles'} means many; name one job to choose among its pictures")
            said = None if answer is Answer.UNDO else decision
            asked = VerdictCommand(answer.value, said, dry_run=dry_run, yes=yes, as_json=as_json)
            decide(runtime, job, selection.which, asked)
            return
        if dry_run:
            raise typer.BadParameter(f"{job} is one job; --dry-run counts the pictures of a batch")
        detail = runtime.db(find_detail, job, runtime.storage)
        decided = _decided(runtime, detail, answer, decision, picture)
    if as_json:
        emit(asdict(decided))
        return
    words = decided.job_verdict.replace("_", " ")
    say(f"{detail.job.key or detail.job.id}: {words}", style=_STYLES[decided.job_verdict])


_VERDICTS = {
    Answer.APPROVE: Verdict.APPROVED,
    Answer.NEEDS_WORK: Verdict.NEEDS_WORK,
    Answer.UNDO: Verdict.UNREVIEWED,
    Answer.CHOOSE: Verdict.UNREVIEWED,
}
_STYLES = {Verdict.APPROVED: Style.GOOD, Verdict.NEEDS_WORK: Style.BAD, Verdict.UNREVIEWED: Style.QUIET}


def _read(name: str, answer: Answer | None, *, singles: bool) -> tuple[str | None, Answer]:
    """The name, which is None for single jobs, and the answer.

    Raises:
        typer.BadParameter: one of them is missing, or there is a name beside --singles.
    """
    if not singles:
        if answer is None:
            raise typer.BadParameter(f"after {name}, an answer is missing; allowed: {', '.join(Answer)}")
        return name, answer
    if answer is not None or name not in list(Answer):
        raise typer.BadParameter(f"{name!r}: with --singles, only an answer is allowed: {', '.join(Answer)}")
    return None, Answer(name)


def _is_batch(session: Session, word: str, selection: JobSelection) -> bool:
    """Whether pictures of a batch are meant: its name may also be a job's, but a filter is of batches only."""
    if selection.which.named:
        return True
    try:
        return is_batch(session, word)
    except typer.BadParameter:
        raise typer.BadParameter(
            f"{word!r} names a batch and a job; for the batch, add a filter such as --verdict unreviewed; for the job,"
            " use its id"
        ) from None


def _decided(runtime: Runtime, detail: JobDetail, answer: Answer, decision: Decision, picture: int | None) -> Decided:
    actor = from_command()
    review = runtime.db(newest_of, detail.job.id)
    present = {result.index: result.id for result in detail.results_of(detail.job.version)}
    used = review.chosen if review.chosen is not None else present.get(min(present, default=0))
    result_id = used if picture is None else present.get(picture)
    if result_id is None:
        allowed = ", ".join(map(str, present)) or "none, for it has no picture"
        raise DeskError(f"--picture: {picture} is not a picture of job {detail.job.id}; allowed: {allowed}")
    if answer is Answer.CHOOSE:
        return runtime.db(choose, actor, result_id)
    if answer is Answer.UNDO:
        return runtime.db(undo, actor, detail.job.batch_id, result_id)
    return runtime.db(
        judge, actor, result_id, decision, based_on=review.newest[result_id],
        known_reasons=runtime.settings.review_reasons,
    )  # fmt: skip
