"""The watch over a batch, until it needs no worker or cannot continue without a person."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass

from kombu.exceptions import OperationalError as BrokerError
from sqlalchemy.exc import SQLAlchemyError

from cli.display import Display
from cli.exit_codes import ExitCode
from cli.output import duration
from cli.stack import Stack
from models.availability import is_unavailable
from models.states import JobState
from recast.hints import hint
from reports.batch import BAD_STATES, BatchReport, Ending, Pace, endings, find
from reports.obstacles import accounts_for_obstacles, needs_person, obstacles
from workers.engine.runtime import Runtime
from workers.messaging.app import app

POLL_SECONDS = 0.2  # between two reads of one row by its index
JUDGE_SECONDS = 1.0  # between two checks of whether the batch can continue
IDLE_SECONDS = 20.0  # without any change, before the hint that no worker may be running
NOTE_AGAIN_SECONDS = 600.0  # before the same is said again, so that a log shows that it still holds
SHOWN_ENDINGS = 4
#: What changes in a note while its cause does not.
_CHANGING = re.compile(r"until \d\d:\d\d UTC|after \d+ failures|for \d+ .*?(?=;)")


@dataclass(frozen=True, slots=True)
class Watched:
    """The state of a batch when watching ended; `stuck` says what a person has to do, if the batch has not ended."""

    report: BatchReport
    stuck: str | None = None

    @property
    def code(self) -> ExitCode:
        """The exit code."""
        counts = self.report.counts
        if self.stuck is not None or counts[JobState.HELD]:
            return ExitCode.PERSON
        return ExitCode.JOBS_FAILED if any(counts[state] for state in BAD_STATES) else ExitCode.OK


class Watch:
    """Watches one batch.

    Args:
        runtime: the deployment.
        name: of the batch.
        display: where progress is shown.
        stack: the embedded stack, which is maintained meanwhile, or None for a configured deployment.
    """

    def __init__(self, runtime: Runtime, name: str, display: Display, stack: Stack | None) -> None:
        self._runtime = runtime
        self._name = name
        self._display = display
        self._stack = stack
        # Without their secrets: a person who only watches may not have them.
        self._accounts = accounts_for_obstacles(runtime.settings.accounts_file)
        self._pace = Pace()
        self._endings: Sequence[Ending] = ()
        self._bad = 0
        self._moved_at = time.monotonic()
        self._noted: str | None = None
        self._note_again_at = 0.0
        self._sweep_at = time.monotonic() + runtime.settings.sweep_every
        self._judge_at = 0.0
        self._ended_at = self._asked_at = self._moved_at

    def run(self) -> Watched:
        """Watch until the batch ends or is stuck.

        Raises:
            SQLAlchemyError: a configured database is gone; its workers continue the jobs.
            ServerError: a process of this command's stack exited.
        """
        last: BatchReport | None = None
        while True:
            try:
                report = self._runtime.db(find, self._name)
                self._show(report, last)
                if report.settled:
                    return Watched(report)
                if stuck := self._stuck(report):
                    return Watched(report, stuck)
                last = report
            except SQLAlchemyError as error:
                if not is_unavailable(error) or self._stack is None or self._stack.owned:
                    raise
                self._take_over(self._stack)
            self._maintain_stack()
            time.sleep(POLL_SECONDS)

    def _show(self, report: BatchReport, last: BatchReport | None) -> None:
        now = time.monotonic()
        self._pace.see(now, report.total - report.open)
        bad = sum(report.counts[state] for state in BAD_STATES)
        if bad != self._bad:
            self._bad = bad
            self._endings = self._runtime.db(endings, report.id, BAD_STATES, SHOWN_ENDINGS, latest=True)
        if last is None or last.counts != report.counts:
            self._moved_at = now
        if last is None or report.open < last.open:
            self._ended_at = now
        self._display.show(report, self._pace, self._endings)
        if (
            report.counts[JobState.QUEUED] + report.counts[JobState.SAVING] == report.open
            and now >= max(self._ended_at, self._asked_at) + IDLE_SECONDS
        ):
            self._asked_at = now
            self._note_why_idle(report, still=now - self._moved_at > IDLE_SECONDS)

    def _note_why_idle(self, report: BatchReport, *, still: bool) -> None:
        """Say what the queued jobs wait for, whenever that has changed; `still`: none of them was even tried."""
        currency = self._runtime.settings.currency
        why = "; ".join(self._runtime.db(obstacles, report, self._accounts, currency))
        if not why and still:
            why = (
                f"check that a worker is running ({hint('worker')}) and that an account accepts jobs "
                f"({hint('accounts list')})"
            )
        known, now = _CHANGING.sub("", why), time.monotonic()
        if why and (known != self._noted or now >= self._note_again_at):
            self._noted, self._note_again_at = known, now + NOTE_AGAIN_SECONDS
            self._display.note(f"no progress for {duration(now - self._ended_at)}: {why}; {self._ends(report)}")

    def _ends(self, report: BatchReport) -> str:
        """What a person can do about a batch that waits by itself for something that may never come."""
        if not report.counts[JobState.QUEUED]:
            return "they continue by themselves"
        return f"they continue by themselves, or {hint('cancel', batch=report.name)} ends what is not sent, at no cost"

    def _stuck(self, report: BatchReport) -> str | None:
        now = time.monotonic()
        if now < self._judge_at or self._accounts is None:
            return None
        self._judge_at = now + JUDGE_SECONDS
        runtime = self._runtime
        return runtime.db(needs_person, report, self._accounts, runtime.settings.currency)

    def _take_over(self, stack: Stack) -> None:
        """Become the owner of the joined stack, because its owner has ended, and its servers with it."""
        self._runtime.engine.dispose()
        stack.start()
        self._display.note("the command that ran the workers has ended; this command continues with its own workers")

    def _maintain_stack(self) -> None:
        """Send sweeps for this command's own stack, which runs no beat, to have one process less to start."""
        if self._stack is None or not self._stack.owned:
            return
        self._stack.check_room()
        self._stack.check()
        now = time.monotonic()
        if now >= self._sweep_at:
            every = self._runtime.settings.sweep_every
            self._sweep_at = now + every
            try:
                app.send_task("sweep", retry=False, ignore_result=True, expires=2 * every)
            except BrokerError:
                return  # `check` reports a server that is gone, and the next sweep is soon
