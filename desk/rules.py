"""The rules of verdicts, without a database: which picture of a job is used, and what counts for the job."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from models.verdicts import Verdict


@dataclass(frozen=True, slots=True)
class Judged:
    """A picture of a job with its newest verdict."""

    result_id: int
    #: Whether it belongs to the present version of the job.
    present: bool
    verdict: Verdict = Verdict.UNREVIEWED
    #: The number of that verdict; 0 where there is none yet.
    verdict_id: int = 0
    person: str | None = None
    at: datetime | None = None


def chosen_after(pictures: Sequence[Judged], chosen: int | None, judged: int) -> int | None:
    """The picture that is used after a verdict about `judged`.

    An approved picture is used. If the used one is no longer approved, the one that was approved last takes its place.
    """
    by_id = {picture.result_id: picture for picture in pictures}
    if by_id[judged].verdict is Verdict.APPROVED:
        return judged
    if chosen != judged and chosen is not None:
        return chosen
    approved = [picture for picture in pictures if picture.verdict is Verdict.APPROVED]
    return max(approved, key=lambda picture: picture.verdict_id).result_id if approved else None


def deciding(pictures: Sequence[Judged], chosen: int | None) -> tuple[Verdict, int | None]:
    """What counts for a job, and the number of the verdict that decides it.

    The used picture decides. Without one, the job needs work when each of its present pictures does.
    """
    for picture in pictures:
        if picture.result_id == chosen:
            return picture.verdict, picture.verdict_id or None
    present = [picture for picture in pictures if picture.present]
    newest = max((picture.verdict_id for picture in pictures), default=0) or None
    if present and all(picture.verdict is Verdict.NEEDS_WORK for picture in present):
        return Verdict.NEEDS_WORK, newest
    return Verdict.UNREVIEWED, newest
