"""Numbers beside a grid's choices that no counter keeps: of reasons and notes, where few enough verdicts have them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.orm import Session

FEW = 1_000  # verdicts of a batch that a page looks through: some 5 ms

_SAID = """
    SELECT said.reasons, said.note IS NOT NULL AS noted FROM reviews w JOIN verdicts said ON said.id = w.verdict_id
    WHERE w.batch_id = :batch_id AND w.verdict IN ('approved', 'needs_work')
"""
_REASONS = text(f"""
    SELECT reason, count(*) AS number FROM ({_SAID} AND w.verdict = 'needs_work') given
    CROSS JOIN LATERAL jsonb_array_elements_text(given.reasons) AS reason GROUP BY reason
""")
_NOTED = text(f"SELECT count(*) FROM ({_SAID}) given WHERE given.noted")


@dataclass(frozen=True, slots=True)
class ReasonCounts:
    """How many verdicts give each reason, and how many have a note; None where there are too many to count."""

    reasons: Mapping[str, int] | None
    noted: int | None


def said(session: Session, batch_id: int, needs_work: int, decided: int) -> ReasonCounts:
    """What the verdicts of a batch say, of which so many need work and so many are decided."""
    asked = {"batch_id": batch_id}
    counted = needs_work <= FEW
    reasons = {row.reason: int(row.number) for row in session.execute(_REASONS, asked)} if counted else None
    return ReasonCounts(reasons, session.execute(_NOTED, asked).scalar_one() if decided <= FEW else None)
