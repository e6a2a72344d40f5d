"""Options that select jobs: the same for lists of jobs, bulk operations and `recast resolve`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, TypeVar

import typer
from sqlalchemy.orm import Session

from catalog.errors import UnknownBatchError, UnknownJobError
from cli import completion
from cli.parameters import shared
from models.batches import SINGLES_NAME
from models.checks import ASKED_CHECKS, named_checks
from models.states import JobState, Reason
from models.transactions import Database
from models.verdicts import Verdict
from reports.batch import find
from reports.job import job_id_of
from reports.selection import resolved
from workers.config.units import duration
from workers.jobs.filters import EVERY, Filter

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class JobSelection:
    """The jobs that a command line selects."""

    words: tuple[str, ...] = ()
    which: Filter = EVERY
    everything: bool = False

    def resolve(self, database: Database) -> Filter:
        """The filter, with what the words name: one batch, or jobs.

        Raises:
            CatalogError: there is no such job or batch.
            typer.BadParameter: the word names a batch and a job.
        """
        if len(self.words) == 1 and self.which.batch is None and database.db(is_batch, self.words[0]):
            return replace(self.which, batch=self.words[0])
        return database.db(resolved, self.which, self.words)

    @property
    def options(self) -> dict[str, Any]:
        """The options that select the same jobs, whatever their state, for a hint beside the words."""
        options = {name: value for name, value in self.which.named.items() if name not in ("states", "ids", "batch")}
        # Ages were read as seconds.
        given = {name: f"{value:g}s" if isinstance(value, float) else value for name, value in options.items()}
        return {**self.which.batch_option, **given, "all": self.everything}

    def named(self) -> JobSelection:
        """Itself, if it names anything, so that a slip does not change every job.

        Raises:
            typer.BadParameter: it names nothing.
        """
        if not (self.words or self.which.named or self.everything):
            raise typer.BadParameter(
                "no jobs are selected; name a batch or jobs, or use --singles, --batch, another filter, or --all"
            )
        return self


def is_batch(session: Session, word: str) -> bool:
    """Whether `word` names a batch, and no job.

    Raises:
        UnknownBatchError: it names neither, and a batch has a similar name.
        typer.BadParameter: it names both.
    """
    batch: UnknownBatchError | None = None
    job: UnknownJobError | None = None
    try:
        find(session, word)
    except UnknownBatchError as error:
        batch = error
    try:
        job_id_of(session, word)
    except UnknownJobError as error:
        job = None if error.several else error
    if batch is not None and batch.close and job is not None:
        raise batch
    if batch is None and job is None:
        raise typer.BadParameter(f"{word!r} names a batch and a job; use --batch {word} for the batch, or the job's id")
    return batch is None


def _words(values: Iterable[str]) -> str:
    """Values as a sentence has them: a line of help can be broken between them."""
    return ", ".join(values)


_PARAMETERS: dict[str, tuple[Any, Any]] = {
    "words": (
        Annotated[
            list[str] | None,
            typer.Argument(
                metavar="NAME",
                help="One batch; or jobs: ids, beginnings of ids, keys, or BATCH/KEY.",
                autocompletion=completion.batches,
            ),
        ],
        None,
    ),
    "batch": (
        Annotated[str | None, typer.Option(help="Only jobs of this batch.", autocompletion=completion.batches)],
        None,
    ),
    "singles": (
        Annotated[bool, typer.Option("--singles", help="In place of a batch: jobs that came one by one.")],
        False,
    ),
    "label": (Annotated[str | None, typer.Option(help="Only jobs of batches with this label.")], None),
    "state": (
        Annotated[
            list[JobState] | None,
            typer.Option(
                metavar="STATE", help=f"Only jobs in this state; can be given more than once: {_words(JobState)}."
            ),
        ],
        None,
    ),
    "account": (
        Annotated[
            str | None,
            typer.Option(
                help="Only jobs last sent to, or pinned to, this account.", autocompletion=completion.accounts
            ),
        ],
        None,
    ),
    "operation": (
        Annotated[str | None, typer.Option(help="Only jobs with this operation, for example zhiqite.swap.")],
        None,
    ),
    "reason": (
        Annotated[
            Reason | None,
            typer.Option(
                metavar="REASON", help=f"Only jobs that ended or were queued again for this reason: {_words(Reason)}."
            ),
        ],
        None,
    ),
    "verdict": (
        Annotated[
            Verdict | None,
            typer.Option(metavar="VERDICT", help=f"Only jobs with this verdict: {_words(Verdict)}."),
        ],
        None,
    ),
    "fault": (
        Annotated[
            str | None,
            typer.Option(
                "--reason", metavar="REASON", help="Only jobs whose verdict gives this reason (RECAST_REVIEW_REASONS)."
            ),
        ],
        None,
    ),
    "check": (
        Annotated[
            list[str] | None,
            typer.Option(
                metavar="CHECK",
                help=f"Only jobs whose picture this check flags; can be given more than once: {_words(ASKED_CHECKS)}.",
            ),
        ],
        None,
    ),
    "older": (
        Annotated[
            str | None, typer.Option(metavar="AGE", help="Only jobs created longer ago than this, for example 2h.")
        ],
        None,
    ),
    "newer": (
        Annotated[str | None, typer.Option(metavar="AGE", help="Only jobs created since, for example 2h.")],
        None,
    ),
    "everything": (Annotated[bool, typer.Option("--all", help="All jobs.")], False),
}


#: What selects by verdicts and checks: only commands about pictures have it.
BY_VERDICT = ("verdict", "fault", "check")


def takes_selection(*left_out: str) -> Callable[[Callable[..., R]], Callable[..., R]]:
    """Give a command the options that select jobs, except those `left_out`; its first parameter is the selection."""
    hidden = {*left_out, *BY_VERDICT}
    return shared({name: how for name, how in _PARAMETERS.items() if name not in hidden}, _selection)


def takes_pictures(*left_out: str) -> Callable[[Callable[..., R]], Callable[..., R]]:
    """The same for a command about pictures, whose ``--reason`` is one that a verdict gives."""
    hidden = {*left_out, "reason"}
    return shared({name: how for name, how in _PARAMETERS.items() if name not in hidden}, _selection)


def _selection(given: dict[str, Any]) -> JobSelection:
    words, everything = given.pop("words", None), given.pop("everything", False)
    given["batch"] = _batch(words or (), given, singles=given.pop("singles", False))
    states = given.pop("state", None)
    for name in ("older", "newer"):
        given[name] = _age(name, given.get(name))
    given["check"] = _checks(given.get("check"))
    return JobSelection(tuple(words or ()), Filter(states=states or None, **given), everything)


def _batch(words: Sequence[str], given: Mapping[str, Any], *, singles: bool) -> str | None:
    """The batch that is meant, which is `SINGLES_NAME` for single jobs.

    Raises:
        typer.BadParameter: something of a batch stands beside --singles, or its name is empty.
    """
    batch: str | None = given.get("batch")
    if batch == SINGLES_NAME:  # such as a variable of a script that was not set
        raise typer.BadParameter("it is empty; name a batch, or use --singles", param_hint="--batch")
    if not singles:
        return batch
    options = {"--batch": batch, "--label": given.get("label")}
    said = [*map(repr, words), *(f"{option} {value!r}" for option, value in options.items() if value is not None)]
    if said:
        raise typer.BadParameter(f"{said[0]} and --singles exclude each other; use one", param_hint="--singles")
    return SINGLES_NAME


def _checks(given: list[str] | None) -> list[str] | None:
    for wrong in set(given or ()) - set(ASKED_CHECKS):
        raise typer.BadParameter(f"{wrong!r} is not a check; allowed: {_words(ASKED_CHECKS)}", param_hint="--check")
    return named_checks(given) if given else None


def _age(name: str, value: str | None) -> float | None:
    try:
        return None if value is None else duration(value)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=f"--{name}") from None
