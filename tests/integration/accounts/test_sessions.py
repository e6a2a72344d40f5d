"""Stored sessions: encrypted at rest, shared by every worker, renewed by one of them at a time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests.words import names
from workers.accounts.tokens import StoredSessions
from workers.config.settings import SettingsError
from workers.engine import leases
from workers.engine.runtime import Runtime

if TYPE_CHECKING:
    from tests.integration.database import Database, RuntimeFactory

pytest_plugins = ["tests.integration.database"]

TOKEN = b'{"access_token": "s3cr3t-access", "refresh_token": "s3cr3t-refresh"}'


def sessions(runtime: Runtime, account: str = "main") -> StoredSessions:
    assert runtime.settings.secret_key is not None
    return StoredSessions(runtime, account, runtime.settings.secret_key)


async def renew(stored: StoredSessions, session: bytes) -> None:
    """A renewal as an adapter makes it."""
    async with stored.renewal() as renewal:
        await renewal.begin()
        await renewal.save(session)


def test_a_session_is_shared_and_its_bytes_are_not_to_be_read(database: Database, make_runtime: RuntimeFactory) -> None:
    one, two = make_runtime(), make_runtime()
    assert one.on_loop(sessions(one).load()) is None
    one.on_loop(renew(sessions(one), TOKEN))

    assert two.on_loop(sessions(two).load()) == TOKEN
    kept = bytes(database.one("SELECT session FROM accounts"))
    assert b"s3cr3t" not in kept
    assert len(kept) > len(TOKEN)


def test_a_session_that_another_key_encrypted_counts_as_none(database: Database, make_runtime: RuntimeFactory) -> None:
    one, other = make_runtime(), make_runtime({"secret_key": "another-key-of-the-tests"})
    one.on_loop(renew(sessions(one), TOKEN))

    assert other.on_loop(sessions(other).load()) is None
    other.on_loop(renew(sessions(other), b"new"))
    assert other.on_loop(sessions(other).load()) == b"new"
    database.sql("UPDATE accounts SET session = '\\x00ff'")
    assert other.on_loop(sessions(other).load()) is None


def test_accounts_do_not_share_sessions(make_runtime: RuntimeFactory) -> None:
    runtime = make_runtime(main={}, other={})
    runtime.on_loop(renew(sessions(runtime), TOKEN))

    assert runtime.on_loop(sessions(runtime, "other").load()) is None


def test_one_worker_renews_while_the_others_wait(make_runtime: RuntimeFactory) -> None:
    runtimes = [make_runtime(), make_runtime()]
    inside = most = 0

    async def count_up(runtime: Runtime) -> None:
        nonlocal inside, most
        async with sessions(runtime).renewal() as renewal:
            inside += 1
            most = max(most, inside)
            await runtime.adb(leases.now)
            await renewal.save(str(int(renewal.session or b"0") + 1).encode())
            inside -= 1

    async def several(runtime: Runtime) -> None:
        await asyncio.gather(*(count_up(runtime) for _ in range(3)))

    pending = [asyncio.run_coroutine_threadsafe(several(item), item._running_loop()) for item in runtimes]
    for future in pending:
        future.result(30)

    assert most == 1
    assert runtimes[0].on_loop(sessions(runtimes[0]).load()) == b"6", "each found what the one before it had saved"


def test_a_renewal_that_was_cut_off_is_seen_by_the_next(make_runtime: RuntimeFactory) -> None:
    dying, next_ = make_runtime(), make_runtime()

    async def cut_off() -> None:
        async with sessions(dying).renewal() as renewal:
            assert not renewal.interrupted
            await renewal.begin()
            raise ConnectionError("killed between spending the token and saving its successor")

    async def look() -> tuple[bool, bytes | None]:
        async with sessions(next_).renewal() as renewal:
            found = renewal.interrupted, renewal.session
            await renewal.save(b"fresh")
            assert not renewal.interrupted
            return found

    dying.on_loop(renew(sessions(dying), TOKEN))
    with pytest.raises(ConnectionError):
        dying.on_loop(cut_off())

    assert next_.on_loop(look()) == (True, TOKEN)
    assert next_.on_loop(look()) == (False, b"fresh")


def test_the_right_to_renew_ends_with_the_connection_of_its_holder(
    database: Database, make_runtime: RuntimeFactory
) -> None:
    dead, alive = make_runtime(), make_runtime()

    async def hold() -> None:
        async with sessions(dead).renewal():
            database.sql(
                "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'"
                " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
            )
            # The holder lives on, but its connection does not: another worker may go ahead.
            await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(renew(sessions(alive), TOKEN), loop))

    loop = alive._running_loop()
    dead.on_loop(asyncio.wait_for(hold(), 30))
    assert alive.on_loop(sessions(alive).load()) == TOKEN


def test_no_connection_is_left_behind(database: Database, make_runtime: RuntimeFactory) -> None:
    runtime = make_runtime()
    for _ in range(30):  # more than the pool has
        runtime.on_loop(renew(sessions(runtime), TOKEN))

    assert database.one("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == 0


def test_without_a_secret_key_there_are_no_sessions(make_runtime: RuntimeFactory) -> None:
    runtime = make_runtime({"secret_key": None})

    async def adapter() -> object:
        return runtime.provider(runtime.account("main"))

    with pytest.raises(SettingsError, match=names("RECAST_SECRET_KEY")):
        runtime.on_loop(adapter())
