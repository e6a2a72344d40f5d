"""How every command is told which jobs are meant: the same words and options for lists and levers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

import typer

from cli.parameters import shared
from models.states import JobState, Reason
from reports.batch import find
from reports.job import job_id_of
from workers.config.accounts import duration
from workers.engine.runtime import Runtime
from workers.jobs.filters import EVERY, Filter

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Choice:
    """The jobs that a command line means."""

    words: tuple[str, ...] = ()
    which: Filter = EVERY
    everything: bool = False

    def resolve(self, runtime: Runtime) -> Filter:
        """The filter that is meant, with ids for words.

        Raises:
            CatalogError: a word or a batch's name means nothing here.
        """
        if self.which.batch is not None:
            runtime.db(find, self.which.batch)  # a misspelled name is not an empty list
        if not self.words:
            return self.which
        return Filter(ids=[runtime.db(job_id_of, word) for word in self.words], **self.which.named)

    def named(self) -> Choice:
        """Itself, if anything is named: no lever is pulled for everything by a slip.

        Raises:
            typer.BadParameter: nothing is.
        """
        if not (self.words or self.which.named or self.everything):
            raise typer.BadParameter("name jobs, or say which by --batch and the like, or --all")
        return self


_PARAMETERS: dict[str, tuple[Any, Any]] = {
    "words": (
        Annotated[list[str] | None, typer.Argument(metavar="[JOB]...", help="Ids, beginnings of ids, keys or B/KEY.")],
        None,
    ),
    "batch": (Annotated[str | None, typer.Option(help="Of this batch.")], None),
    "label": (Annotated[str | None, typer.Option(help="Of batches with this label.")], None),
    "state": (Annotated[list[JobState] | None, typer.Option(help="In this state; may be repeated.")], None),
    "account": (Annotated[str | None, typer.Option(help="Last sent to, or pinned to, this account.")], None),
    "operation": (Annotated[str | None, typer.Option(help="With this operation, such as zhiqite.swap.")], None),
    "reason": (Annotated[Reason | None, typer.Option(help="Ended, or queued again, for this reason.")], None),
    "older": (Annotated[str | None, typer.Option(metavar="AGE", help='Came in longer ago, such as "2h".')], None),
    "newer": (Annotated[str | None, typer.Option(metavar="AGE", help='Came in since, such as "2h".')], None),
    "everything": (Annotated[bool, typer.Option("--all", help="Every job there is.")], False),
}


def chooses(*left_out: str) -> Callable[[Callable[..., R]], Callable[..., R]]:
    """Give a command, whose first parameter is a `Choice`, the options that make it, but for those `left_out`."""
    return shared({name: how for name, how in _PARAMETERS.items() if name not in left_out}, _choice)


def _choice(given: dict[str, Any]) -> Choice:
    words, everything = given.pop("words", None), given.pop("everything", False)
    states = given.pop("state", None)
    for name in ("older", "newer"):
        given[name] = _age(name, given.get(name))
    return Choice(tuple(words or ()), Filter(states=states or None, **given), everything)


def _age(name: str, value: str | None) -> float | None:
    try:
        return None if value is None else duration(value)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=f"--{name}") from None
