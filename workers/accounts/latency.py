"""When to look at jobs, as learned from how long the jobs of an operation took. Pure.

Each operation keeps a histogram, from which the ages are planned that cost least: once, just after a time that hardly
varies; every few seconds where a result may come at any time, and not before the first ones come. A few jobs are looked
at early, so that a provider that became faster is noticed.

While nothing is known of an operation, its first jobs are scouts: they alone are looked at often, and what the first of
them teach plans the looks at all others that were sent meanwhile. Where callbacks come reliably, a job is left alone
until nearly all others would have a result; once some callbacks are missing, all are looked at as planned again.
"""

from __future__ import annotations

import random
from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

from workers.accounts.callback_record import CallbackRecord
from workers.accounts.histogram import Histogram
from workers.accounts.intervals import INTERVAL_CAP_SECONDS, bounded
from workers.backoff import jittered

MARGIN: Final = 0.03  # of an age, by which the first look is later: a look a moment too soon is for all jobs too soon
SPREAD: Final = 0.03  # of an age, by which looks of jobs that were sent together are spread
EARLY_SHARE: Final = 0.03  # of jobs looked at before their time
SCOUTS: Final = 100  # jobs that are looked at often while nothing was learned
LESSONS: Final = 20  # results of theirs, after which the first looks at the others are planned
UNLEARNED_SHARE: Final = 0.1  # of the typical time, between two looks at a scout
SCOUT_SHARE: Final = 0.2  # of its age, between two looks at a scout, where that is longer
TAIL_SHARE: Final = 0.06  # of its age, between two looks at a job that takes longer than any before
ENDED_SHARE: Final = 0.99  # of jobs have a result at the age at which one is looked at that no callback told of
NEAR: Final = 0.95  # of the age of a result that a callback told: it was not there yet
_CALLBACKS: Final = " callbacks"  # behind an operation's name: the document of its callbacks


