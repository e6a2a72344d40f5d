"""Pictures that quality checks flagged: which, in which order, and how many."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.orm import Session

from models.checks import CheckName
from models.fragments import is_flag
from workers.images.check_rules import SENTENCES

COUNTED = 1_000  # flags of one check that a page counts; more are "1,000 and more"

_OF_BATCH = f"checks.batch_id = :batch_id AND {is_flag()}"
_COUNTS = text(f"SELECT name, count(*) AS number FROM checks WHERE {_OF_BATCH} GROUP BY name")
_PICTURES = text(f"SELECT count(DISTINCT result_id) FROM checks WHERE {_OF_BATCH}")
_WAITING = text("""
    SELECT count(*) FROM due_checks d JOIN results r ON r.id = d.result_id JOIN jobs j ON j.id = r.job_id
    WHERE j.batch_id = :batch_id
""")
# A page counts no further than it says.
_SOME = text(f"""
    SELECT n.name, (
        SELECT count(*) FROM (
            SELECT FROM checks WHERE {_OF_BATCH} AND checks.name = n.name LIMIT {COUNTED}
        ) few
    ) AS number FROM unnest(cast(:names AS text[])) AS n(name)
""")


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which flagged pictures are asked for: of one check or all; in the order of the catalog, or the worst first."""

    check: CheckName | None = None
    worst: bool = False


@dataclass(frozen=True, slots=True)
class Flags:
    """How many pictures of a batch each check flagged, those that were replaced since apart."""

    counts: Mapping[CheckName, int]
    #: Pictures with a flag or several.
    pictures: int
    #: Pictures whose checks are still to be made.
    waiting: int


def flags_of_batch(session: Session, batch_id: int) -> Flags:
    """All flags of a batch, counted."""
    asked = {"batch_id": batch_id}
    counts = {CheckName(row.name): row.number for row in session.execute(_COUNTS, asked)}
    pictures, waiting = (session.execute(each, asked).scalar_one() for each in (_PICTURES, _WAITING))
    return Flags({name: counts.get(name, 0) for name in CheckName}, pictures, waiting)


def some_flags(session: Session, batch_id: int) -> Mapping[CheckName, int]:
    """The checks that flagged anything in a batch, and how many pictures, counted up to `COUNTED`."""
    rows = session.execute(_SOME, {"batch_id": batch_id, "names": [name.value for name in CheckName]})
    return {CheckName(row.name): row.number for row in rows if row.number}


def words(name: str) -> str:
    """A check's name as people read it."""
    return name.replace("_", " ")


def sentence(name: str) -> str:
    """What a check says of a picture that it flags."""
    return SENTENCES[CheckName(name)]


def flag_places(wanted: Wanted, *, forward: bool) -> str:
    """SQL: id and seq, and place, of up to `:limit` jobs of `:batch_id` with such a flag, beyond the job at `:seq`."""
    beyond, order = (">", "ASC") if forward else ("<", "DESC")
    named = "true" if wanted.check is None else f"name = '{wanted.check}'"
    flags = f"checks WHERE {_OF_BATCH} AND {named}"
    if not wanted.worst:
        return f"""
            SELECT DISTINCT ON (seq) job_id AS id, seq, 0.0 AS place FROM {flags} AND seq {beyond} :seq
            ORDER BY seq {order} LIMIT :limit
        """
    # Each job once, where its worst flag stands.
    worse = "(other.rank, other.result_id, other.name) < (c.rank, c.result_id, c.name)"
    return f"""
        SELECT c.job_id AS id, c.seq, c.rank AS place FROM (SELECT * FROM {flags}) c
        WHERE (c.rank, c.seq) {beyond} (coalesce((SELECT min(rank) FROM {flags} AND seq = :seq), -1), :seq)
            AND NOT EXISTS (
                SELECT FROM checks other WHERE other.job_id = c.job_id AND {is_flag("other")} AND {named} AND {worse}
            )
        ORDER BY c.rank {order}, c.seq {order} LIMIT :limit
    """


#: Everything that can be asked for.
EVERY: Sequence[Wanted] = [Wanted(check, worst) for check in (None, *CheckName) for worst in (False, True)]
