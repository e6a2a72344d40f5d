"""The moments of a job's way at which something is killed, and how a test brings a worker there and sees that it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sandbox.faults import CallKind
from tests.stack import Stack, wait_for
from workers import failpoints

BEGIN_SECONDS = 90.0  # until a worker has started and is at the moment: on a busy machine its start alone takes long
CALL_SECONDS = 1.5  # how long a call that is to be met under way takes; a submission's time-out is longer


@dataclass(frozen=True, slots=True)
class Moment:
    """One moment; a worker is brought there by a failpoint, or met there because a call takes its time."""

    name: str
    what: str
    #: A query that finds something when the database agrees that this is the moment.
    seen: str
    #: The kind of call that is slow, where no failpoint holds the worker.
    slow: CallKind | None = None

    @property
    def settings(self) -> Mapping[str, str]:
        """What to tell the worker that is to be held, besides the file."""
        return {} if self.slow else {"RECAST_FAILPOINT": self.name}


_NOBODY_KNOWS = "FROM attempts WHERE state = 'sending' AND accepted_at IS NULL AND handle IS NULL"
_NOT_ANNOUNCED = (
    "SELECT 1 FROM announcements a JOIN jobs j ON j.id = a.job_id"
    " WHERE a.announced_at IS NULL AND j.state = 'succeeded'"
)

MOMENTS = (
    Moment("accepted", "producers' jobs are committed, no message is acknowledged", "SELECT 1 FROM announcements"),
    Moment(
        "claimed",
        "jobs are claimed, nothing is prepared",
        "SELECT 1 FROM jobs WHERE state = 'queued' AND claimed_until > clock_timestamp()",
    ),
    Moment("committed", "attempts are committed, no byte is sent", f"SELECT 1 {_NOBODY_KNOWS}"),
    Moment(
        "sending", "the submissions' bytes are sent, nothing is accepted", f"SELECT 1 {_NOBODY_KNOWS}", slow="submit"
    ),
    Moment("answered", "the provider has accepted, nothing is recorded", f"SELECT 1 {_NOBODY_KNOWS}"),
    Moment(
        "recorded",
        "the acceptance is recorded, nobody was woken",
        "SELECT 1 FROM attempts WHERE state = 'running' AND accepted_at IS NOT NULL",
    ),
    Moment(
        "polling",
        "polls are under way",
        "SELECT 1 FROM attempts WHERE state = 'running' AND next_poll_at < clock_timestamp()",
        slow="poll",
    ),
    Moment(
        "found",
        "the results are known, nothing is recorded",
        "SELECT 1 FROM attempts a JOIN jobs j ON j.id = a.job_id WHERE a.state = 'running' AND j.state = 'running'",
    ),
    Moment("downloading", "downloads are under way", "SELECT 1 FROM jobs WHERE state = 'saving'", slow="file"),
    Moment(
        "stored",
        "the pictures are in storage, no row says so",
        "SELECT 1 FROM jobs j WHERE state = 'saving' AND NOT EXISTS (SELECT 1 FROM results WHERE job_id = j.id)",
    ),
    Moment("ended", "the job's end is committed, nothing is announced", _NOT_ANNOUNCED),
    Moment("announced", "the end is announced, no row says so", _NOT_ANNOUNCED),
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
        """Return when the worker has reached the moment, and the database agrees that it has."""
        wait_for(self._reached, timeout=BEGIN_SECONDS, message=f"the moment {self._moment.name!r}: {self._moment.what}")

    def let_go(self) -> None:
        """Let the worker go on, if it still lives."""
        self._file.unlink(missing_ok=True)

    def quicken(self) -> None:
        """Have calls answered at once from now on."""
        self._stack.sandbox.clear_faults()

    def _reached(self) -> bool:
        if self._moment.slow is None:
            there = self._file.exists()
        else:
            there = bool(self._stack.sandbox.stats()["faults"].get("latency"))
        return there and bool(self._stack.sql(self._moment.seen))