class Latencies:
    """What was learned of each operation of an account.

    In all methods `typical` is the time that the adapter states and `poll_every` the least time between two looks, both
    in seconds, and `called` is whether a callback of the job is still to come.
    """

    def __init__(self, learned: Mapping[str, Any] | None = None) -> None:
        kept = learned or {}
        self._learned = {name: found for name, each in kept.items() if (found := Histogram.read(each)) is not None}
        self._callbacks = {name: CallbackRecord.read(kept.get(name + _CALLBACKS)) for name in self._learned}
        self._scouts: Counter[str] = Counter()
        self._lessons: Counter[str] = Counter()

    def first_look(self, operation: str, typical: float, poll_every: float, *, called: bool = False) -> float:
        """Seconds from acceptance until the first look: as planned, slightly spread, and less for a few jobs.

        Before anything was learned it is a share of the `typical` time for scouts, and all of it for the others, whose
        first looks are planned anew when `learn` says so.
        """
        if operation not in self._learned:
            self._scouts[operation] += 1
            if self._scouts[operation] > SCOUTS:
                return jittered(max(poll_every, typical), SPREAD)
            return self._interval(typical, poll_every) * random.uniform(1, 2)  # noqa: S311 - so each tells something else
        first = self._first(operation, poll_every, called=called)
        if random.random() < EARLY_SHARE:  # noqa: S311 - chooses a sample, guards nothing
            return max(poll_every, self._early(operation, first, poll_every, called=called))
        return first * (1 + MARGIN + random.uniform(0, SPREAD))  # noqa: S311

    def planned_look(self, operation: str, poll_every: float, *, called: bool = False) -> float:
        """Seconds from acceptance until the first look at those that `learn` wants planned anew; to be spread."""
        return self._first(operation, poll_every, called=called) * (1 + MARGIN)

    def next_look(
        self, operation: str, typical: float, *, age: float, poll_every: float, left: float, called: bool = False
    ) -> float:
        """Seconds until the next look at a job that has no result at `age`.

        Never under `poll_every`, and never past the deadline, which is `left` seconds away.
        """
        if operation not in self._learned:
            wait = max(self._interval(typical, poll_every), SCOUT_SHARE * age)
            return bounded(jittered(min(wait, INTERVAL_CAP_SECONDS)), poll_every=poll_every, left=left)
        if self._relies(operation, called=called):
            wait = max(self.planned_look(operation, poll_every, called=called) - age, SCOUT_SHARE * age)
            return bounded(wait, poll_every=poll_every, left=left)
        ages = self._learned[operation].plan(poll_every).ages
        # What is planned for a moment hence was planned for this look, which came a little early.
        place = bisect_right(ages, age + poll_every / 2)
        wait = ages[place] - age if place < len(ages) else TAIL_SHARE * age
        return bounded(wait, poll_every=poll_every, left=left)

    def expected(self, operation: str, typical: float, poll_every: float) -> float:
        """Average seconds from acceptance until a look finds the result: how long a job occupies its place."""
        found = self._learned.get(operation)
        if found is None:
            return max(poll_every, typical) + UNLEARNED_SHARE * self._interval(typical, poll_every)
        return max(poll_every, found.plan(poll_every).mean)

    def learn(self, operation: str, *, since: float, age: float, told: bool | None = None) -> bool:
        """Learn from a job that had a result at `age`, and none yet at `since` (0: it was not looked at before).

        Args:
            operation: of the job.
            since: seconds from acceptance.
            age: seconds from acceptance; where a callback told of the result, until it came.
            told: whether a callback told of the result; None where none was to come.

        Returns:
            Whether those under way that were not looked at yet are to be planned anew: enough is known now and was not
            before, or callbacks are missing that were relied on.
        """
        found = self._learned.get(operation) or Histogram()
        found.add(max(since, NEAR * age) if told else since, age)
        if operation not in self._learned:
            self._callbacks[operation] = CallbackRecord()
            self._learned[operation] = found  # only now: other threads plan by what is here
            self._lessons[operation] = LESSONS
        self._lessons[operation] -= 1
        relied = self._callbacks[operation].reliable
        if told is not None:
            self._callbacks[operation].add(came=told)
        return self._lessons[operation] == 0 or (relied and not self._callbacks[operation].reliable)

    @property
    def scouting(self) -> bool:
        """Whether jobs were planned here of operations of which nothing is known."""
        return not self._scouts.keys() <= self._learned.keys()

    def catch_up(self, known: Latencies) -> None:
        """Take what others have learned meanwhile of operations of which nothing is known here."""
        for operation in known._learned.keys() - self._learned.keys():
            self._callbacks[operation] = known._callbacks[operation]
            self._learned[operation] = known._learned[operation]  # only now, as in `learn`

    def as_document(self) -> dict[str, Any]:
        """What to keep in the account's row."""
        # Copies: another thread may learn of a further operation meanwhile.
        callbacks = {name + _CALLBACKS: found.as_document() for name, found in dict(self._callbacks).items() if found}
        return {name: found.as_document() for name, found in dict(self._learned).items()} | callbacks

    def _first(self, operation: str, poll_every: float, *, called: bool) -> float:
        found = self._learned[operation]
        first = found.age_of(ENDED_SHARE) if self._relies(operation, called=called) else found.plan(poll_every).ages[0]
        return max(poll_every, first)

    def _early(self, operation: str, first: float, poll_every: float, *, called: bool) -> float:
        if self._relies(operation, called=called):  # a result that is there already shows that its callback is missing
            return self._learned[operation].age_of(random.uniform(1 - ENDED_SHARE, ENDED_SHARE))  # noqa: S311
        # So early that the look that is planned comes in time: who waits for jobs in turn waits for the latest of them.
        # Half of them as late as that, which a provider that became a little faster is noticed by.
        latest = max(first / 2, first - poll_every)
        return random.choice((latest, random.uniform(first / 2, latest)))  # noqa: S311 - as above

    def _relies(self, operation: str, *, called: bool) -> bool:
        return called and self._callbacks[operation].reliable

    @staticmethod
    def _interval(typical: float, poll_every: float) -> float:
        return max(poll_every, UNLEARNED_SHARE * typical)
