"""Overrides: limits, prices and budgets that people change while workers run, kept in the account's row.

Every slice of a pump reads them anew, and `begin` does so under the account's lock: workers apply them within a slice.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError
from sqlalchemy import text
from sqlalchemy.orm import Session

from workers.accounts import admission
from workers.config.account_values import AccountsError
from workers.config.accounts import Account, Limits, explain_fields, one_currency

NOTHING = "none"  # as a value: no rate, no budget, no price
#: Settings that have parts, such as `budget.day`.
PARTED = ("prices", "budget")

_READ = text("SELECT overrides FROM accounts WHERE name = :name FOR UPDATE")
_CHANGED = text("SELECT name, overrides FROM accounts WHERE name = ANY(:names) AND overrides <> '{}'")
_WRITE = text("""
    UPDATE accounts SET overrides = cast(:overrides AS jsonb), overridden_by = :who,
        overridden_at = CASE WHEN cast(:who AS text) IS NOT NULL THEN clock_timestamp() END
    WHERE name = :name
""")


def parse(words: Sequence[str]) -> dict[str, Any]:
    """``["rate=30/min", "budget.day=20 USD", "rate=none"]`` as a document like the accounts file's.

    Raises:
        AccountsError: a word is not ``SETTING=VALUE``, or its setting cannot be changed while workers run.
    """
    found: dict[str, Any] = {}
    for word in words:
        name, equals, value = word.partition("=")
        setting, _, part = name.strip().partition(".")
        if not equals or not value.strip():
            form = "write SETTING=VALUE, such as rate=30/min or 'budget.day=20 USD'"
            raise AccountsError(f"{word!r} is not a valid setting; {form}")
        if setting not in Limits.model_fields:
            allowed = ", ".join(f"{field}.NAME" if field in PARTED else field for field in Limits.model_fields)
            raise AccountsError(f"{setting}: cannot be changed while workers run; allowed: {allowed}")
        if bool(part) is not (setting in PARTED):
            example = "budget.day or prices.swap" if setting in PARTED else setting
            raise AccountsError(f"{name}: write {example}")
        given = None if value.strip() == NOTHING else value.strip()
        if part:
            found.setdefault(setting, {})[part] = given
        else:
            found[setting] = given
    return found


def change(
    session: Session, accounts: Mapping[str, Account], name: str, changes: Mapping[str, Any], who: str
) -> Account:
    """Put `changes` over what holds for account `name`, and return the account as it is then.

    Raises:
        AccountsError: a value is not allowed, or does not fit what else holds; nothing was changed.
    """
    kept: dict[str, Any] = dict(session.execute(_READ, {"name": name}).scalar_one())
    for setting, value in changes.items():
        kept[setting] = {**kept.get(setting, {}), **value} if isinstance(value, Mapping) else value
    try:
        account = accounts[name].with_overrides(kept).sound()
        one_currency({**accounts, name: account}.values())
    except ValidationError as error:
        raise AccountsError(explain_fields(name, error, list(Limits.model_fields))) from None
    except ValueError as error:
        raise AccountsError(f"{name}: {error}") from None
    _write(session, name, kept, who)
    return account


def drop(session: Session, name: str) -> list[str]:
    """Let the accounts file hold again for account `name`; returns the settings that were overridden."""
    dropped: dict[str, Any] = session.execute(_READ, {"name": name}).scalar_one()
    if dropped:
        _write(session, name, {}, None)
    return list(dropped)


def _write(session: Session, name: str, overrides: Mapping[str, Any], who: str | None) -> None:
    session.execute(_WRITE, {"name": name, "overrides": json.dumps(overrides), "who": who})
    admission.resume_for_budget(session, name)


def in_force(session: Session, accounts: Mapping[str, Account]) -> Mapping[str, Account]:
    """The accounts with the limits, prices and budgets that hold now: what jobs are booked at, and so what they cost.

    What is shown or promised of costs comes from here; the file alone is what nobody has changed since.
    """
    changed = {row.name: row.overrides for row in session.execute(_CHANGED, {"names": list(accounts)})}
    return {name: account.with_overrides(changed.get(name, {})) for name, account in accounts.items()}


def described(overrides: Mapping[str, Any]) -> str:
    """Overrides as people write them: ``rate=30/min, budget.day=20 USD``."""
    words = []
    for setting, value in overrides.items():
        parts = value.items() if isinstance(value, Mapping) else [("", value)]
        words += [
            f"{setting}{'.' if part else ''}{part}={NOTHING if given is None else given}" for part, given in parts
        ]
    return ", ".join(words)
