"""What a release allows: the one rule, in SQL, that catalogs, producers' messages and claims ask.

A job names its release in `consent`. A reference that has no row in `releases` is only kept with the job.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from recast.hints import hint

ENDED, KIND, LABEL = "ended", "kind", "label"

_SAYS: Final[Mapping[str, str]] = {
    ENDED: "has ended",
    KIND: "is not for jobs of this kind",
    LABEL: "is not for batches with this label, or without one",
}


def refusal(release: str, kind: str, label: str) -> str:
    """SQL for why the row `release` of `releases` does not allow a job; NULL where it does, or where there is no row.

    Args:
        release: the table's alias.
        kind: SQL for the job's kind.
        label: SQL for the label of its batch; read only where the release names labels.
    """
    return f"""
        CASE WHEN {release}.ends_at <= clock_timestamp() THEN '{ENDED}'
            WHEN NOT {release}.kinds @> to_jsonb(cast({kind} AS text)) THEN '{KIND}'
            WHEN {release}.labels IS NOT NULL
                AND NOT coalesce({release}.labels @> to_jsonb(cast({label} AS text)), false) THEN '{LABEL}' END
    """


def says(reference: str, why: str) -> str:
    """The sentence for people, with `why` as `refusal` found it."""
    return f"the release {reference!r} {_SAYS[why]}: {hint('releases show', reference)} says more"
