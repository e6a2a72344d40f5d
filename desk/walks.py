"""A reviewer's walk through a batch: which pictures come one after the other, and in which order.

A place in a walk is the `seq` of a job; where that stands among flagged pictures is looked up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from models.fragments import is_flag
from models.verdicts import Verdict
from reports.cards import UNDECIDED, places
from reports.undecided import undecided

#: SQL: whether another person than `:person` has the pictures of a job `j` open.
TAKEN_BY_ANOTHER = """EXISTS (
    SELECT FROM picture_claims c WHERE c.job_id = j.id AND c.person <> :person AND c.until >= clock_timestamp()
)"""
NEAR = 100  # flags that are looked at first: most often one of them is undecided
UNFLAGGED = 2  # where pictures without a flag stand: the ranks of flags end at 1

_DECIDED = "reviews WHERE reviews.batch_id = :batch_id AND reviews.verdict IN ('approved', 'needs_work')"
_FLAGS = f"checks WHERE checks.batch_id = :batch_id AND {is_flag()}"
_RANK = f"(SELECT min(rank) FROM {_FLAGS} AND checks.seq = :seq)"


class Order(StrEnum):
    """In which order pictures come."""

    #: Flagged ones first, the worst of them first of all; then the others in the order of the catalog.
    WORST = "worst"
    CATALOG = "catalog"


@dataclass(frozen=True, slots=True)
class Walk:
    """What a person looks through; a walk of pictures with a verdict is in the order of the catalog."""

    order: Order = Order.CATALOG
    verdict: Verdict | None = None

    @property
    def decided(self) -> bool:
        """Whether it has only pictures that were decided about."""
        return self.verdict not in {None, Verdict.UNREVIEWED}

    @property
    def query(self) -> dict[str, str]:
        """What says it in an address."""
        return {"sort": self.order.value} | ({"verdict": self.verdict.value} if self.verdict else {})


def _flagged(free: str = "", *, forward: bool = True, near: bool = False) -> str:
    """SQL: up to `:limit` flagged jobs `j` beyond `:seq`, each where its worst flag stands.

    If `free` names a condition, only undecided ones that meet it. What is decided is passed over by two indexes alone;
    with `near`, a few flags are looked at, and otherwise all of them, in whatever way is quick for so many.
    """
    beyond, order = (">", "ASC") if forward else ("<", "DESC")
    undecided_seq = f"NOT EXISTS (SELECT FROM {_DECIDED} AND reviews.seq = f.seq)" if free else "true"
    return f"""
        SELECT DISTINCT ON (c.rank, c.seq) j.id, j.seq, c.rank AS place FROM (
            SELECT rank, seq FROM (
                SELECT rank, seq FROM {_FLAGS} AND (rank, seq) {beyond}
                    (CASE WHEN :seq < 0 THEN -1 ELSE coalesce({_RANK}, {UNFLAGGED}) END, cast(:seq AS bigint))
                ORDER BY rank {order}, seq {order} {f"LIMIT {NEAR}" if near else ""}
            ) f WHERE {undecided_seq}
        ) c JOIN jobs j ON j.batch_id = :batch_id AND j.state = 'succeeded' AND j.seq = c.seq
        WHERE {free or "true"} AND NOT EXISTS (SELECT FROM {_FLAGS} AND checks.seq = c.seq AND checks.rank < c.rank)
        ORDER BY c.rank {order}, c.seq {order} LIMIT :limit
    """


_IS_UNFLAGGED = f"NOT EXISTS (SELECT FROM {_FLAGS} AND checks.seq = j.seq)"
#: Where the others are looked for: from the beginning, or before it, while flagged ones are shown.
_AMONG_OTHERS = f"CASE WHEN {_RANK} IS NULL THEN cast(:seq AS bigint) ELSE -1 END"


def _others(*, forward: bool) -> str:
    """SQL: up to `:limit` jobs without a flag beyond `:seq`, which come after all that are flagged."""
    beyond, order = (">", "ASC") if forward else ("<", "DESC")
    return f"""
        SELECT j.id, j.seq, {UNFLAGGED} AS place FROM jobs j
        WHERE j.batch_id = :batch_id AND j.state = 'succeeded' AND j.seq {beyond} {_AMONG_OTHERS} AND {_IS_UNFLAGGED}
        ORDER BY j.seq {order} LIMIT :limit
    """


def _walked(walk: Walk, *, forward: bool) -> str:
    if walk.order is Order.CATALOG or walk.verdict is not None:
        return f"SELECT id, seq, 0 AS place FROM ({places(walk.verdict, forward=forward)}) found"
    order = "ASC" if forward else "DESC"
    return f"""
        SELECT * FROM (
            SELECT * FROM ({_flagged(forward=forward)}) flagged
            UNION ALL SELECT * FROM ({_others(forward=forward)}) others
        ) found ORDER BY place {order}, seq {order} LIMIT :limit
    """


def _beside(walk: Walk, *, forward: bool) -> str:
    return f"""
        SELECT j.id AS job_id, j.seq, {UNDECIDED} AS undecided, {TAKEN_BY_ANOTHER} AS taken
        FROM ({_walked(walk, forward=forward)}) j ORDER BY j.place, j.seq
    """


_WALKS = [Walk(order, verdict) for order in Order for verdict in (None, *Verdict)]
_BESIDE = {forward: {walk: text(_beside(walk, forward=forward)) for walk in _WALKS} for forward in (True, False)}

_FREE = f"j.erased_at IS NULL AND NOT {TAKEN_BY_ANOTHER}"
#: What is handed out, in the order in which it is looked for.
_HANDED: Mapping[Order, Sequence[Any]] = {
    Order.CATALOG: [text(undecided(_FREE))],
    Order.WORST: [
        text(_flagged(_FREE, near=True)),
        text(_flagged(_FREE)),
        text(undecided(f"{_FREE} AND {_IS_UNFLAGGED}", after=_AMONG_OTHERS)),
    ],
}
_HAS_FLAGS = text(f"SELECT EXISTS (SELECT FROM {_FLAGS})")


def usual_order(session: Session, batch_id: int) -> Order:
    """The order in which a batch is reviewed unless a person wants another one."""
    return Order.WORST if session.execute(_HAS_FLAGS, {"batch_id": batch_id}).scalar_one() else Order.CATALOG


def beside(session: Session, batch_id: int, seq: int, person: str, walk: Walk, number: int, *, forward: bool) -> Any:
    """Up to `number` jobs beside a place: `job_id`, `seq`, whether each is `undecided`, and `taken` by another."""
    given = {"batch_id": batch_id, "seq": seq, "person": person, "limit": number}
    return session.execute(_BESIDE[forward][walk], given).all()


def candidates(session: Session, batch_id: int, after: int, person: str, order: Order, number: int) -> Sequence[Any]:
    """Up to `number` jobs beyond a place, id and seq, that nobody has decided and no other person has open."""
    given = {"batch_id": batch_id, "seq": after, "person": person, "limit": number}
    for statement in _HANDED[order]:
        if rows := session.execute(statement, given).all():
            return rows
    return ()
