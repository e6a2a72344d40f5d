"""The accounts file: credentials, limits, prices and budgets, checked when it is read.

Errors name the file, the account, the field, the value and what is allowed; secrets never appear in them.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection, Iterable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    SerializeAsAny,
    SkipValidation,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from providers import PROVIDERS
from providers.protocol import Provider
from providers.spec import Operation
from recast.values import trimmed, written
from workers.config.account_values import (
    ENCODED,
    LOOPBACK,
    AccountsError,
    cut,
    looked_up,
    no_plain_http,
    one_address,
    sendable,
)
from workers.config.check_thresholds import OwnThresholds, Thresholds
from workers.config.extras import FACE_ENGINE, missing
from workers.config.units import SHOWN, MoneyField, Price, PriceField, Rate, Seconds
from workers.http.ssrf import Guard

#: Stands for a secret that this process does not need, in a form that every adapter accepts: "not needed here, ...".
NOT_HERE = "whsec_bm90IG5lZWRlZCBoZXJlLCBub3QgaGVyZQ=="


class Limits(BaseModel):
    """The part of an account that people may override while it runs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_in_flight: int = Field(default=32, ge=1, le=100_000)
    #: Submissions a second; None for no limit of ours.
    rate: Rate | None = None
    poll_every: Seconds = Field(default=3.0, gt=0)
    deadline: Seconds = Field(default=600.0, gt=0)
    prices: dict[str, PriceField] = Field(default_factory=dict)
    budget: dict[Literal["day", "month"], MoneyField] = Field(default_factory=dict)


class Account(Limits):
    """One account as the file defines it, bound to its provider's adapter class."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    name: str
    provider: str
    base_url: str
    #: Not among the limits: the sweep judges with it what a worker sent, so all processes must have the same one.
    submit_timeout: Seconds = Field(default=30.0, gt=0, le=300)
    #: Accounts of a lower order are used first; the others take over while all of those are stopped.
    order: int = Field(default=0, ge=0, le=1000)
    on_unknown: Literal["hold", "resubmit"] = "hold"
    allow_hosts: tuple[str, ...] = ()
    #: Whether every picture must show a face before it is paid for; needs the face engine.
    check_face: bool = False
    #: Whether every job must name the model's release it has, in `consent`.
    require_consent: bool = False
    #: Of results, by operation, where other thresholds than ours flag what people should look at.
    checks: OwnThresholds = Field(default_factory=dict)
    adapter: SkipValidation[type[Provider]]
    #: The operations that are used, without the provider's name; None for all.
    chosen: tuple[str, ...] | None = Field(default=None, alias="operations", min_length=1)
    #: The provider's own settings and secrets.
    own: SerializeAsAny[BaseModel]

    @field_validator("check_face")
    @classmethod
    def _face_engine_is_there(cls, value: bool) -> bool:
        if value and missing(FACE_ENGINE):
            raise ValueError("needs the face engine: pip install 'recast-server[faces]', or remove this setting")
        return value

    @field_validator("allow_hosts")
    @classmethod
    def _are_hosts(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        Guard(value)
        return value

    @field_validator("chosen")
    @classmethod
    def _are_the_providers(cls, value: tuple[str, ...] | None, info: ValidationInfo) -> tuple[str, ...] | None:
        known = [_short(name) for name in info.data["adapter"].OPERATIONS]
        unknown = [name for name in value or () if name not in known]
        if unknown:
            raise ValueError(f"{unknown[0]!r} is unknown; allowed: {', '.join(known)}")
        return value

    @model_validator(mode="after")
    def _is_sound(self) -> Self:
        return self.sound()

    def sound(self) -> Self:
        """This account, if its prices and budget fit together, which `with_overrides` does not check.

        Raises:
            ValueError: they do not.
        """
        known = [_short(name) for name in self.adapter.OPERATIONS]
        for field, names in (("prices", self.prices), ("checks", self.checks)):
            for name in names:
                if name not in known:
                    raise ValueError(
                        f"{field} has {name!r}, which is not an operation of {self.provider}; allowed: "
                        f"{', '.join(known)}"
                    )
        currencies = {item.currency for item in [*self.prices.values(), *self.budget.values()]}
        if len(currencies) > 1:
            raise ValueError(f"prices and budget mix the currencies {', '.join(sorted(currencies))}: use one")
        if self.budget:
            unpriced = [short for short in map(_short, self.operations) if short not in self.prices]
            if unpriced:
                raise ValueError(
                    f"budget is set but prices has no entry for {', '.join(unpriced)}: "
                    "a budget needs a price for each operation; add the price, "
                    "or list the operations that you use in `operations`"
                )
        return self

    @property
    def operations(self) -> Mapping[str, Operation]:
        """What jobs may use of this account, by full name and in the provider's order."""
        chosen = self.chosen
        everything = self.adapter.OPERATIONS
        if chosen is None:
            return everything
        return {name: operation for name, operation in everything.items() if _short(name) in chosen}

    def cost(self, operation: Operation, options: Mapping[str, Any]) -> Decimal:
        """What one submission of `operation` costs here; zero where no price is given."""
        found = self.price(operation)
        return found.for_pictures(operation.pictures_for(options)) if found else Decimal(0)

    def price(self, operation: Operation) -> Price | None:
        """The price of `operation` here, if it has one."""
        return self.prices.get(_short(operation.name))

    def thresholds(self, operation: str) -> Thresholds:
        """Those that this account sets for an operation, by its full name."""
        return self.checks.get(_short(operation), {})

    def with_overrides(self, overrides: Mapping[str, Any]) -> Account:
        """This account with limits that people changed while it ran.

        A price or a budget that is overridden is merged with the others of the file; None removes one.

        Raises:
            ValueError: an override is none of `Limits`.
        """
        if not overrides:
            return self
        changed = {name: value for name, value in overrides.items() if not isinstance(value, Mapping)}
        for name in overrides.keys() - changed.keys():
            merged = {**getattr(self, name, {}), **overrides[name]}
            changed[name] = {key: value for key, value in merged.items() if value is not None}
        limits = Limits.model_validate(changed)
        return self.model_copy(update={name: getattr(limits, name) for name in limits.model_fields_set})


