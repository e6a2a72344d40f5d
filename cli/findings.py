"""What a check of `recast doctor` finds, and how it is shown."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from cli.exit_codes import ExitCode
from cli.output import Style, duration
from workers.failures import describe

CLOCK_SECONDS = 5.0  # largest difference: links and tokens expire by the local clock, leases by the database's


class State(StrEnum):
    """The result of one check."""

    OK = "ok"
    WARN = "warn"
    BAD = "bad"


STYLES = {State.OK: Style.GOOD, State.WARN: Style.WAITING, State.BAD: Style.BAD}


@dataclass(frozen=True, slots=True)
class Finding:
    """One check and its result."""

    name: str
    state: State
    message: str
    #: How to fix it; empty if nothing is wrong.
    advice: str = ""
    #: The exit code of the command if the state is bad.
    code: ExitCode = ExitCode.INFRASTRUCTURE


def finding_of(name: str, work: Callable[[], object], well: str, advice: str) -> Iterable[Finding]:
    """The finding of a check that raises what is wrong, or does its work well."""
    try:
        work()
    except Exception as error:  # noqa: BLE001 - any error is the finding
        return [Finding(name, State.BAD, describe(error), advice)]
    return [Finding(name, State.OK, well)]


def clock(name: str, now: datetime) -> Finding:
    """How far a server's clock, which shows `now`, is from this machine's."""
    apart = abs((datetime.now(UTC) - now).total_seconds())
    if apart > CLOCK_SECONDS:
        advice = "synchronize the clocks of both machines with NTP"
        return Finding(name, State.WARN, f"differs by {duration(apart)} from this machine's clock", advice)
    return Finding(name, State.OK, f"differs by {apart:.1f} s from this machine's clock")
