"""Which pictures a selection means: those of a filter, with what a person saw of them, and those of a former one.

What a person did not see is not overwritten: what was left out is counted by its reason.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import islice

from sqlalchemy import text
from sqlalchemy.orm import Session

from desk.actors import Actor
from desk.verdicts import DeskError
from models.fragments import newest_verdict, stands, used_attempt
from workers.jobs.filters import Filter, Filtered

PORTION = 500  # pictures decided in one transaction: a fraction of a second, in which nobody else waits for long
MOST = 50_000  # pictures of one selection: as large as the catalogs that people look through


class LeftOut(StrEnum):
    """Why nothing was written about a picture of a selection."""

    CHANGED = "changed"
    LATER = "later"
    SAME = "same"
    NOT_READY = "not_ready"
    GONE = "gone"
    NOT_YOURS = "not_yours"


#: In words for people.
WHY: Mapping[LeftOut, str] = {
    LeftOut.CHANGED: "another verdict came first",
    LeftOut.LATER: "the picture came after the page was shown",
    LeftOut.SAME: "the same was said before",
    LeftOut.NOT_READY: "the job has no finished picture now",
    LeftOut.GONE: "the picture was removed, or is of another batch",
    LeftOut.NOT_YOURS: "there is no verdict of yours to take back",
}


@dataclass(frozen=True, slots=True)
class Selected:
    """A picture, and the number of the verdict that the person saw of it; 0 for none."""

    result_id: int
    based_on: int


@dataclass(frozen=True, slots=True)
class Seen:
    """What there was when a page was shown: the newest verdict and the newest picture."""

    verdict_id: int
    result_id: int


@dataclass(slots=True)
class Done:
    """What became of a selection."""

    number: int = 0
    left_out: Counter[LeftOut] = field(default_factory=Counter)

    def add(self, other: Done) -> None:
        """Count another portion."""
        self.number += other.number
        self.left_out += other.left_out


_SELECT = Filtered(
    lambda which: (
        f"SELECT r.id AS result_id, coalesce(said.id, 0) AS based_on FROM {which.jobs}"
        " LEFT JOIN reviews w ON w.job_id = j.id JOIN LATERAL ("
        f"SELECT id FROM results WHERE attempt_id = {used_attempt('w.chosen', 'j.id')}"
        " ORDER BY id <> coalesce(w.chosen, 0), index LIMIT 1) r ON true"
        f" LEFT JOIN LATERAL {newest_verdict('r.id', 'id')} said ON true"
        f" WHERE {which.where} AND j.state = 'succeeded' AND j.erased_at IS NULL ORDER BY j.id LIMIT :limit"
    )
)
# Those that fitted when the page was shown, and no longer do because of a verdict.
_FITTED = text("""
    SELECT result_id, job_id FROM (
        SELECT DISTINCT result_id, job_id FROM verdicts WHERE batch_id = :batch_id AND id > :shown
    ) changed
    WHERE coalesce((
        SELECT verdict FROM verdicts v WHERE v.result_id = changed.result_id AND v.id <= :shown
        ORDER BY v.id DESC LIMIT 1
    ), 'unreviewed') = :verdict
""")
_SEEN = text("""
    SELECT coalesce((SELECT max(id) FROM verdicts), 0) AS verdict_id,
        coalesce((SELECT max(id) FROM results), 0) AS result_id
""")
_MADE = text(f"""
    SELECT result_id FROM verdicts v
    WHERE batch_id = :batch_id AND person = :person AND selection = :selection AND {stands("v")} ORDER BY id
""")


def seen(session: Session) -> Seen:
    """What there is now, for a page that offers a selection."""
    return Seen(**session.execute(_SEEN).one()._mapping)


def select(session: Session, which: Filter) -> Sequence[Selected]:
    """The pictures that are used of the jobs that fit now, `MOST` and one at most."""
    return [Selected(**row._mapping) for row in _SELECT.execute(session, which, limit=MOST + 1)]


def select_seen(session: Session, batch_id: int, which: Filter, then: Seen) -> tuple[Sequence[Selected], Done]:
    """The pictures that fit and were there when a page was shown, and those that changed since."""
    left, kept = Done(), []
    for picture in select(session, which):
        if picture.result_id > then.result_id:
            left.left_out[LeftOut.LATER] += 1
        elif picture.based_on > then.verdict_id:
            left.left_out[LeftOut.CHANGED] += 1
        else:
            kept.append(picture)
    if which.verdict is not None:
        asked = {"batch_id": batch_id, "shown": then.verdict_id, "verdict": which.verdict}
        now = {picture.result_id for picture in kept}
        fitted = {row.result_id: row.job_id for row in session.execute(_FITTED, asked) if row.result_id not in now}
        # What else the filter asks for, a verdict changes only where it names what verdicts say.
        others = replace(which, verdict=None, fault=None, noted=None, ids=list(fitted.values()))
        left.left_out[LeftOut.CHANGED] = len(fitted.keys() & {each.result_id for each in select(session, others)})
    return kept, left


def require_few(selected: Sequence[Selected]) -> None:
    """Refuse a selection that is larger than one may be.

    Raises:
        DeskError: it is.
    """
    if len(selected) > MOST:
        raise DeskError(f"more than {MOST:,} pictures are meant; choose fewer by a filter")


def portions(selected: Iterable[Selected]) -> Iterator[Sequence[Selected]]:
    """The parts of a selection that are decided in a transaction each."""
    left = iter(selected)
    while portion := list(islice(left, PORTION)):
        yield portion


def made_by(session: Session, actor: Actor, batch_id: int, selection: str) -> Sequence[int]:
    """The pictures about which a selection of `actor` said something that was not taken back."""
    asked = {"batch_id": batch_id, "person": actor.name, "selection": selection}
    return list(session.execute(_MADE, asked).scalars())
