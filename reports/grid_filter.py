"""The filter of a batch's grid: what it shows, in which order, and how an address says so.

All that it names has to be true of a job. Pages, links, forms and selections have it from here.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from typing import Any

from models.checks import ASKED_CHECKS, named_checks
from models.states import JobState
from models.verdicts import Verdict
from reports.queries import QueryError, one_of, words
from reports.reviews import PARTS, Part
from workers.jobs.filters import Filter

DEAR_MOST = 50_000  # jobs whose costs are summed and sorted for a page: some 0.2 s
YES = "yes"  # value of `noted`


class Sort(StrEnum):
    """The order of a grid."""

    CATALOG = "catalog"
    #: The worst flag first; what no check flags comes last, in the order of the catalog.
    WORST = "worst"
    #: What ended last first; what has not ended comes last, in the order of the catalog.
    NEWEST = "newest"
    #: What was paid most for first; only of batches with up to `DEAR_MOST` jobs.
    COST = "cost"


#: What each name may be in an address; other names hold any text.
ALLOWED: Mapping[str, Collection[str]] = {
    "part": list(Part), "state": list(JobState), "verdict": list(Verdict), "check": ASKED_CHECKS, "noted": (YES,),
    "sort": list(Sort),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class GridFilter:
    """Which jobs a grid shows, and in which order; None means no condition."""

    #: Which of the four numbers counts them.
    part: str | None = None
    state: str | None = None
    verdict: str | None = None
    #: Flagged by this check, or by `ANY_CHECK`.
    check: str | None = None
    #: That the verdict gives.
    reason: str | None = None
    #: `YES`: only jobs whose verdict has a note.
    noted: str | None = None
    operation: str | None = None
    account: str | None = None
    #: Parts of the key, and of ``name=value`` of the catalog's further columns.
    key: str | None = None
    metadata: str | None = None
    sort: str = Sort.CATALOG

    @classmethod
    def of(cls, query: Mapping[str, str]) -> GridFilter:
        """The filter that an address or a form means; what is empty is not said.

        Raises:
            QueryError: a value is not allowed.
        """
        read = {
            name: one_of(query, name, ALLOWED[name]) if name in ALLOWED else words(query, name) for name in _NAMES
        }  # fmt: skip
        return cls(**{name: value for name, value in read.items() if value is not None})

    @property
    def query(self) -> Mapping[str, str]:
        """The filter as an address says it."""
        given = ((name, getattr(self, name)) for name in _NAMES)
        return {name: str(value) for name, value in given if value and (name, value) != ("sort", Sort.CATALOG)}

    def but(self, **changes: Any) -> GridFilter:
        """The same with something else; None takes a condition away."""
        return replace(self, **changes)

    @property
    def conditions(self) -> Mapping[str, str]:
        """What has to be true, without the order."""
        return {name: value for name, value in self.query.items() if name != "sort"}

    @property
    def of_money(self) -> bool:
        """Whether it asks for what only those may know who see money."""
        return bool(self.operation or self.account or self.sort == Sort.COST)

    def require_sortable(self, jobs: int) -> None:
        """Refuse to sort a batch of so many jobs by cost, if that takes too long.

        Raises:
            QueryError: it does.
        """
        if self.sort == Sort.COST and jobs > DEAR_MOST:
            raise QueryError(f"sort: 'cost' is for batches with up to {DEAR_MOST:,} jobs; this one has {jobs:,}")

    @property
    def states(self) -> set[str]:
        """The states that its jobs can be in."""
        part = PARTS[Part(self.part)] if self.part else JobState
        # Only a picture is unreviewed, and only jobs that succeeded have pictures.
        wanted = {self.state, JobState.SUCCEEDED if self.verdict == Verdict.UNREVIEWED else None} - {None}
        return {state.value for state in part if wanted <= {state}}

    def which(self, batch: str | None = None) -> Filter:
        """The same jobs for lists and bulk operations, of a batch by its name."""
        return Filter(
            batch=batch, states=None if self.states == set(JobState) else sorted(self.states),
            verdict=self.verdict, fault=self.reason,
            check=named_checks([self.check]) if self.check else None,
            noted=True if self.noted else None, operation=self.operation, account=self.account, key=self.key,
            metadata=self.metadata,
        )  # fmt: skip


_NAMES = tuple(field.name for field in fields(GridFilter))
