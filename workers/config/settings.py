"""Typed settings, read once from the environment (prefix ``RECAST_``) and checked at start.

`DATABASE_URL` and `BROKER_URL` unset mean the embedded stack: the process that starts it writes its addresses to
``HOME/stack.json``, and every other process of this machine joins it from there.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import lru_cache
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Self

from pydantic import Field, SecretStr, ValidationInfo, field_validator, model_validator
from pydantic_settings import NoDecode, SettingsConfigDict

from recast import address
from recast.hints import hint
from recast.money import Money
from recast.settings import STACK_FILE
from recast.values import parts, trimmed, unseen
from workers.config.deciding import Deciding
from workers.config.entering import Entering
from workers.config.malformed import explain
from workers.config.passed_over import without_links
from workers.config.paths import Host, SomeFolder, SomePath, is_connection_string
from workers.config.signing import Signing
from workers.http.addresses import AddressError, web_address

#: The longest a pump's message may wait in the broker; a message unacknowledged for longer than the visibility
#: timeout is delivered twice.
MAX_COUNTDOWN_SECONDS = 30
OFF = "off"  # as a value of `PUBLIC_URL_CHECK`
MIN_PASSWORD = 12  # characters of the gallery's and Flower's: anybody may guess, some times a second
MIN_SECRET = 16  # characters of what signs links or opens metrics: nobody guesses it in a lifetime


class SettingsError(Exception):
    """A setting is missing or dangerous; the message names it and says what to do."""


class Tries(NamedTuple):
    """How often a job is tried by itself."""

    #: Attempts in all, as long as none is paid for.
    attempts: int
    #: Attempts that a provider may bill; what a run may cost "at most" is counted with it.
    paid: int


class Settings(Signing, Deciding, Entering):
    """The settings of a Recast process: everything but the accounts."""

    model_config = SettingsConfigDict(
        env_prefix="RECAST_",
        env_file=".env",
        env_file_encoding="utf-8-sig",
        extra="ignore",
        frozen=True,
        # What is wrong may be a secret, or a secret in the wrong place.
        hide_input_in_errors=True,
    )

    database_url: str | None = None
    #: Where `recast db upgrade` runs, if not at `DATABASE_URL`: the server itself, where that one is a pooler.
    migration_database_url: str | None = None
    #: The most connections of one process to the database.
    database_connections: int = Field(default=24, ge=4, le=500)
    broker_url: str | None = None
    #: Where results of tasks wait for `.get()`; the broker unless set.
    result_url: str | None = None
    #: What every key in the broker and the result store begins with.
    key_prefix: str = ""
    #: Where pictures go: a folder or any fsspec URL. `HOME/pictures` unless set.
    storage_url: str | None = None
    accounts_file: SomePath = Path("accounts.toml")
    home: SomeFolder = Path(".recast")
    #: Signs media links and encrypts provider sessions.
    secret_key: SecretStr | None = None
    #: Where providers reach our `web` process.
    public_url: str | None = None
    #: Where workers try our links before they pay: `PUBLIC_URL` itself unless set, or `off` for not at all.
    public_url_check: str | None = None
    #: Whether workers ask for public addresses of pictures before they pay.
    check_addresses: bool = True
    #: Concurrent task slots of one worker process.
    slots: int = Field(default=16, ge=4, le=256)
    #: Pumps that download results side by side, in one worker process.
    store_pumps: int = Field(default=2, ge=1, le=64)
    #: Seconds a pump claims work before it hands its slot back.
    slice_seconds: float = Field(default=10.0, gt=0, le=60)
    #: Concurrent connections to one account's provider, from one worker process.
    connections: int = Field(default=128, ge=2, le=1000)
    visibility_timeout: int = Field(default=120, ge=10, le=86_400)
    #: Seconds between two sweeps.
    sweep_every: float = Field(default=5.0, gt=0, le=3_600)
    #: Seconds between two looks of a worker at itself; see `workers.observability.health`.
    heartbeat_every: float = Field(default=5.0, gt=0, le=60)
    #: New attempts a job gets after failures that may pass.
    max_attempts: int = Field(default=3, ge=1, le=20)
    #: Attempts of a job that may be billed, `max_attempts` at most: "at most" of a plan counts them all.
    max_paid_attempts: int = Field(default=2, ge=1, le=20)
    #: Largest result file in bytes.
    max_result_bytes: int = Field(default=64 * 1024 * 1024, ge=1024, le=2**31 - 1)
    #: Whether pictures that pass through our hands are made upright and 8-bit sRGB, which every provider reads alike.
    plain_inputs: bool = True
    #: Whether a provider's own file is kept beside the one that was marked; it takes as much room again.
    keep_originals: bool = True
    #: Whether stored pictures are checked on this machine before people look at them.
    checks: bool = True
    media_seconds: int = Field(default=6 * 3600, ge=60, le=366 * 86_400)
    currency: str = Field(default="USD", pattern=r"^[A-Z]{3}$")
    #: `recast run` asks before it enqueues what may cost more than this; None never asks.
    confirm_above: Decimal | None = None
    flower_auth: SecretStr | None = None
    #: The bearer token of requests for /metrics; without one the page does not exist.
    metrics_token: SecretStr | None = None
    #: ``user:password`` for the gallery's pages; without it there are none.
    web_auth: SecretStr | None = None
    #: What a reviewer may spend on redos in a day (UTC); operators may spend what caps and budgets leave.
    review_redo_cap: Decimal = Field(default=Decimal(5), ge=0)
    #: Hosts of webhooks that may be private, as ``host`` or ``host:port``, separated by commas.
    webhook_hosts: Annotated[tuple[str, ...], NoDecode] = ()
    #: Folders and ``s3://`` prefixes that pictures and catalogs may come from, separated by commas; all unless set.
    input_roots: Annotated[tuple[str, ...], NoDecode] = ()
    #: Which jobs of catalogs send task events for Flower at their end: failures and a few others, all, or none.
    bulk_events: Literal["sample", "all", "off"] = "sample"
    #: Addresses or networks of proxies whose X-Forwarded-For is believed, separated by commas.
    trusted_proxies: Annotated[tuple[str, ...], NoDecode] = ()
    web_host: Host = "127.0.0.1"
    web_port: int = Field(default=8765, ge=1, le=65535)
    flower_address: Host = "127.0.0.1"
    flower_port: int = Field(default=5555, ge=1, le=65535)

    @model_validator(mode="before")
    @classmethod
    def _are_trimmed(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        """Cut what is blank or unseen around each value; what is left blank counts as unset."""
        cut = {name: trimmed(value) if isinstance(value, str) else value for name, value in values.items()}
        return without_links({name: value for name, value in cut.items() if value != ""})

    @field_validator("*", mode="before")
    @classmethod
    def _has_nothing_unseen(cls, value: object) -> object:
        if isinstance(value, str) and (found := unseen(value)):
            raise ValueError(f"{found} cannot be seen and is not allowed; write the value again by hand")
        return value

    @field_validator("confirm_above", "review_redo_cap", mode="before")
    @classmethod
    def _is_money(cls, value: object, info: ValidationInfo) -> Decimal | None:
        try:
            return None if value is None else Money.parse(value, info.data.get("currency")).amount
        except ValueError:  # whose message repeats the value
            raise ValueError("must be an amount such as 50 or 12.50, in RECAST_CURRENCY") from None

    @field_validator("secret_key", "metrics_token")
    @classmethod
    def _is_hard_to_guess(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and len(value.get_secret_value()) < MIN_SECRET:
            raise ValueError(f"it must have {MIN_SECRET} characters or more; `openssl rand -hex 32` makes one")
        return value

    @field_validator("web_auth", "flower_auth")
    @classmethod
    def _is_a_pair(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if value is None:
            return None
        user, _, password = value.get_secret_value().partition(":")
        if not user or len(password) < MIN_PASSWORD:
            raise ValueError(f"it must be user:password, the password of {MIN_PASSWORD} characters or more")
        if info.field_name == "flower_auth" and "," in value.get_secret_value():
            raise ValueError("it has a comma, where Flower begins another user:password; choose one without")
        return value

    @field_validator("trusted_proxies", mode="before")
    @classmethod
    def _trusted_proxies_are_networks(cls, value: object) -> object:
        value = parts(value)
        for part in value if isinstance(value, tuple | list) else ():
            try:
                ip_network(part)
            except ValueError:
                raise ValueError(
                    "must be addresses or networks, such as 10.0.0.1 or 10.0.0.0/8, with commas between"
                ) from None
        return value

    @field_validator("webhook_hosts", mode="before")
    @classmethod
    def _webhook_hosts_are_hosts(cls, value: object) -> object:
        value = parts(value)
        if isinstance(value, tuple | list) and value:
            # Here and not above: producers read settings too, and load no HTTP client.
            from workers.http.ssrf import Guard  # noqa: PLC0415

            try:
                Guard(str(host) for host in value)
            except ValueError:
                raise ValueError("must be hosts, as host or host:port, separated by commas") from None
        return value

    @field_validator("storage_url")
    @classmethod
    def _storage_url_has_no_password(cls, value: str | None) -> str | None:
        user, at, _ = (value or "").partition("://")[2].rpartition("@")
        if (at and ":" in user) or is_connection_string(value or ""):
            raise ValueError("has a password, and would be part of every picture's address; give it in another way")
        return value

    @field_validator("input_roots", mode="before")
    @classmethod
    def _input_roots_are_places(cls, value: object) -> object:
        value = parts(value)
        for place in value if isinstance(value, tuple | list) else ():
            if "://" in place and not place.startswith(("s3://", "file://")):
                raise ValueError(f"{place.partition('://')[0]}:// is not allowed; use folders and s3:// prefixes")
        return value

    @field_validator("database_url", "migration_database_url", mode="after")
    @classmethod
    def _is_a_database(cls, value: str | None) -> str | None:
        if value:
            from models.address import conninfo  # noqa: PLC0415 - producers read settings too, and load no driver

            conninfo(value)
        return value

    @field_validator("broker_url", "result_url", mode="after")
    @classmethod
    def _is_a_broker(cls, value: str | None) -> str | None:
        if value:
            address.parse(value)
        return value

    @field_validator("key_prefix")
    @classmethod
    def _key_prefix_is_plain(cls, value: str) -> str:
        if not address.PREFIX.fullmatch(value):
            raise ValueError(address.PREFIX_RULE)
        return value

    @field_validator("public_url", "public_url_check")
    @classmethod
    def _public_url_is_http(cls, value: str | None, info: ValidationInfo) -> str | None:
        name = str(info.field_name).upper()
        if not value or (name != "PUBLIC_URL" and value == OFF):
            return value or None
        if "@" in value:
            raise ValueError("contains a user name or password, and providers receive it; remove them")
        try:
            found = web_address(value)
        except AddressError:  # whose message repeats the value
            raise ValueError("must be https://HOST or http://HOST, with a PORT and a PATH at most") from None
        if "?" in found or "#" in found:
            raise ValueError("contains a query or fragment, and links add a path to it; remove it")
        return found.rstrip("/")

    @model_validator(mode="after")
    def _refuse_dangerous_combinations(self) -> Self:
        if (self.database_url is None) != (self.broker_url is None):
            missing = "DATABASE_URL" if self.database_url is None else "BROKER_URL"
            raise ValueError(
                f"RECAST_{missing} is not set, but the other URL is; set both, or neither to use the embedded stack"
            )
        longest = MAX_COUNTDOWN_SECONDS + self.slice_seconds
        if self.visibility_timeout < 2 * longest:
            raise ValueError(
                f"RECAST_VISIBILITY_TIMEOUT={self.visibility_timeout} s is too short: a pump's message may take "
                f"{longest:g} s, and one that outlives the timeout is delivered twice; allowed: {2 * longest:g} or more"
            )
        return self

    @property
    def migrating_url(self) -> str | None:
        """The database as migrations reach it."""
        return self.migration_database_url or self.database_url

    @property
    def tries(self) -> Tries:
        """How often a job is tried by itself."""
        return Tries(self.max_attempts, min(self.max_paid_attempts, self.max_attempts))

    @property
    def links_tried_at(self) -> str | None:
        """Where our links are tried before money is spent; None where they are not."""
        return None if self.public_url_check == OFF else self.public_url_check or self.public_url

    @property
    def stack_file(self) -> Path:
        """Where the embedded stack says how it is reached."""
        return self.home / STACK_FILE

    @property
    def embedded(self) -> bool:
        """Whether the embedded stack is meant."""
        return self.database_url is None

    @property
    def storage(self) -> str:
        """The storage URL in force."""
        return self.storage_url or str((self.home / "pictures").absolute())


def read(**overrides: object) -> Settings:
    """Settings from the environment, completed by a running embedded stack; `overrides` come first.

    Raises:
        SettingsError: a value is wrong; the message names the variable.
    """
    try:
        settings = Settings(**overrides)  # type: ignore[arg-type]
    except ValueError as error:
        raise SettingsError(explain(error)) from None
    if settings.embedded and settings.stack_file.is_file():
        settings = settings.model_copy(update=_joined(settings, _stack(settings.stack_file)))
    return settings


def _stack(path: Path) -> Mapping[str, Any]:
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise SettingsError(
            f"{path} cannot be read ({type(error).__name__}); if no {hint('up')} runs there, remove it"
        ) from None
    return found if isinstance(found, dict) else {}


def _joined(settings: Settings, stack: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a running embedded stack for settings that are not set."""
    given = {name for name in settings.model_fields_set if getattr(settings, name) is not None}
    if settings.accounts_file.exists():
        given.add("accounts_file")
    types: Mapping[str, Callable[[Any], Any]] = {"secret_key": SecretStr, "accounts_file": Path}
    return {
        name: types.get(name, str)(value)
        for name, value in stack.items()
        if name in Settings.model_fields and name not in given and value is not None
    }


@lru_cache(maxsize=1)
def settings() -> Settings:
    """The settings of this process."""
    return read()
