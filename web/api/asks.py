"""What programs send: queries and bodies, checked by the models that the API's document describes."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from desk.verdicts import MAX_NOTE_CHARS
from models.base import LAST_BIGINT, LAST_INTEGER
from models.batches import SINGLES_NAME
from models.checks import ASKED_CHECKS, CheckName, named_checks
from models.states import JobState, Reason
from models.verdicts import Verdict
from recast.errors import InvalidJobError
from reports.cards import Rendition
from reports.spend import By
from web.api.problems import invalid
from workers.config.units import duration
from workers.jobs.filters import Filter
from workers.jobs.request import MAX_PRIORITY, MIN_PRIORITY
from workers.jobs.run_options import Format, Only, RunOptions

MOST_ITEMS = 500  # of a page
USUAL_ITEMS = 50  # as the commands list
MOST_CHARS = 500  # of a name or a key; ours have up to 200
MOST_WORDS = 1_000  # jobs that are named one by one


def require_text(value: str) -> str:
    """Text that the database can compare."""
    if "\0" in value or any("\ud800" <= sign <= "\udfff" for sign in value):
        raise ValueError("a NUL or half of a surrogate pair is not allowed")
    return value


def _require_check(value: str) -> str:
    if value not in ASKED_CHECKS:
        raise ValueError(f"{value[:MOST_CHARS]!r} is not a check; allowed: {', '.join(ASKED_CHECKS)}")
    return value


def _is_duration(value: str) -> str:
    duration(value)
    return value


Text = Annotated[str, Field(min_length=1, max_length=MOST_CHARS), AfterValidator(require_text)]
Check = Annotated[str, AfterValidator(_require_check), Field(json_schema_extra={"enum": [*ASKED_CHECKS]})]
Age = Annotated[
    str, Field(max_length=40, description="A duration such as 90s, 2h or 3d."), AfterValidator(_is_duration)
]
Singles = Annotated[bool, Field(description="In place of a batch: jobs that came one by one.")]
Limit = Annotated[int, Field(ge=1, le=MOST_ITEMS, description="Items of one page.")]


class Ask(BaseModel):
    """What a program sends."""

    model_config = ConfigDict(extra="forbid")


class Nothing(Ask):
    """Nothing, where nothing can be said."""


class BatchesQuery(Ask):
    """Which batches to list."""

    search: Text | None = Field(None, description="A part of their names or labels.")
    label: Text | None = None
    limit: Limit = USUAL_ITEMS
    after: int | None = Field(None, ge=1, le=LAST_INTEGER, description="The `next` of the page before.")


class Selection(Ask):
    """Which jobs are meant, as the options of the commands say it."""

    label: Text | None = None
    state: list[JobState] | None = Field(None, min_length=1, max_length=len(JobState))
    account: Text | None = None
    operation: Text | None = None
    reason: Reason | None = None
    older: Age | None = None
    newer: Age | None = None

    def filter(self, batch: str | None) -> Filter:
        """As the database is asked."""
        return Filter(
            batch=batch, label=self.label, states=[state.value for state in self.state] if self.state else None,
            account=self.account, operation=self.operation, reason=self.reason and self.reason.value,
            older=None if self.older is None else duration(self.older),
            newer=None if self.newer is None else duration(self.newer),
        )  # fmt: skip


class JobsQuery(Selection):
    """Which jobs of a batch to list."""

    limit: Limit = USUAL_ITEMS
    after: Text | None = Field(None, description="The `next` of the page before.")


class ResultsQuery(Ask):
    """Which results to list: those of jobs with this verdict, reason and flag."""

    verdict: Verdict | None = Field(None, description="What counts for the job.")
    reason: Text | None = Field(None, description="A reason that this verdict gives, such as hair.")
    check: Check | None = Field(None, description="A quality check that flagged a picture of the job, or any.")
    limit: Limit = USUAL_ITEMS
    after: int = Field(0, ge=0, le=LAST_BIGINT, description="The `next` of the page before.")


class FileQuery(Ask):
    """Which file of a result to get."""

    which: Rendition = Field(
        Rendition.FULL,
        description="As it is stored (`full`), a smaller copy (`large`, `small`), or as its provider made it"
        " (`original`), which needs the role reviewer.",
    )


class EventsQuery(Ask):
    """Which events to listen to."""

    batch: Text | None = Field(None, description="Only those of this batch. Default: of all.")


class SpendQuery(Ask):
    """What spending is summed by."""

    by: By = By.ACCOUNT
    month: str | None = Field(None, max_length=7, description="Such as 2026-01, in UTC; only by account.")
    approved: bool = Field(False, description="Also what was approved, and its cost; this reads every job.")


class HeldQuery(Ask):
    """Which held jobs to list."""

    batch: Text | None = None
    singles: Singles = False
    label: Text | None = None
    account: Text | None = None
    operation: Text | None = None

    def filter(self) -> Filter:
        """As the database is asked."""
        return Filter(batch=_batch(self), label=self.label, account=self.account, operation=self.operation)


class DeliveriesQuery(Ask):
    """Which deliveries to list."""

    webhook: int | None = Field(None, ge=1, le=LAST_INTEGER)
    dead: bool = Field(False, description="Only those that were given up.")
    limit: Limit = USUAL_ITEMS


class AreaAsk(Ask):
    """A part of a picture, in fractions of its sides from the upper left corner."""

    x: float = Field(ge=0, le=1)
    y: float = Field(ge=0, le=1)
    width: float = Field(ge=0, le=1)
    height: float = Field(ge=0, le=1)


class VerdictAsk(Ask):
    """What is decided about a picture."""

    verdict: Verdict
    reasons: list[Text] = Field(default_factory=list, max_length=32)
    note: str | None = Field(None, max_length=MAX_NOTE_CHARS)
    area: AreaAsk | None = None
    based_on: int = Field(ge=0, le=LAST_BIGINT, description="The `verdict_id` that was seen; 0 for none.")


class PicturesAsk(Selection):
    """Which pictures are decided about; where neither jobs nor a verdict are named, those without one."""

    jobs: list[Text] | None = Field(None, min_length=1, max_length=MOST_WORDS, description="Ids of jobs.")
    verdict: Verdict | None = None
    fault: Text | None = Field(None, description="A reason that the verdict gives, such as hair.")
    check: list[Check] | None = Field(None, min_length=1, max_length=len(ASKED_CHECKS))

    def filter(self, batch: str | None) -> Filter:
        """As the database is asked."""
        verdict = self.verdict and self.verdict.value
        found = super().filter(batch)
        return replace(
            found, ids=self.jobs, verdict=verdict, fault=self.fault, check=self.check and named_checks(self.check)
        )


class VerdictsAsk(Ask):
    """What is decided about many pictures: a verdict, or that the last ones of this program are taken back."""

    filter: PicturesAsk = Field(default_factory=PicturesAsk)
    verdict: Verdict | None = None
    undo: bool = False
    reasons: list[Text] = Field(default_factory=list, max_length=32)
    note: str | None = Field(None, max_length=MAX_NOTE_CHARS)
    dry_run: bool = Field(False, description="Only count the pictures.")


class FilterAsk(Selection):
    """Which jobs are changed."""

    jobs: list[Text] | None = Field(None, min_length=1, max_length=MOST_WORDS, description="Ids, keys, or BATCH/KEY.")
    batch: Text | None = None
    singles: Singles = False
    all: bool = Field(False, description="Every job there is.")

    def named(self) -> Filter:
        """The filter, if it names anything, so that a slip does not change every job.

        Raises:
            InvalidJobError: it names nothing, or a batch and single jobs.
        """
        found = self.filter(_batch(self))
        if not (self.jobs or found.named or self.all):
            raise InvalidJobError("filter", "it selects no jobs; allowed: jobs, batch, another field, or all: true")
        return found


def _batch(asked: FilterAsk | HeldQuery) -> str | None:
    """The batch that is meant, which is `SINGLES_NAME` for single jobs.

    Raises:
        InvalidJobError: something of a batch is said beside them.
    """
    others = [name for name in ("batch", "label", "jobs") if getattr(asked, name, None)]
    if asked.singles and others:
        raise InvalidJobError("singles", f"they are of no batch; allowed: either them or {others[0]}")
    return SINGLES_NAME if asked.singles else asked.batch


class BulkAsk(Ask):
    """A change of many jobs."""

    filter: FilterAsk
    dry_run: bool = Field(False, description="Only count jobs and money.")


class CancelAsk(BulkAsk):
    """Which jobs to cancel."""

    abandon: bool = Field(False, description="Also jobs at providers and held jobs; they stay paid.")


class RerouteAsk(BulkAsk):
    """Which queued jobs are sent to another account."""

    to: Text = Field(description="The account; it may not be dearer than where they can go now.")


class PriorityAsk(BulkAsk):
    """Which queued jobs go first within their batch."""

    priority: int = Field(ge=MIN_PRIORITY, le=MAX_PRIORITY, description="Jobs with a higher one go first.")


class RetryAsk(Ask):
    """Either `filter` with `dry_run`, which gives a quote; or a quote."""

    filter: FilterAsk | None = None
    dry_run: bool = False
    quote: Text | None = None


class AccountAsk(Ask):
    """What to change of an account; each part is independent of the others."""

    stopped: bool | None = Field(None, description="Whether it is sent no jobs.")
    lasting: Age | None = Field(None, description="With `stopped`: for how long. Default: until it is started.")
    note: Annotated[str, Field(max_length=MOST_CHARS), AfterValidator(require_text)] | None = None
    limits: dict[str, str | int | float | None] | None = Field(
        None, max_length=50, description='Such as {"rate": "30/min", "budget.day": "20 USD"}; null removes one.'
    )
    reset: bool = Field(False, description="Undo all changes of limits first.")


class OptionsAsk(Ask):
    """How a catalog is run; what is not said stays as the batch has it."""

    format: Format | None = None
    sheet: Text | None = None
    account: Text | None = None
    provider: Text | None = None
    require_consent: bool = False
    max_cost: str | None = Field(None, max_length=40, description="Spending limit of the batch, such as 12.50.")
    max_in_flight: int | None = None
    redo_flagged: list[CheckName] = Field(
        default_factory=list, max_length=len(CheckName), description="Checks whose flags ask for a picture again."
    )
    redo_each: int | None = Field(None, description="How often for one job. Default: 1.")
    redo_cap: str | None = Field(None, max_length=40, description="What such redos may cost in all, such as 3.00.")
    keep_days: int | None = None
    label: Text | None = None
    priority: int | None = None
    deadline: datetime | Age | None = Field(None, description="A moment, or a time from the start, such as 2h.")
    only: list[Only] = Field(default_factory=list, min_length=1, max_length=len(Only))
    pilot: Text | None = Field(
        None, description="Send only a sample, 1% or 25 of the rows; a quote of the batch's pilot sends the rest."
    )
    retry_rejected: bool = False
    same_picture: bool = Field(False, description="Also do a source's own picture if it is among the targets.")

    def resolve(self, currency: str) -> RunOptions:
        """As `RunOptions` of a deployment that counts in `currency`.

        Raises:
            ProblemError: a value is not allowed.
        """
        said = self.model_dump(exclude={"same_picture"})
        if isinstance(self.deadline, str):
            said["deadline"] = timedelta(seconds=duration(self.deadline))
        try:
            return RunOptions.parse(said, currency)
        except InvalidJobError as error:
            raise invalid(error, getattr(self, error.field)) from None


class PlanAsk(Ask):
    """A catalog as rows, and how it is to be run."""

    name: Text = Field(description="Name of the batch.")
    rows: list[dict[str, Any]] = Field(min_length=1)
    options: OptionsAsk = Field(default_factory=OptionsAsk)


class PlanUpload(Ask):
    """A catalog as a file, and how it is to be run."""

    catalog: str = Field(
        description="The file: CSV, JSON Lines, Parquet or .xlsx.",
        json_schema_extra={"contentMediaType": "application/octet-stream"},
    )
    name: Text | None = Field(None, description="Name of the batch. Default: the file's name without its ending.")
    options: OptionsAsk = Field(default_factory=OptionsAsk, description="As a JSON text.")


class RunAsk(Ask):
    """The quote that is taken."""

    quote: Text
