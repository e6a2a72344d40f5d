"""What outcomes of an attempt at an account come to, for tests: submissions, polls and searches."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import UTC, datetime

from models.states import AttemptState
from providers.outcomes import LocateOutcome, Output, PollOutcome, SubmitOutcome
from providers.spec import Operation, Options
from workers.config.accounts import parse
from workers.config.settings import Tries
from workers.engine.due import Due
from workers.engine.effects import Effects
from workers.engine.locate_outcomes import JUDGE_MARGIN_SECONDS, WRITE_SECONDS, after_locate
from workers.engine.outcomes import Sent, after_poll, after_submit
from workers.jobs.state_changes import AttemptMove

AT = datetime(2026, 1, 31, tzinfo=UTC)
REFERENCE = uuid.UUID("5f0c8a52-6f0e-5b6c-9d3c-2f6a6a7d9b11")
OPERATION = Operation(name="zhiqite.swap", kind="swap", options=Options, needs={})
DATA = replace(OPERATION, pictures=False)
SENT = Sent(REFERENCE, "job", 1, OPERATION, AT)
ACCOUNT = parse(
    "main",
    {
        "provider": "zhiqite",
        "base_url": "http://127.0.0.1:9",
        "access_key_id": "id",
        "access_key_secret": "s",
        "deadline": "10min",
        "submit_timeout": "30s",
        "poll_every": "3s",
    },
)
RESUBMITTING = ACCOUNT.model_copy(update={"on_unknown": "resubmit"})
DUE = Due(
    id=REFERENCE,
    job_id="job",
    number=1,
    operation="zhiqite.swap",
    state=AttemptState.RUNNING,
    handle="handle",
    locator=None,
    polls=2,
    absences=0,
    callback_token=None,
    age=20.0,
    left=580.0,
    requested_at=AT,
)
UNKNOWN = replace(DUE, state=AttemptState.UNKNOWN, handle=None)
JUDGED = WRITE_SECONDS + ACCOUNT.submit_timeout + JUDGE_MARGIN_SECONDS
PICTURE = (Output("https://cdn.example/a.jpg", {"seed": 7}),)
MAX_ATTEMPTS = 3
TRIES = Tries(MAX_ATTEMPTS, 2)


def attempt_of(effects: Effects) -> AttemptMove:
    assert effects.attempt is not None
    return effects.attempt


def submitted(outcome: SubmitOutcome, sent: Sent = SENT) -> Effects:
    return after_submit(sent, outcome, 4.5, TRIES)


def polled(outcome: PollOutcome, due: Due = DUE, operation: Operation = OPERATION) -> Effects:
    return after_poll(due, operation, ACCOUNT, outcome, next_look=3.0, tries=TRIES)


def located(outcome: LocateOutcome, due: Due = UNKNOWN, *, provable: bool = True, resubmit: bool = False) -> Effects:
    return after_locate(due, RESUBMITTING if resubmit else ACCOUNT, outcome, provable=provable, tries=TRIES)
