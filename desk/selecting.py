"""Which pictures a selection means: those of a filter, with what a person saw of them, and those of a former one.

What a person did not see is not overwritten: what was left out is counted by its reason. Of a page, the newest numbers
are known; a transaction that was under way then may have written smaller ones, so those are known as well.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import islice
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.orm import Session

from desk.actors import Actor
from desk.moments import UNDER_WAY, writer
from desk.verdicts import DeskError
from models.fragments import newest_verdict, stands, used_attempt
from workers.jobs.filters import LOOK_SECONDS, Filter, Filtered, look

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
    #: Transactions that were under way, by their numbers: nothing that they wrote was seen.
    under_way: Sequence[int] = ()


@dataclass(slots=True)
class Done:
    """What became of a selection."""

    number: int = 0
    left_out: Counter[LeftOut] = field(default_factory=Counter)

    def add(self, other: Done) -> None:
        """Count another portion."""
        self.number += other.number
        self.left_out += other.left_out


def _unseen(xmin: str) -> str:
    """Whether a transaction that was under way wrote a row with this `xmin`.

    A row that was changed since has another writer. Verdicts never change; a picture changes when a page first shows
    it, so one that another page showed in between is taken for seen. It can be taken back, as all of a selection.
    """
    return f"coalesce({writer(xmin)} = ANY(cast(:under_way AS bigint[])), false)"


# Without an order, the index of a batch's jobs ends the look as soon as there are enough.
_FITTING = Filtered(
    lambda which: (
        f"SELECT j.id FROM {which.jobs} WHERE {which.where} AND j.state = 'succeeded' AND j.erased_at IS NULL"
        " LIMIT :limit"
    )
)
_PICTURES = text(f"""
    SELECT r.id AS result_id, coalesce(said.id, 0) AS based_on, {_unseen("r.writer")} AS later,
        {_unseen("said.writer")} AS changed
    FROM unnest(cast(:ids AS text[])) AS j(id) LEFT JOIN reviews w ON w.job_id = j.id JOIN LATERAL (
        SELECT id, xmin AS writer FROM results WHERE attempt_id = {used_attempt("w.chosen", "j.id")}
        ORDER BY id <> coalesce(w.chosen, 0), index LIMIT 1
    ) r ON true LEFT JOIN LATERAL {newest_verdict("r.id", "id, xmin AS writer")} said ON true ORDER BY j.id
""")
# Those that fitted when the page was shown, and no longer do because of a verdict; they are counted for people. One of
# a transaction that was under way is not among them: nothing is written about it either way.
_FITTED = text("""
    SELECT result_id, job_id FROM (
        SELECT DISTINCT result_id, job_id FROM verdicts WHERE batch_id = :batch_id AND id > :shown LIMIT :limit
    ) changed
    WHERE coalesce((
        SELECT verdict FROM verdicts v WHERE v.result_id = changed.result_id AND v.id <= :shown
        ORDER BY v.id DESC LIMIT 1
    ), 'unreviewed') = :verdict
""")
_SEEN = text(f"""
    SELECT coalesce((SELECT max(id) FROM verdicts), 0) AS verdict_id,
        coalesce((SELECT max(id) FROM results), 0) AS result_id,
        {UNDER_WAY} AS under_way
""")
_MADE = text(f"""
    SELECT result_id FROM verdicts v
    WHERE batch_id = :batch_id AND person = :person AND selection = :selection AND {stands("v")} ORDER BY id
""")


def seen(session: Session) -> Seen:
    """What there is now, for a page that offers a selection: read before the rest of it, which is then no older."""
    return Seen(**session.execute(_SEEN).one()._mapping)


def select(session: Session, which: Filter, seconds: float = LOOK_SECONDS) -> Sequence[Selected]:
    """The pictures that are used of the jobs that fit now, `MOST` and one at most.

    Raises:
        InvalidJobError: a look for them takes longer than `seconds`.
    """
    return [Selected(row.result_id, row.based_on) for row in _selected(session, which, seconds)]


def select_seen(
    session: Session, batch_id: int, which: Filter, then: Seen, seconds: float = LOOK_SECONDS
) -> tuple[Sequence[Selected], Done]:
    """The pictures that fit and were there when a page was shown, and those that changed since.

    Raises:
        InvalidJobError: as `select`.
    """
    left, kept = Done(), []
    for row in _selected(session, which, seconds, then.under_way):
        if row.result_id > then.result_id or row.later:
            left.left_out[LeftOut.LATER] += 1
        elif row.based_on > then.verdict_id or row.changed:
            left.left_out[LeftOut.CHANGED] += 1
        else:
            kept.append(Selected(row.result_id, row.based_on))
    if which.verdict is not None:
        asked = {"batch_id": batch_id, "shown": then.verdict_id, "verdict": which.verdict, "limit": MOST}
        now = {picture.result_id for picture in kept}
        fitted = {row.result_id: row.job_id for row in session.execute(_FITTED, asked) if row.result_id not in now}
        # What else the filter asks for, a verdict changes only where it names what verdicts say.
        others = replace(which, verdict=None, fault=None, noted=None, ids=list(fitted.values()))
        left.left_out[LeftOut.CHANGED] = len(
            fitted.keys() & {each.result_id for each in select(session, others, seconds)}
        )
    return kept, left


def _selected(session: Session, which: Filter, seconds: float, under_way: Sequence[int] = ()) -> Sequence[Row[Any]]:
    ids = [row.id for row in look(session, which, _FITTING, seconds, limit=MOST + 1)]
    return session.execute(_PICTURES, {"ids": ids, "under_way": list(under_way)}).all()


def require_few(selected: Sequence[Selected]) -> None:
    """Refuse a selection that is larger than one may be.

    Raises:
        DeskError: it is.
    """
    if len(selected) > MOST:
        raise DeskError(f"filter: it means more than {MOST:,} pictures; allowed: up to {MOST:,}, by a narrower filter")


def require_reason(field: str, reason: str | None, known: Sequence[str], *, found: bool) -> None:
    """Refuse a reason by which nothing is found, if the deployment's list does not have it: it is misspelled.

    One that was taken from the list still finds what was said with it.

    Raises:
        DeskError: it names `field`, and the list.
    """
    if reason is not None and not found and reason not in known:
        raise DeskError(f"{field}: {reason!r} is not in the list, and found nothing; allowed: {', '.join(known)}")


def portions(selected: Iterable[Selected]) -> Iterator[Sequence[Selected]]:
    """The parts of a selection that are decided in a transaction each."""
    left = iter(selected)
    while portion := list(islice(left, PORTION)):
        yield portion


def made_by(session: Session, actor: Actor, batch_id: int, selection: str) -> Sequence[int]:
    """The pictures about which a selection of `actor` said something that was not taken back."""
    asked = {"batch_id": batch_id, "person": actor.name, "selection": selection}
    return list(session.execute(_MADE, asked).scalars())
