"""Options of a run on the command line, shared by `recast run` and `recast schedule add`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, TypeVar

import typer

from cli import completion
from cli.answers import named_options, option_of
from cli.parameters import Parameters, shared
from models.checks import CheckName
from workers.config.settings import Settings
from workers.config.units import TooLongError, duration
from workers.jobs.request import MAX_PRIORITY, MIN_PRIORITY
from workers.jobs.run_options import Format, Only, RunOptions

DAY_SECONDS = 86_400

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class GivenOptions:
    """The options of a run as they were typed."""

    typed: Mapping[str, Any]

    def resolve(self, settings: Settings) -> RunOptions:
        """The typed options as `RunOptions` of the deployment of `settings`.

        Raises:
            typer.BadParameter: a value is not allowed.
        """
        values = dict(self.typed)
        for name, read in _READERS.items():
            if values.get(name) is not None:
                try:
                    values[name] = read(values[name])
                except ValueError as error:
                    raise typer.BadParameter(str(error), param_hint=option_of(name)) from None
        values |= {name: values.get(name) or () for name in ("only", "redo_flagged")}
        with named_options():
            return RunOptions.parse(values, settings.currency)


def takes_run_options(batch: str, *left_out: str) -> Callable[[Callable[..., R]], Callable[..., R]]:
    """Give a command, whose first parameter is `GivenOptions`, the options of a run, except those `left_out`.

    Args:
        batch: what the spending limit and the deadline apply to: "the batch" or "each run".
        left_out: fields of `RunOptions` that have no meaning there.
    """
    offered = {name: how for name, how in _parameters(batch).items() if name not in left_out}
    return shared(offered, GivenOptions)


def _parameters(batch: str) -> Parameters:
    return {**_where_and_how_much(batch), **_redos(batch), **_which_rows(), **_which_batch(batch)}


def _where_and_how_much(batch: str) -> Parameters:
    return {
        "format": (
            Annotated[
                Format | None, typer.Option(help="Format of the catalog, if neither its name nor its server says it.")
            ],
            None,
        ),
        "sheet": (Annotated[str | None, typer.Option(help="Sheet of an .xlsx catalog. Default: the first.")], None),
        "account": (
            Annotated[
                str | None,
                typer.Option(help="Account for rows without account and provider.", autocompletion=completion.accounts),
            ],
            None,
        ),
        "provider": (Annotated[str | None, typer.Option(help="Provider for rows without account and provider.")], None),
        "max_cost": (
            Annotated[
                str | None, typer.Option(metavar="MONEY", help=f"Spending limit for {batch}, for example 12.50.")
            ],
            None,
        ),
        "max_in_flight": (
            Annotated[int | None, typer.Option(help="Maximum number of the batch's jobs at providers at a time.")],
            None,
        ),
        "require_consent": (
            Annotated[bool, typer.Option(help="Reject rows without a consent (reference of a model release).")],
            False,
        ),
    }


def _redos(batch: str) -> Parameters:
    return {
        "redo_flagged": (
            Annotated[
                list[CheckName] | None,
                typer.Option(
                    metavar="CHECK",
                    help="Ask again for pictures that this check flags, such as no_face; can be given more than once.",
                ),
            ],
            None,
        ),
        "redo_cap": (
            Annotated[
                str | None, typer.Option(metavar="MONEY", help=f"What redos of flagged pictures may cost in {batch}.")
            ],
            None,
        ),
        "redo_each": (
            Annotated[int | None, typer.Option(help="How often a flagged picture is redone. Default: once.")],
            None,
        ),
    }


def _which_rows() -> Parameters:
    return {
        "only": (
            Annotated[list[Only] | None, typer.Option(help="Queue only these rows; can be given more than once.")],
            None,
        ),
        "pilot": (
            Annotated[
                str | None,
                typer.Option(
                    metavar="SIZE", help="Send only a sample, 1% or 25 of the rows; `recast pilot` sends the rest."
                ),
            ],
            None,
        ),
        "retry_rejected": (
            Annotated[bool, typer.Option(help="Also queue rows again that a provider rejected.")],
            False,
        ),
    }


def _which_batch(batch: str) -> Parameters:
    return {
        "label": (Annotated[str | None, typer.Option(help="Label for the batch.")], None),
        "priority": (
            Annotated[
                int | None,
                typer.Option(help=f"Priority from {MIN_PRIORITY} to {MAX_PRIORITY}; higher goes first. Default: 0."),
            ],
            None,
        ),
        "deadline": (
            Annotated[
                str | None,
                typer.Option(metavar="WHEN", help=f"Stop sending 2h or 3d after the start of {batch}, or at a date."),
            ],
            None,
        ),
        "keep_days": (
            Annotated[
                str | None,
                typer.Option(
                    "--keep", metavar="AGE", help="Age at which `recast prune` removes the pictures, for example 30d."
                ),
            ],
            None,
        ),
        "moved": (
            Annotated[
                bool,
                typer.Option(
                    "--moved", help="Continue the batch of this name although it was made from another place."
                ),
            ],
            False,
        ),
        "fresh": (
            Annotated[bool, typer.Option(help="Do all rows in every run, each in a batch of its own.")],
            False,
        ),
    }


def _days(text: str) -> int:
    """Whole days."""
    days = duration(text) / DAY_SECONDS
    if days < 1 or days != int(days):
        raise ValueError(f"{text!r} is not a valid age; use whole days such as 30d")
    return int(days)


def _when(text: str) -> datetime | timedelta:
    """A duration from the start, or a time in ISO 8601 (UTC where no zone is given)."""
    try:
        return timedelta(seconds=duration(text))
    except TooLongError:
        raise
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a valid time; use 2h, 3d or a date such as 2026-01-31T18:00Z") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


_READERS: Mapping[str, Callable[[str], object]] = {"deadline": _when, "keep_days": _days}
