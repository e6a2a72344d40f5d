"""Which jobs a filter means whose jobs are named by words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sqlalchemy import text
from sqlalchemy.orm import Session

from reports.batch import find
from reports.job import job_id_of
from workers.jobs.filters import Filter

_JOBS_WITH = text("SELECT DISTINCT job_id FROM results WHERE id = ANY(:ids)")


def jobs_with(session: Session, result_ids: Sequence[int]) -> list[str]:
    """The ids of the jobs that made these pictures; those that were removed have none."""
    return list(session.execute(_JOBS_WITH, {"ids": list(result_ids)}).scalars())


def resolved(session: Session, which: Filter, words: Sequence[str] = ()) -> Filter:
    """The filter with the ids of the jobs that `words` name: ids, their beginnings, keys, or ``BATCH/KEY``.

    Raises:
        CatalogError: there is no such job or batch; so a misspelled name is an error, and not an empty list.
    """
    if which.batch is not None and not which.singles:
        find(session, which.batch)
    return replace(which, ids=[job_id_of(session, word) for word in words]) if words else which
