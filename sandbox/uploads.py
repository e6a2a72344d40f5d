"""Pictures that clients have uploaded, by the name that the provider gave them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from sandbox.store import Store

SCHEMA = """
CREATE TABLE IF NOT EXISTS uploads (
    account TEXT NOT NULL,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    picture TEXT NOT NULL,
    notes TEXT NOT NULL,
    PRIMARY KEY (account, kind, name)
) STRICT;
"""


@dataclass(frozen=True, slots=True)
class Upload:
    """One upload: `picture` is an address as `Studio.fetch` knows it, `notes` are the provider's own."""

    account: str
    kind: str
    name: str
    picture: str
    notes: dict[str, Any]


class Uploads:
    """The table of uploads; one under a name that its account and kind have already takes the old one's place."""

    def __init__(self, store: Store) -> None:
        self._store = store
        store.create(SCHEMA)

    async def add(self, upload: Upload) -> None:
        """Keep an upload; returns once it is committed."""
        self._store.write(
            "INSERT OR REPLACE INTO uploads VALUES (?, ?, ?, ?, ?)",
            (upload.account, upload.kind, upload.name, upload.picture, json.dumps(upload.notes)),
        )
        await self._store.committed()

    def find(self, account: str, kind: str, name: str) -> Upload | None:
        """Return an account's upload."""
        row = self._store.read(
            "SELECT picture, notes FROM uploads WHERE account = ? AND kind = ? AND name = ?", (account, kind, name)
        ).fetchone()
        return Upload(account, kind, name, row[0], json.loads(row[1])) if row else None
