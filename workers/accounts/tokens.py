"""Providers' tokens in the account's row: encrypted, shared by every worker, renewed by one of them at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from cryptography.fernet import InvalidToken
from pydantic import SecretStr
from sqlalchemy import Connection, text
from sqlalchemy.orm import Session

from models.connection import OWN_LIMITS, let_go_of_snapshot
from models.transactions import Database
from providers.sessions import Renewal
from workers.http.encryption import box

_READ = text("SELECT session, session_refresh_at FROM accounts WHERE name = :name")
_NOTE_RENEWAL = text("UPDATE accounts SET session_refresh_at = clock_timestamp() WHERE name = :name")
_SAVE = text("UPDATE accounts SET session = :session, session_refresh_at = NULL WHERE name = :name")
_TRY_LOCK = text("SELECT pg_try_advisory_xact_lock(hashtextextended('session:' || :name, 0))")

#: The transaction that holds the right waits for the provider, longer than others may idle. A machine that is gone
#: still loses it soon, where no pooler stands between: the server asks whether the other end is there.
_HOLD = {
    "idle_in_transaction_session_timeout": "0",
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "2",
}
RETRY_SECONDS = 0.1  # between two tries to get the right to renew; a renewal is one or two calls


class StoredSessions:
    """One account's session; see `providers.sessions.Sessions`.

    The right to renew is an advisory lock of a transaction that stays open meanwhile: it ends with the worker that
    holds it, whatever ends that, also behind a pooler that gives sessions to one transaction after the other.
    """

    def __init__(self, database: Database, account: str, secret_key: SecretStr) -> None:
        self._database = database
        self._account = account
        # Of a process's many calls one at a time tries; each that tries holds a database connection.
        self._turn = asyncio.Lock()
        self._box = box(secret_key, "sessions")

    async def load(self) -> bytes | None:
        """The session that was saved last, or None; one that another key encrypted counts as none."""
        stored, _ = await self._database.adb(self._read)
        return stored

    @asynccontextmanager
    async def renewal(self) -> AsyncIterator[Renewal]:
        """Wait until no other worker renews the session, and keep others waiting until the block is left."""
        async with self._turn:
            connection = await self._database.in_thread(self._database.engine.connect)
            try:
                connection = connection.execution_options(**{OWN_LIMITS: _HOLD})
                while not await self._database.in_thread(self._try_lock, connection):  # noqa: ASYNC110 - of another process
                    await asyncio.sleep(RETRY_SECONDS)
                session, interrupted = await self._database.adb(self._read)
                yield _StoredRenewal(self, session, interrupted=interrupted)
            finally:
                # Not given back to the pool, which would wait for the server on the loop.
                connection.invalidate()
                connection.close()

    async def commit(self, saved: bytes | None) -> None:
        """Note that a renewal begins (`saved` None), or keep what it brought."""
        await self._database.adb(self._write, saved)

    def _write(self, session: Session, saved: bytes | None) -> None:
        if saved is None:
            session.execute(_NOTE_RENEWAL, {"name": self._account})
        else:
            session.execute(_SAVE, {"name": self._account, "session": self._box.encrypt(saved)})

    def _read(self, session: Session) -> tuple[bytes | None, bool]:
        row = session.execute(_READ, {"name": self._account}).one()
        try:
            stored = self._box.decrypt(bytes(row.session)) if row.session is not None else None
        except InvalidToken:
            stored = None
        return stored, row.session_refresh_at is not None

    def _try_lock(self, connection: Connection) -> bool:
        granted: bool = connection.execute(_TRY_LOCK, {"name": self._account}).scalar_one()
        (let_go_of_snapshot if granted else Connection.rollback)(connection)
        return granted


class _StoredRenewal:
    def __init__(self, sessions: StoredSessions, session: bytes | None, *, interrupted: bool) -> None:
        self._sessions = sessions
        self.session = session
        self.interrupted = interrupted

    async def begin(self) -> None:
        await self._sessions.commit(None)

    async def save(self, session: bytes) -> None:
        await self._sessions.commit(session)
        self.session, self.interrupted = session, False
