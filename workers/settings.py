"""Typed settings, read once from the environment (prefix ``RECAST_``) and checked at start.

`DATABASE_URL` and `BROKER_URL` unset mean the embedded stack: whoever starts it writes where it listens to
``HOME/stack.json``, and every other process of this machine joins it from there.
"""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

STACK_FILE = "stack.json"

#: The longest a pump's message may wait in the broker; a message unacknowledged for longer than the visibility
#: timeout is delivered twice.
MAX_COUNTDOWN_SECONDS = 30


class SettingsError(Exception):
    """A setting is missing or dangerous; the message names it and says what to do."""


class Settings(BaseSettings):
    """Everything a process of Recast is told from outside, except the accounts."""

    model_config = SettingsConfigDict(env_prefix="RECAST_", env_file=".env", extra="ignore", frozen=True)

    database_url: str | None = None
    broker_url: str | None = None
    #: Where results of tasks wait for `.get()`; the broker unless told otherwise.
    result_url: str | None = None
    #: Where pictures go: a folder or any fsspec URL. `HOME/pictures` unless told otherwise.
    storage_url: str | None = None
    accounts_file: Path = Path("accounts.toml")
    home: Path = Path(".recast")
    #: Signs media links and encrypts provider sessions.
    secret_key: SecretStr | None = None
    #: Where providers reach our `web` process.
    public_url: str | None = None

    #: Concurrent task slots of one worker process.
    slots: int = Field(default=16, ge=4, le=256)
    #: Pumps that download results side by side, over all workers.
    store_pumps: int = Field(default=2, ge=1, le=64)
    #: Seconds a pump claims work before it hands its slot back.
    slice_seconds: float = Field(default=10.0, gt=0, le=60)
    #: Concurrent connections to one account's provider, from one worker process.
    connections: int = Field(default=128, ge=2, le=1000)
    visibility_timeout: int = Field(default=120, ge=10)
    #: Seconds between two sweeps.
    sweep_every: float = Field(default=5.0, gt=0)
    #: New attempts a job gets after failures that may pass.
    max_attempts: int = Field(default=3, ge=1, le=20)
    #: Largest result file in bytes.
    max_result_bytes: int = Field(default=64 * 1024 * 1024, ge=1024)
    media_seconds: int = Field(default=6 * 3600, ge=60)
    currency: str = Field(default="USD", pattern=r"^[A-Z]{3}$")
    flower_auth: SecretStr | None = None
    web_host: str = "127.0.0.1"
    web_port: int = Field(default=8765, ge=1, le=65535)
    flower_address: str = "127.0.0.1"
    flower_port: int = Field(default=5555, ge=1, le=65535)

    @field_validator("public_url")
    @classmethod
    def _public_url_is_http(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(("http://", "https://")):
            raise ValueError(f"PUBLIC_URL must begin with http:// or https://, not {value!r}")
        return value.rstrip("/") if value else None

    @model_validator(mode="after")
    def _refuse_dangerous_combinations(self) -> Self:
        if (self.database_url is None) != (self.broker_url is None):
            missing = "DATABASE_URL" if self.database_url is None else "BROKER_URL"
            raise ValueError(
                f"RECAST_{missing} is not set although its partner is: set both, or neither for the embedded stack"
            )
        longest = MAX_COUNTDOWN_SECONDS + self.slice_seconds
        if self.visibility_timeout < 2 * longest:
            raise ValueError(
                f"RECAST_VISIBILITY_TIMEOUT={self.visibility_timeout} s is too short: a pump's message may take "
                f"{longest:g} s, and one that outlives the timeout is delivered twice; allowed: {2 * longest:g} or more"
            )
        return self

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
        raise SettingsError(_explain(error)) from None
    if settings.embedded and settings.stack_file.is_file():
        stack = json.loads(settings.stack_file.read_text())
        known = {name: value for name, value in stack.items() if getattr(settings, name, value) is None}
        settings = settings.model_copy(
            update={name: SecretStr(value) if name == "secret_key" else value for name, value in known.items()}
        )
    return settings


@lru_cache(maxsize=1)
def settings() -> Settings:
    """The settings of this process."""
    return read()


def _explain(error: ValueError) -> str:
    errors = getattr(error, "errors", None)
    if errors is None:
        return str(error)
    lines = []
    for item in errors(include_url=False, include_context=False):
        name = ".".join(str(part) for part in item["loc"])
        where = f"RECAST_{name.upper()}: " if name else ""
        lines.append(where + item["msg"].removeprefix("Value error, "))
    return "; ".join(lines)
