"""Which jobs a filter means whose jobs are named by words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sqlalchemy.orm import Session

from reports.batch import find
from reports.job import job_id_of
from workers.jobs.filters import Filter


def resolved(session: Session, which: Filter, words: Sequence[str] = ()) -> Filter:
    """The filter with the ids of the jobs that `words` name: ids, their beginnings, keys, or ``BATCH/KEY``.

    Raises:
        CatalogError: there is no such job or batch; so a misspelled name is an error, and not an empty list.
    """
    if which.batch is not None:
        find(session, which.batch)
    return replace(which, ids=[job_id_of(session, word) for word in words]) if words else which
