"""One more quality check: whether a result shows another person than the one given."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None

CHECK = "ck_checks_name"
BEFORE = (
    "blank", "no_face", "fewer_faces", "more_faces", "face_unchanged", "changed_outside", "blurred", "other_size",
    "near_duplicate",
)  # fmt: skip
NEW = "other_person"


def _names(*names: str) -> None:
    listed = ", ".join(f"'{name}'" for name in names)
    op.drop_constraint(op.f(CHECK), "checks", type_="check")
    op.create_check_constraint(op.f(CHECK), "checks", f"name IN ({listed})", postgresql_not_valid=True)
    # Reading a table of millions must not keep others from it.
    with op.get_context().autocommit_block():
        op.execute(f"ALTER TABLE checks VALIDATE CONSTRAINT {CHECK}")


def upgrade() -> None:
    """Forward."""
    after = BEFORE.index("face_unchanged") + 1
    _names(*BEFORE[:after], NEW, *BEFORE[after:])


def downgrade() -> None:
    """Back."""
    op.execute(sa.text("DELETE FROM checks WHERE name = :name").bindparams(name=NEW))
    _names(*BEFORE)
