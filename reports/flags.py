"""Pictures that quality checks flagged: which, in which order, and how many."""

from __future__ import annotations

from collections.abc import Mapping
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
            SELECT FROM checks WHERE {_OF_BATCH} AND checks.name = n.name ORDER BY checks.seq LIMIT {COUNTED}
        ) few
    ) AS number FROM unnest(cast(:names AS text[])) AS n(name)
""")


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
