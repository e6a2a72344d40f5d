"""What programs send that costs money, besides catalogs: single jobs, redos and decisions, each priced by a quote."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from desk.pilot import PilotChoice
from models.base import LAST_BIGINT
from models.checks import ASKED_CHECKS, named_checks
from models.verdicts import Verdict
from recast.names import ARGUMENTS, GENERATE, SWAP
from web.api.asks import MOST_CHARS, MOST_WORDS, Ask, Check, FilterAsk, HeldQuery, Text, require_text
from workers.jobs.filters import Filter
from workers.jobs.request import MAX_CONSENT, MAX_KEY, MAX_PRIORITY, MAX_PROMPT, MAX_URI, MIN_PRIORITY
from workers.operations.resolve import Verdict as HeldVerdict

MOST_OPTIONS = 100  # of an operation; the richest has some twenty

Uri = Annotated[str, Field(min_length=1, max_length=MAX_URI), AfterValidator(require_text)]
Named = dict[Annotated[str, Field(max_length=MOST_CHARS)], Any]


class JobFields(Ask):
    """One swap (`source`, `target`) or one generation (`image`), with the fields of the producers' tasks."""

    kind: Literal["swap", "generate"] | None = None
    source: Uri | None = Field(None, description="The face, as an address or an absolute path that workers can read.")
    target: Uri | None = None
    image: Uri | None = None
    prompt: Annotated[str, Field(max_length=MAX_PROMPT), AfterValidator(require_text)] | None = None
    account: Text | None = None
    provider: Text | None = None
    operation: Text | None = None
    options: Named | None = Field(None, max_length=MOST_OPTIONS, description="Of the operation.")
    priority: int | None = Field(None, ge=MIN_PRIORITY, le=MAX_PRIORITY)
    dedupe_key: Annotated[str, Field(min_length=1, max_length=MAX_KEY), AfterValidator(require_text)] | None = Field(
        None, description="A second job with the same key shares the first one, and costs nothing."
    )
    consent: Annotated[str, Field(max_length=MAX_CONSENT), AfterValidator(require_text)] | None = None

    @property
    def named(self) -> dict[str, Any]:
        """The arguments that are given, by name; those of the other kind too, which are refused later."""
        names = dict.fromkeys((*ARGUMENTS[SWAP], *ARGUMENTS[GENERATE]))
        return {name: value for name in names if (value := getattr(self, name)) is not None}


class JobAsk(JobFields):
    """A job that is sent at once, paid by the token's limit of a day; with `dry_run` it gets a quote; or a quote."""

    dry_run: bool = Field(False, description="Only check and price it, and get a quote.")
    quote: Text | None = None


class PictureFilter(FilterAsk):
    """Which pictures are redone; those of jobs that succeeded, unless `state` says otherwise."""

    verdict: Verdict | None = None
    fault: Text | None = Field(None, description="A reason that the verdict gives, such as hair.")
    check: list[Check] | None = Field(
        None, min_length=1, max_length=len(ASKED_CHECKS), description="Of which one flags the picture."
    )

    def filter(self, batch: str | None) -> Filter:
        """As the database is asked."""
        verdict = self.verdict and self.verdict.value
        return replace(
            super().filter(batch), verdict=verdict, fault=self.fault, check=self.check and named_checks(self.check)
        )


class ChangeAsk(Ask):
    """What is asked for otherwise than before; nothing: the same again."""

    seed: int | None = Field(None, ge=0, le=LAST_BIGINT)
    options: Named = Field(
        default_factory=dict, max_length=MOST_OPTIONS, description="Other values of options; null takes one away."
    )
    to: Text | None = Field(None, description="The account that they are sent to.")
    to_operation: Text | None = Field(None, description="Such as zhiqite.swap.")


class RedoFields(Ask):
    """Pictures to ask for again, as new versions of their jobs."""

    filter: PictureFilter
    change: ChangeAsk = Field(default_factory=ChangeAsk)


class RedoAsk(Ask):
    """Either `filter` with `dry_run`, which gives a quote; or a quote."""

    filter: PictureFilter | None = None
    change: ChangeAsk = Field(default_factory=ChangeAsk)
    dry_run: bool = False
    quote: Text | None = None


class HeldFilter(HeldQuery):
    """Which held jobs are meant; a person or a program knows something of each of them."""

    jobs: list[Text] | None = Field(None, min_length=1, max_length=MOST_WORDS, description="Ids, keys, or BATCH/KEY.")


class ResolveAsk(Ask):
    """A decision about held jobs, or the quote of one: `not_accepted` queues them again, which pays again."""

    filter: HeldFilter | None = None
    verdict: HeldVerdict | None = None
    handle: Text | None = Field(None, description="With `accepted`: the provider's id of the one job.")
    dry_run: bool = False
    quote: Text | None = None


class PilotAsk(Ask):
    """What is decided about the rest of a pilot: `go_on` with `dry_run` gives a quote, which is then taken alone."""

    decision: PilotChoice | None = None
    dry_run: bool = False
    quote: Text | None = None
