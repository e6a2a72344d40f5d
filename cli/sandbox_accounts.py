"""The accounts file of a sandbox, which points at it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from providers import PROVIDERS
from sandbox import sandbox_accounts
from workers import private


def sandbox_tables(url: str) -> dict[str, dict[str, Any]]:
    """The accounts of a sandbox at `url`, for the providers that have adapters."""
    return {name: table for name, table in sandbox_accounts(url).items() if table["provider"] in PROVIDERS}


def write_sandbox_accounts(path: Path, url: str) -> None:
    """Write an accounts file that points at the sandbox at `url`."""
    lines = ["# `recast --sandbox` writes this file at every start; these accounts cost nothing."]
    for name, table in sandbox_tables(url).items():
        lines += ["", f"[accounts.{name}]", *(f"{field} = {_toml(value)}" for field, value in table.items())]
    private.write(path, "\n".join(lines) + "\n")


def _toml(value: Any) -> str:
    """A TOML value: the same as JSON, except for tables."""
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_toml(name)} = {_toml(item)}" for name, item in value.items()) + " }"
    return json.dumps(value)
