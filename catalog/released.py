"""Rows whose release does not allow them: they are mistakes, found when a catalog is compared with its batch."""

from __future__ import annotations

from sqlalchemy import bindparam, text
from sqlalchemy.orm import Session
from sqlalchemy.types import Text

from catalog.errors import BadRowsError, Mistake
from workers.jobs.releases import refusal, says
from workers.jobs.request import CONSENT

MOST = 1_000  # mistakes that are listed

# Where nothing is written of any release, a million rows need not be joined to find that.
_ANY = text("SELECT EXISTS (SELECT FROM releases)")
# Of rows that would be queued only: what is made stays as it is.
_UNRELEASED = text(f"""
    WITH asked AS (
        SELECT s.line, s.key, r.reference, {refusal("r", "s.kind", "coalesce(:label, b.label)")} AS why
        FROM staged s JOIN decided d USING (key) JOIN releases r ON r.reference = s.extra ->> '{CONSENT}'
            LEFT JOIN batches b ON b.name = :name
        WHERE d.verdict IN ('new', 'retried', 'changed')
    )
    SELECT line, key, reference, why, count(*) OVER () AS total FROM asked
    WHERE why IS NOT NULL ORDER BY line LIMIT {MOST}
""").bindparams(bindparam("label", type_=Text))


def require_releases(session: Session, name: str, label: str | None) -> None:
    """Refuse rows in `staged` that would be queued and whose release does not allow that.

    Args:
        session: the transaction that has `staged` and `decided`.
        name: of the batch.
        label: that the run gives the batch; None leaves it as it is.

    Raises:
        BadRowsError: naming the rows.
    """
    if not session.execute(_ANY).scalar_one():
        return
    rows = session.execute(_UNRELEASED, {"name": name, "label": label}).all()
    if rows:
        mistakes = [Mistake(row.line, CONSENT, says(row.reference, row.why), row.key) for row in rows]
        raise BadRowsError(name, mistakes, rows[0].total)
