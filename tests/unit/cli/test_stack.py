from __future__ import annotations

from pathlib import Path

from cli.sandbox_accounts import write_sandbox_accounts
from providers import PROVIDERS
from workers.config.accounts import load


def test_the_sandboxes_accounts_can_be_loaded(tmp_path: Path) -> None:
    write_sandbox_accounts(tmp_path / "accounts.toml", "http://127.0.0.1:7")
    found = load(tmp_path / "accounts.toml")
    assert {account.provider for account in found.values()} == set(PROVIDERS)
    assert all(account.base_url.startswith("http://127.0.0.1:7/") for account in found.values())
    # The demonstration shows costs, so nothing may be free of charge by mistake.
    assert all(account.prices for account in found.values())
