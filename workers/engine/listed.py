"""Options whose values the provider lists: checked before a job is paid for, against a list kept for a while."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import structlog

from providers.protocol import NotSentError, Provider, UnclearError
from providers.spec import Operation
from recast.hints import hint
from workers.config.accounts import Account
from workers.engine.runtime import Runtime
from workers.http.exchange import clock

LIST_SECONDS = 600.0  # a list is used; providers add templates by the week
NEW_SECONDS = 60.0  # a younger list is believed when it lacks a value; an older one is read again first

log = structlog.get_logger()


class UnlistedError(Exception):
    """An option has a value that the provider does not list; the message names it and the nearest that is listed."""


@dataclass(frozen=True, slots=True)
class ValueList:
    """The values that a provider listed, none if it did not answer, and when (seconds of `clock`)."""

    values: frozenset[int]
    read_at: float


async def check_listed(
    runtime: Runtime, account: Account, provider: Provider, operation: Operation, options: Mapping[str, Any]
) -> None:
    """Refuse a value that the provider does not list; a list that cannot be read now refuses nothing.

    Raises:
        UnlistedError: the value is not in the list.
    """
    value = options.get(operation.listed) if operation.listed else None
    if value is None:
        return
    async with runtime.one_at_a_time(f"listed:{account.name}"):
        known = runtime.listed.get(account.name)
        age = clock() - known.read_at if known else None
        if known is None or age is None or age > (LIST_SECONDS if value in known.values else NEW_SECONDS):
            known = runtime.listed[account.name] = await _read(account, provider)
    if known.values and value not in known.values:
        nearest = min(known.values, key=lambda other: abs(other - value))
        raise UnlistedError(
            f"options.{operation.listed}: {value} is not in the list of {account.provider}; the nearest is {nearest}; "
            f"{hint('accounts templates', account.name)} shows all"
        )


async def _read(account: Account, provider: Provider) -> ValueList:
    try:
        values = frozenset(choice.value for choice in await provider.choices())
    except (NotSentError, UnclearError) as error:
        log.info("list_not_read", account=account.name, error=str(error))
        values = frozenset()
    return ValueList(values, clock())
