"""Prices of what is quoted: those in force, and one for each operation that may serve a job."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from recast.errors import InvalidJobError
from workers.accounts.overrides import in_force
from workers.config.accounts import Account
from workers.engine.runtime import Runtime
from workers.operations.costs import unpriced


def require_prices(runtime: Runtime, lanes: Iterable[str], field: str = "filter") -> Mapping[str, Account]:
    """The accounts with the prices that hold now, if each that may serve jobs of these lanes has one.

    Args:
        runtime: the deployment.
        lanes: of the jobs, without what holds them back.
        field: of the request that chose them; or ``quote``, where one is taken.

    Raises:
        InvalidJobError: an operation has no price, so that nobody knows what it may cost.
    """
    accounts = runtime.db(in_force, runtime.accounts)
    if missing := unpriced(lanes, accounts):
        raise InvalidJobError(
            field, f"there is no price for {', '.join(missing)}, so nobody knows what it may cost; add prices to the "
            "accounts file, or choose another account or operation",
        )  # fmt: skip
    return accounts
