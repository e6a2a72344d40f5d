"""`recast providers`: the providers' operations, their options, and their prices at the configured accounts."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from cli.environment import JsonOption
from cli.output import emit, say
from providers import PROVIDERS
from providers.describing import OperationInWords, describe
from providers.spec import Operation
from workers.config.account_values import AccountsError
from workers.config.accounts import Account, load
from workers.config.settings import read
from workers.config.units import Price

COLUMN = 28  # characters: the longest name, `options.num_inference_steps`, and a space


def providers(*, as_json: JsonOption = False) -> None:
    """List operations, their options and their prices."""
    known = _known_accounts()
    if as_json:
        emit(
            {
                name: {
                    "base_url": adapter.BASE_URL,
                    "settings": adapter.SETTINGS.model_json_schema(),
                    "operations": {
                        operation.name: {
                            "kind": operation.kind,
                            "summary": operation.summary,
                            "needs": {role: need.via for role, need in operation.needs.items()},
                            "prompt": operation.prompt,
                            "options": operation.options.model_json_schema(),
                            "prices": _prices(known, operation),
                        }
                        for operation in adapter.OPERATIONS.values()
                    },
                }
                for name, adapter in PROVIDERS.items()
            }
        )
        return
    for adapter in PROVIDERS.values():
        for operation in adapter.OPERATIONS.values():
            say(f"{operation.name}", style="bold")
            say(f"  {operation.kind}: {operation.summary}")
            for name, words in _described(describe(operation)):
                say(f"    {name:<{COLUMN}} {words}")
            for account, price in _prices(known, operation).items():
                say(f"    {'price':<{COLUMN}} {price} at {account}")


def _described(operation: OperationInWords) -> Iterator[tuple[str, str]]:
    """The pictures, the prompt and the options of an operation, one line each."""
    yield from operation.pictures.items()
    if operation.prompt != "unused":
        yield "prompt", operation.prompt
    for option in operation.options:
        without = "required" if option.required else f"default {json.dumps(option.default)}"
        known = option.required or option.default is not None
        yield f"options.{option.name}", f"{option.allowed} ({without})" if known else option.allowed


def _known_accounts() -> Mapping[str, Account]:
    """The accounts of the accounts file, or none where it cannot be read: operations do not depend on it."""
    try:
        return load(read().accounts_file)
    except AccountsError:
        return {}


def _prices(accounts: Mapping[str, Account], operation: Operation) -> Mapping[str, Price]:
    """The price of one submission of `operation`, by account."""
    short = operation.name.partition(".")[2]
    return {
        account.name: price
        for account in accounts.values()
        if operation.name in account.operations and (price := account.prices.get(short)) is not None
    }
