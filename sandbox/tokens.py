"""PiktID's token pairs: an access token for requests, and a refresh token for one use.

From PiktID's pages "Authentication" and "Tokens refresh": both live 30 days by default; a refresh token that is used a
second time is taken for an attack, and every token of that user is revoked at once.
"""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass

from sandbox.store import Store

LIFE_SECONDS = 30 * 86_400.0

SCHEMA = """
CREATE TABLE IF NOT EXISTS tokens (
    access TEXT PRIMARY KEY,
    refresh TEXT NOT NULL UNIQUE,
    account TEXT NOT NULL,
    access_until REAL NOT NULL,
    refresh_until REAL NOT NULL,
    used INTEGER NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS tokens_account ON tokens (account);
"""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two tokens and until when they are good (epoch seconds)."""

    access: str
    refresh: str
    access_until: float
    refresh_until: float


class Tokens:
    """All pairs ever given and not revoked; `life` is that of an access token in seconds."""

    def __init__(self, store: Store, life: float | None) -> None:
        self._store = store
        self._life = LIFE_SECONDS if life is None else life
        store.create(SCHEMA)

    def account(self, access: str) -> str | None:
        """Return whose access token this is, or None if it is none, has expired or was revoked."""
        row = self._store.read("SELECT account, access_until FROM tokens WHERE access = ?", (access,)).fetchone()
        return row[0] if row and time.time() < row[1] else None

    async def issue(self, account: str) -> Pair:
        """Give an account a new pair, beside those it has."""
        now = time.time()
        pair = Pair(secrets.token_urlsafe(32), secrets.token_urlsafe(32), now + self._life, now + LIFE_SECONDS)
        self._store.write(
            "INSERT INTO tokens VALUES (?, ?, ?, ?, ?, 0)",
            (pair.access, pair.refresh, account, pair.access_until, pair.refresh_until),
        )
        await self._store.committed()
        return pair

    async def refresh(self, access: str, refresh: str) -> Pair | None:
        """Give a new pair for one whose refresh token was not used before; revoke all of its account if it was."""
        row = self._store.read(
            "SELECT account, refresh_until, used FROM tokens WHERE access = ? AND refresh = ?", (access, refresh)
        ).fetchone()
        if row is None or time.time() >= row[1]:
            return None
        account, _, used = row
        if used:
            self._store.write("DELETE FROM tokens WHERE account = ?", (account,))
            await self._store.committed()
            return None
        self._store.write("UPDATE tokens SET used = 1 WHERE refresh = ?", (refresh,))
        return await self.issue(account)
