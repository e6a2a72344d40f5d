"""Recast: its own app and nothing else, with the stub among its providers."""

from __future__ import annotations

from benchmarks import provider

provider.register()

from tasks.main import app  # noqa: E402 - imports the registry that was just added to

__all__ = ["app"]
