"""Redos on the desk's page: what one would cost, said before it is asked for, and its beginning.

Workers are not told: the next sweep finds what is queued.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from sqlalchemy.orm import Session

from desk.actors import Actor
from desk.redo import redo
from desk.redo_plan import Change, Plan, Terms, plan
from desk.verdicts import DeskError
from models.people import Role
from reports.obstacles import accounts_for_obstacles
from workers.cache import Cache
from workers.config.settings import Settings
from workers.images.roots import Roots
from workers.images.storage import Storage
from workers.jobs.routing import Reach

TERMS_SECONDS = 60.0  # for which the accounts file is not read again to show a price

SAME_AGAIN = Change()


@dataclass(frozen=True, slots=True)
class Quote:
    """What a redo of one job costs; or why there can be none."""

    version: int = 0
    cost: Decimal = Decimal(0)
    at_most: Decimal = Decimal(0)
    priced: bool = True
    why_not: str | None = None


class Redos:
    """Redos as the pages of a deployment ask for them.

    Args:
        settings: of the deployment.
        storage: where its pictures are.
    """

    def __init__(self, settings: Settings, storage: Storage) -> None:
        self._settings = settings
        self._reach = Reach(bool(settings.public_url), storage.can_sign, Roots.of(settings))
        self._terms: Cache[str, Terms | None] = Cache(1, TERMS_SECONDS)

    def quote(self, session: Session, actor: Actor, job_id: str) -> Quote | None:
        """What the same again would cost; None for a person who may not, or where the accounts cannot be read."""
        terms = self.terms() if actor.sees_money else None
        return None if terms is None else _quote(plan(session, [job_id], SAME_AGAIN, terms))

    def begin(self, session: Session, actor: Actor, job_id: str, version: int, at_most: Decimal) -> None:
        """Ask for a job's picture again, as `quote` said it.

        Raises:
            ForbiddenError: the person may not.
            DeskError: it is not possible now, was asked for already, or has become dearer.
        """
        actor.need(Role.REVIEWER, "redo pictures")
        terms = self.require_terms()
        found = plan(session, [job_id], SAME_AGAIN, terms)
        quote = _quote(found)
        if quote.why_not is not None:
            raise DeskError(f"not redone: {quote.why_not}")
        # What had no price keeps to no amount; where a limit is in force, it is refused.
        most = at_most if quote.priced or at_most else None
        if quote.version != version or not redo(session, actor, found, SAME_AGAIN, terms, max_cost=most).ids:
            raise DeskError("not redone: it was asked for again already")

    def terms(self) -> Terms | None:
        """What the deployment said about redos a while ago; None where the accounts cannot be read."""
        return self._terms.get_or_make("", self._read)

    def require_terms(self) -> Terms:
        """What the deployment says about redos now: what is begun costs no more than was shown.

        Raises:
            DeskError: the accounts cannot be read.
        """
        terms = self._terms.put("", self._read())
        if terms is None:
            raise DeskError("the accounts file cannot be read here, so that nobody knows what a redo costs")
        return terms

    def _read(self) -> Terms | None:
        accounts = accounts_for_obstacles(self._settings.accounts_file)
        return None if accounts is None else Terms.of(self._settings, accounts, self._reach)


def _quote(found: Plan) -> Quote:
    if not found.jobs:
        return Quote(why_not=next(iter(found.left_out), "there is no such job"))
    return Quote(found.jobs[0].version, found.cost, found.at_most, not found.unpriced)