def _short(operation: str) -> str:
    return operation.partition(".")[2]


def load(path: Path, *, needed: Collection[str] | None = None) -> dict[str, Account]:
    """The accounts that `path` defines, by name.

    Args:
        path: the accounts file.
        needed: the secrets that this process uses; it may lack the others. By default all.

    Raises:
        AccountsError: the file is missing or an account in it is wrong.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise AccountsError(
            f"{path}: the accounts file does not exist; "
            "copy accounts.example.toml, or use --sandbox to try without keys"
        ) from None
    except OSError as error:
        raise AccountsError(f"{path}: cannot be read: {error.strerror or error}") from None
    try:
        tables = tomllib.loads(written(data)).get("accounts", {})
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise AccountsError(f"{path}: line {line} is not UTF-8; save the file as UTF-8") from None
    except (ValueError, RecursionError) as error:  # also a number of more digits than Python reads
        raise AccountsError(f"{path}: not valid TOML: {error}") from None
    if not tables:
        raise AccountsError(f"{path}: no [accounts.NAME] table; accounts.example.toml shows one for each provider")
    try:
        accounts = {name: parse(name, table, needed=needed) for name, table in tables.items()}
    except AccountsError as error:
        raise AccountsError(f"{path}: {error}") from None
    try:
        one_currency(accounts.values())
    except ValueError as error:
        raise AccountsError(f"{path}: {error}") from None
    return accounts


def ahead_of(account: Account, accounts: Iterable[Account]) -> tuple[Account, ...]:
    """Those of `accounts` that are used before `account`, while one of them accepts."""
    return tuple(other for other in accounts if other.order < account.order)


def one_currency(accounts: Iterable[Account]) -> None:
    """Check that all prices and budgets are in one currency.

    Raises:
        ValueError: they are not.
    """
    found = {item.currency for account in accounts for item in [*account.prices.values(), *account.budget.values()]}
    if len(found) > 1:
        raise ValueError(f"prices in {', '.join(sorted(found))}: use one currency in all accounts")


def parse(name: str, table: Mapping[str, Any], *, needed: Collection[str] | None = None) -> Account:
    """One account from its table; `needed` as in `load`."""
    where = f"accounts.{name}"
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,62}", name):
        raise AccountsError(f"{where}: the name is not valid; use at most 63 lower-case letters, digits, - and _")
    rest = {key: cut(f"{where}.{key}", value) for key, value in table.items()}
    provider = rest.pop("provider", None)
    adapter = PROVIDERS.get(str(provider))
    if adapter is None:
        raise AccountsError(f"{where}.provider: {provider!r} is unknown; allowed: {', '.join(sorted(PROVIDERS))}")
    base_url = rest.pop("base_url", adapter.BASE_URL)
    if not base_url:
        raise AccountsError(f"{where}.base_url: is missing; {provider} publishes no address, so set it in the account")
    base_url = one_address(f"{where}.base_url", str(base_url))
    for field, address in (("base_url", base_url), ("token_url", rest.get("token_url"))):
        no_plain_http(f"{where}.{field}", str(address))
    loopback = urlsplit(base_url).hostname in LOOPBACK
    own_fields = adapter.SETTINGS.model_fields
    own = {}
    for field in [key for key in rest if key in own_fields]:
        value = rest.pop(field)
        is_secret = own_fields[field].annotation in (SecretStr, SecretStr | None)
        if is_secret and needed is not None and field not in needed:
            value = NOT_HERE
        elif is_secret:
            secret = looked_up(f"{where}.{field}", value, literal_allowed=loopback)
            value = sendable(f"{where}.{field}", trimmed(secret), encoded=field in ENCODED)
        own[field] = value
    try:
        return Account(
            name=name,
            provider=str(provider),
            base_url=base_url.rstrip("/"),
            adapter=adapter,
            own=adapter.SETTINGS.model_validate(own),
            **rest,
        )
    except ValidationError as error:
        named = {field.alias or name for name, field in Account.model_fields.items()}
        raise AccountsError(explain_fields(where, error, sorted({*named, *own_fields} - _INTERNAL))) from None


_INTERNAL = frozenset({"name", "adapter", "own"})


def explain_fields(where: str, error: ValidationError, allowed: list[str]) -> str:
    """What is wrong with settings, each by its full name, with what is allowed."""
    lines = []
    for item in error.errors(include_url=False, include_context=False):
        field = ".".join(str(part) for part in item["loc"])
        message = item["msg"].removeprefix("Value error, ")
        if item["type"] == "extra_forbidden":
            message = f"unknown setting; allowed: {', '.join(allowed)}"
        elif item["type"] == "missing":
            message = 'is missing; write "env:NAME" or "file:PATH"'
        elif item["type"] != "value_error" and field.partition(".")[0] in Limits.model_fields:  # which hold no secret
            message = f"{repr(item['input'])[:SHOWN]} is not possible: {message}"
        lines.append(f"{where}{'.' + field if field else ''}: {message}")
    return "; ".join(lines)
