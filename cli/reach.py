"""What a command's jobs can use, before anything is started: the accounts, and the ways to their pictures."""

from __future__ import annotations

from collections.abc import Mapping

from cli.sandbox_accounts import sandbox_tables
from devstack.ports import LOOPBACK
from workers.config.accounts import Account, load, parse
from workers.config.settings import Settings
from workers.images.roots import Roots
from workers.images.storage import Storage
from workers.jobs.routing import Reach


def accounts_of(settings: Settings, *, sandbox: bool) -> Mapping[str, Account]:
    """The accounts that a command's jobs can go to, before anything is started.

    Raises:
        AccountsError: the accounts file is missing or wrong.
    """
    if not sandbox:
        return load(settings.accounts_file)
    # The operations of an account do not depend on the sandbox's address.
    return {name: parse(name, table) for name, table in sandbox_tables(f"http://{LOOPBACK}").items()}


def reach_of(settings: Settings, *, sandbox: bool) -> Reach:
    """How providers can fetch local pictures; the sandbox fetches them from `web` on this machine."""
    roots = Roots.of(settings)
    return Reach(sandbox or bool(settings.public_url), Storage(settings.storage).can_sign, roots)
