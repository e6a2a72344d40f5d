"""Review from a program: verdicts about a batch's pictures, and the decision about its pilot.

    from recast import pilot, review
    review("spring", say="approved")                      # all pictures without a verdict
    review("spring", "shoe-1", say="needs_work", reasons=["hair"])
    review(None, say="approved", account="main")          # of the jobs that came one by one
    if pilot("spring").accepted >= 900:
        pilot("spring", decide="go_on", max_cost="120")

As `recast.run`, it needs the server's packages, database and accounts file.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal

from recast.money import Money
from recast.runs import Amount, server

Verdict = Literal["unreviewed", "approved", "needs_work"]


@dataclass(frozen=True, slots=True)
class Reviewed:
    """What a call of `review` would decide, and did: `done` pictures, 0 after a dry run."""

    pictures: int
    done: int
    #: Why nothing was written about pictures, and how many for each reason.
    left_out: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Pilot:
    """A pilot as it stood, and how many jobs a decision of this call sent or canceled."""

    #: Jobs of the sample, and those of them with a picture; of these, what people decided.
    sample: int
    made: int
    approved: int
    needs_work: int
    #: Jobs that wait, what they would cost in all likelihood and at most, and how many would be accepted: likely (None
    #: without any verdict), and from `accepted_low` to `accepted_high` with 95 % confidence.
    waiting: int
    likely: Money
    at_most: Money
    accepted: int | None
    accepted_low: int
    accepted_high: int
    #: What was decided: ``went_on``, ``stopped``, or None.
    decision: str | None
    done: int = 0


def review(
    batch: str | None, *keys: str, jobs: Collection[str] | None = None, say: Literal["approved", "needs_work", "undo"],
    reasons: Collection[str] = (), note: str | None = None, verdict: Verdict | None = None, reason: str | None = None,
    check: Collection[str] | None = None, account: str | None = None, operation: str | None = None,
    dry_run: bool = False,
) -> Reviewed:  # fmt: skip
    """Decide about pictures of a batch, or of single jobs: of each job about the one that is used.

    An empty list of `jobs` or of `check` is refused, as it would choose nothing.

    Args:
        batch: the batch; None for the jobs that came one by one.
        keys: of rows in it, whatever was said of them. Without any, and without `jobs`, those that the rest chooses are
            meant, and where `verdict` does not say which, only pictures without one.
        jobs: ids of jobs among them, in place of keys.
        say: the verdict; ``"undo"`` takes the last one back that this user gave by a program or a command.
        reasons: what is wrong, from RECAST_REVIEW_REASONS.
        note: what else there is to say.
        verdict: only pictures with this verdict.
        reason: only pictures whose verdict gives this reason.
        check: only pictures that one of these quality checks flagged, such as ``["blurred"]``; ``["any"]`` for all.
        account: only pictures that were last sent to, or pinned to, this account.
        operation: only pictures of this operation.
        dry_run: whether to count only.

    Raises:
        catalog.errors.CatalogError: there is no such batch or row.
        InvalidJobError: an argument is not valid, or more pictures are meant than one call may decide about.
        RecastError: no deployment is configured, its accounts file cannot be used, or packages are missing.
    """
    reviewed: Reviewed = server("desk.programs").review(**locals())
    return reviewed


def pilot(batch: str, *, decide: Literal["go_on", "stop"] | None = None, max_cost: Amount | None = None) -> Pilot:
    """What the pilot of a batch says of the rest; and, with `decide`, send the rest or cancel it.

    Args:
        batch: the batch, of a run with ``pilot``.
        decide: ``"go_on"`` sends the jobs that wait, which pays for them; ``"stop"`` cancels them.
        max_cost: with ``"go_on"``, a new spending limit for the whole batch: ``"120"``, or `Money`.

    Raises:
        catalog.errors.CatalogError: there is no such batch.
        InvalidJobError: an argument is not valid, the batch has no pilot, or it was decided otherwise.
        RecastError: no deployment is configured, its accounts file cannot be used, or packages are missing.
    """
    found: Pilot = server("desk.programs").pilot(**locals())
    return found
