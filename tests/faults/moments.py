"""The moments of a job's way at which something is killed, and how a test brings a worker there and sees that it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from local.sandbox.faults import CallKind
from tests.stack import Stack, wait_for
from workers import failpoints

CALL_SECONDS = 1.5  # how long a call that is to be met under way takes; a submission's time-out is longer


@dataclass(frozen=True, slots=True)
class Moment:
    """One moment; a worker is brought there by a failpoint, or met there because a call takes its time."""

    name: str
    what: str
    #: The kind of call that is slow, where it is no failpoint that holds the worker.
    slow: CallKind | None = None

    @property
    def settings(self) -> Mapping[str, str]:
        """What to tell the worker that is to be held, besides the file."""
        return {} if self.slow else {"RECAST_FAILPOINT": self.name}


MOMENTS = (
    Moment("claimed", "jobs are claimed, nothing is prepared"),
    Moment("committed", "attempts are committed, no byte is sent"),
    Moment("sending", "the submissions' bytes are sent, nothing is accepted", slow="submit"),
    Moment("answered", "the provider has accepted, nothing is recorded"),
    Moment("recorded", "the acceptance is recorded, nobody was woken"),
    Moment("polling", "polls are under way", slow="poll"),
    Moment("found", "the results are known, nothing is recorded"),
    Moment("downloading", "downloads are under way", slow="file"),
    Moment("stored", "the pictures are in storage, no row says so"),
    Moment("ended", "the job's end is committed, nothing is announced"),
    Moment("announced", "the end is announced, no row says so"),
)
assert {moment.name for moment in MOMENTS if not moment.slow} == set(failpoints.MOMENTS)


class Hold:
    """A worker on its way to a moment, held there until it is let go."""

    def __init__(self, stack: Stack, moment: Moment) -> None:
        self._stack, self._moment = stack, moment
        self._file: Path = stack.home / "failpoint"
        if moment.slow:
            stack.sandbox.add_fault("latency", where={"call": moment.slow}, seconds=CALL_SECONDS, stage="before")

    def settings(self) -> dict[str, str]:
        """The environment of the worker that is to be held."""
        return {**self._moment.settings, "RECAST_FAILPOINT_FILE": str(self._file)}

    def wait(self) -> None:
        """Return when the worker has reached the moment."""
        wait_for(self._reached, message=f"the moment {self._moment.name!r}: {self._moment.what}")

    def let_go(self) -> None:
        """Let the worker go on, if it still lives."""
        self._file.unlink(missing_ok=True)

    def quicken(self) -> None:
        """Have calls answered at once from now on."""
        self._stack.sandbox.clear_faults()

    def _reached(self) -> bool:
        if self._moment.slow is None:
            return self._file.exists()
        return bool(self._stack.sandbox.stats()["faults"].get("latency"))
