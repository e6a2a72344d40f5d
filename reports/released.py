"""Jobs that have ended and name a release in `consent`: newest first, a page at a time.

No index leads from a release to its jobs. A page looks through those that ended, for a time, and says where it stopped.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import Row, text
from sqlalchemy.orm import Session

from workers.jobs.request import CONSENT

PAGE = 50  # jobs of one page
PORTION = 5_000  # jobs that one statement looks at: some 50 ms
PATIENCE = 2.0  # seconds of looking, after which a page shows what it has found: some 100,000 jobs

_ENDED = "extract(epoch FROM {}finished_at)::float8"
_LOOKED = text(f"""
    SELECT count(*) AS number, (array_agg(id ORDER BY finished_at, id))[1] AS id,
        min({_ENDED.format("")}) AS ended,
        coalesce(array_agg(id ORDER BY finished_at DESC, id DESC) FILTER (WHERE consent = :reference), '{{}}') AS found
    FROM (
        SELECT id, finished_at, extra ->> '{CONSENT}' AS consent FROM jobs WHERE finished_at IS NOT NULL
            AND (finished_at, id) < (to_timestamp(cast(:ended AS float8)), :id)
        ORDER BY finished_at DESC, id DESC LIMIT {PORTION}
    ) looked
""")
_JOBS = text(f"""
    SELECT j.id, j.key, j.state, b.id AS batch_id, b.name AS batch, j.finished_at, {_ENDED.format("j.")} AS ended,
        (SELECT count(*) FROM results r WHERE r.job_id = j.id) AS pictures
    FROM jobs j JOIN batches b ON b.id = j.batch_id WHERE j.id = ANY(:ids) AND j.finished_at IS NOT NULL
    ORDER BY j.finished_at DESC, j.id DESC
""")


class ReleasedPlace(NamedTuple):
    """A job in the order of the list: when it ended (seconds since 1970), and its id."""

    ended: float
    id: str

    def __str__(self) -> str:
        """As addresses say it."""
        return f"{self.ended!r}~{self.id}"

    @classmethod
    def of(cls, said: str | None) -> ReleasedPlace | None:
        """The place that an address says; None where it says none."""
        ended, _, job = (said or "").partition("~")
        try:
            found = cls(float(ended), job)
        except ValueError:
            return None
        known = ended.isascii() and 0 <= found.ended < FAR and "\0" not in job
        return found if known else None


FAR = 2.0**37  # seconds from 1970: beyond, PostgreSQL has no time
_NEWEST = ReleasedPlace(math.inf, "")


@dataclass(frozen=True, slots=True)
class ReleasedPage:
    """Some jobs, newest first; `before` selects the next ones, which may be needed to find any."""

    jobs: Sequence[Row[Any]]
    before: ReleasedPlace | None


def page(session: Session, reference: str, before: ReleasedPlace | None = None) -> ReleasedPage:
    """The latest jobs that name a release, or those that ended before a place."""
    found, at, until = list[str](), before or _NEWEST, time.monotonic() + PATIENCE
    while True:
        looked = session.execute(_LOOKED, {"reference": reference, **at._asdict()}).one()
        found += looked.found
        stopped = ReleasedPlace(looked.ended, looked.id) if looked.number == PORTION else None
        if stopped is None or len(found) > PAGE or time.monotonic() > until:
            break
        at = stopped
    jobs = session.execute(_JOBS, {"ids": found[:PAGE]}).all()
    if len(found) > PAGE and jobs:
        stopped = ReleasedPlace(jobs[-1].ended, jobs[-1].id)
    return ReleasedPage(jobs, stopped)
