"""Verdicts about all pictures of a batch that a filter chooses, for `recast verdict`."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from cli.answers import agree
from cli.impact import CONFIRM_ABOVE_JOBS
from cli.output import Style, complain, emit, say
from desk.actors import from_command
from desk.selecting import WHY, Done, Selected, require_few, require_reason, select
from desk.selections import decidable, decide_all
from desk.verdicts import Decision
from models.batches import SINGLES, SINGLES_NAME
from models.verdicts import Verdict
from reports.batch import find
from workers.counted import counted
from workers.engine.runtime import Runtime
from workers.jobs.filters import Filter


@dataclass(frozen=True, slots=True)
class VerdictCommand:
    """What a command says of the pictures of a batch."""

    #: The word for it: approve, needs-work or undo.
    answer: str
    #: None takes the last verdicts back.
    decision: Decision | None
    dry_run: bool
    yes: bool
    as_json: bool


def decide(runtime: Runtime, batch: str | None, which: Filter, asked: VerdictCommand) -> None:
    """Count the pictures of a batch, or of single jobs, ask before many, decide about them, and report it.

    Raises:
        UnknownBatchError: there is no such batch.
        DeskError: more are meant than one selection may have.
        typer.Abort: the person declines.
    """
    batch_id = SINGLES if batch is None else runtime.db(find, batch).id
    if asked.decision is not None and which.verdict is None:
        # What people have decided about is named, or left alone.
        which = replace(which, verdict=Verdict.UNREVIEWED.value)
    found = runtime.db(select, replace(which, batch=SINGLES_NAME if batch is None else batch))
    require_few(found)
    require_reason("--reason", which.fault, runtime.settings.review_reasons, found=bool(found))
    found, done = decidable(runtime, from_command(), batch_id, found, asked.decision)
    whose = "single jobs" if batch is None else batch
    much = f"{asked.answer}: {counted(len(found), 'picture')} of {whose}"
    if not asked.dry_run and not asked.yes and len(found) > CONFIRM_ABOVE_JOBS:
        agree(much, ", or --dry-run to only count")
    if not asked.dry_run:
        done.add(decide_all(runtime, from_command(), batch_id, found, asked.decision, str(uuid.uuid4())))
    if asked.as_json:
        emit(_document(found, done, asked))
        return
    if not found:
        say("no picture fits", style=Style.WAITING)
    elif asked.dry_run:
        say(f"{much}; nothing was changed")
    else:
        say(f"{asked.answer}: {counted(done.number, 'picture')} of {whose}", style=Style.GOOD)
    for why, number in done.left_out.items():
        if number:
            complain(f"{number:,} left out: {WHY[why]}", style=Style.WAITING)


def _document(found: Sequence[Selected], done: Done, asked: VerdictCommand) -> dict[str, Any]:
    left = {why.value: number for why, number in done.left_out.items() if number}
    return {
        "answer": asked.answer, "dry_run": asked.dry_run, "pictures": len(found), "done": done.number, "left_out": left,
    }  # fmt: skip
