"""The embedded servers: real ones, started, joined, killed and found again."""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
import redis

from devstack import binaries, locks, postgres
from devstack.errors import ServerError
from devstack.home import Home
from devstack.servers import Servers
from tests.stack import wait_for
from tests.words import names

ROOT = Path(__file__).parents[3]
AS_ROOT = os.geteuid() == 0

# An owner in a process of its own: says what it started, then does what the test asks for.
OWNER = """
import json, os, sys, threading
from devstack import process
from devstack.servers import Servers

home, mode = sys.argv[1:]
if mode == "watchdog":
    process.USE_WATCHDOG = True
servers = Servers(home)
if mode == "thread":
    thread = threading.Thread(target=servers.start)
    thread.start()
    thread.join()
else:
    servers.start()
if mode == "fork":
    read, write = os.pipe()
    if os.fork() == 0:
        servers.stop()
        os.write(write, b".")
        sys.stdin.readline()
        os._exit(0)
    os.close(write)
    os.read(read, 1)
urls, pids = servers.urls, servers.pids
addresses = [urls.database, urls.broker, urls.results]
said = {"owned": servers.owned, "urls": addresses, "pids": [pids.postgres, pids.valkey]}
print(json.dumps(said), flush=True)
sys.stdin.readline()
if mode == "crash":
    raise SystemExit("without stop(): atexit has to do it")
servers.stop()
"""


def eventually(condition: Callable[[], bool]) -> None:
    wait_for(condition, every=0.01)


@contextlib.contextmanager
def other_process(home: Path, mode: str = "") -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """A process that has started the home, and what it said of it. Ends with the block."""
    environment = os.environ | {"PYTHONWARNINGS": "ignore"}
    command = [sys.executable, "-c", OWNER, str(home), mode]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, cwd=ROOT
    ) as child:
        assert child.stdout is not None
        try:
            yield child, json.loads(child.stdout.readline())
        finally:
            assert child.stdin is not None
            with contextlib.suppress(BrokenPipeError):
                child.stdin.close()


def connect(url: str) -> psycopg.Connection[tuple[Any, ...]]:
    return psycopg.connect(url.replace("+psycopg", ""), autocommit=True, connect_timeout=60)


def query(servers: Servers, statement: str) -> list[tuple[Any, ...]]:
    with connect(servers.urls.database) as connection:
        cursor = connection.execute(statement)
        rows: list[tuple[Any, ...]] = cursor.fetchall() if cursor.description else []
        return rows


@contextlib.contextmanager
def broker(servers: Servers) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(servers.urls.broker, socket_timeout=60) as client:
        yield client


def ports(servers: Servers) -> tuple[int | None, int | None]:
    return urlsplit(servers.urls.database).port, urlsplit(servers.urls.broker).port


def is_listening(url: str) -> bool:
    try:
        socket.create_connection(("127.0.0.1", urlsplit(url).port or 0), timeout=60).close()
    except ConnectionRefusedError:
        return False
    return True


def is_running(pid: int) -> bool:
    """Whether a process lives; one that has ended and that nobody has waited for does not."""
    answer = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return answer.stdout.strip() != "" and not answer.stdout.startswith("Z")


def nothing_is_left(said: dict[str, Any]) -> bool:
    return not any(is_running(pid) for pid in said["pids"]) and not any(is_listening(url) for url in said["urls"])


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "a home"


@pytest.fixture
def servers(home: Path) -> Iterator[Servers]:
    with Servers(home, durable=False) as servers:
        yield servers


def test_both_servers_start_and_take_connections(servers: Servers) -> None:
    assert servers.owned
    assert query(servers, "SELECT current_database(), current_user") == [("recast", "recast")]
    with broker(servers) as client:
        assert client.ping()
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
    assert urlsplit(servers.urls.results).path == "/1"


def test_only_the_tests_servers_do_without_the_disk(servers: Servers, tmp_path: Path) -> None:
    def settings(of: Servers) -> tuple[object, ...]:
        statements = ("SHOW fsync", "SHOW full_page_writes", "SHOW synchronous_commit")
        with broker(of) as client:
            appendonly = client.config_get("appendonly")["appendonly"]
        return *(query(of, statement)[0][0] for statement in statements), appendonly

    # synchronous_commit stays on: tests kill PostgreSQL and count what it had committed.
    assert settings(servers) == ("off", "off", "on", "no")
    with Servers(tmp_path / "durable") as durable:
        assert settings(durable) == ("on", "on", "on", "yes")


def test_the_password_is_needed_and_is_not_shown(servers: Servers, home: Path) -> None:
    password = (home / "password").read_text()
    assert password in servers.urls.database
    assert password in servers.urls.broker
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        connect(servers.urls.database.replace(password, "guess"))
    with (
        redis.Redis.from_url(servers.urls.broker.replace(password, "guess")) as client,
        pytest.raises(redis.AuthenticationError),
    ):
        client.ping()
    assert password not in repr(servers.urls)
    for pid in (servers.pids.postgres, servers.pids.valkey):
        seen = subprocess.run(["ps", "-o", "args=", "-p", str(pid)], capture_output=True, text=True, check=True).stdout
        assert password not in seen


def test_the_servers_listen_on_the_loopback_alone(servers: Servers) -> None:
    assert query(servers, "SHOW listen_addresses") == [("127.0.0.1",)]
    assert query(servers, "SHOW unix_socket_directories") == [("",)]
    with broker(servers) as client:
        assert client.config_get("bind") == {"bind": "127.0.0.1"}


def test_data_and_addresses_survive_a_restart(home: Path) -> None:
    with Servers(home) as servers:
        urls = servers.urls
        query(servers, "CREATE TABLE kept AS SELECT 7 AS number")
        with broker(servers) as client:
            client.set("kept", "7")
    assert not is_listening(urls.database)
    assert not is_listening(urls.broker)
    with Servers(home) as servers:
        assert servers.urls == urls
        assert query(servers, "SELECT number FROM kept") == [(7,)]
        with broker(servers) as client:
            assert client.get("kept") == b"7"


def test_a_port_that_was_taken_meanwhile_is_replaced(home: Path) -> None:
    with Servers(home, durable=False) as servers:
        before = ports(servers)
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", before[0]))
        taken.listen()
        with Servers(home, durable=False) as servers:
            assert ports(servers)[0] != before[0]
            assert ports(servers)[1] == before[1]
            assert query(servers, "SELECT 1") == [(1,)]


def test_a_second_process_joins_and_leaves_the_servers_running(servers: Servers, home: Path) -> None:
    with other_process(home) as (child, said):
        assert not said["owned"]
        assert said["urls"] == [servers.urls.database, servers.urls.broker, servers.urls.results]
        assert said["pids"] == [servers.pids.postgres, servers.pids.valkey]
        child.communicate("\n")
    assert query(servers, "SELECT 1") == [(1,)]


def test_one_who_joined_may_not_touch_the_servers(servers: Servers, home: Path) -> None:
    joined = Servers(home)
    joined.start()
    assert not joined.owned
    for act in (joined.restart_postgres, joined.restart_valkey, lambda: joined.kill_postgres(signal.SIGTERM)):
        with pytest.raises(ServerError, match=names("process")):
            act()
    joined.stop()
    assert query(servers, "SELECT 1") == [(1,)]


def test_one_who_joined_takes_over_when_the_owner_is_gone(home: Path) -> None:
    with other_process(home) as (child, said):
        joined = Servers(home)
        joined.start()
        urls = joined.urls
        child.communicate("\n")
    assert nothing_is_left(said)
    with joined:
        assert joined.owned
        assert joined.urls == urls
        assert query(joined, "SELECT 1") == [(1,)]


def test_of_two_that_start_at_once_one_owns(home: Path) -> None:
    with other_process(home) as (_, first), other_process(home) as (_, second):
        assert sorted([first["owned"], second["owned"]]) == [False, True]
        assert first["urls"] == second["urls"]


def test_two_threads_that_start_a_new_home_at_once_agree(home: Path) -> None:
    both = [Servers(home, durable=False), Servers(home, durable=False)]
    threads = [threading.Thread(target=one.start) for one in both]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    try:
        assert sorted(one.owned for one in both) == [False, True]
        assert both[0].urls == both[1].urls
        # The threads that started the servers have ended; the servers must not end with them.
        assert query(both[0], "SELECT 1") == [(1,)]
    finally:
        for one in both:
            one.stop()


@pytest.mark.parametrize("mode", ["plain", "thread", "watchdog", "fork"])
def test_an_owner_that_is_killed_leaves_no_server_and_all_data(home: Path, mode: str) -> None:
    with other_process(home, mode) as (child, said):
        assert said["owned"]
        assert all(is_running(pid) for pid in said["pids"])
        run = Home(home).read_run()
        assert run is not None
        assert run.ready
        with connect(said["urls"][0]) as connection, redis.Redis.from_url(said["urls"][1]) as client:
            connection.execute("CREATE TABLE kept AS SELECT 7 AS number")
            client.set("kept", "7")
            child.kill()
            child.wait()
            # With "fork" a child of the owner lives on: it keeps neither the servers nor the home.
            eventually(lambda: nothing_is_left(said))
        with Servers(home) as servers:
            assert servers.owned
            assert query(servers, "SELECT number FROM kept") == [(7,)]
            with broker(servers) as client:
                assert client.get("kept") == b"7"


def test_the_next_owner_waits_for_the_servers_of_one_that_was_killed(home: Path) -> None:
    """There is no moment at which a start fails because the old servers are still stopping."""
    with other_process(home) as (child, said):
        child.kill()
        child.wait()
        with Servers(home) as servers:
            assert servers.owned
            assert set(said["pids"]).isdisjoint({servers.pids.postgres, servers.pids.valkey})
            assert query(servers, "SELECT 1") == [(1,)]


def test_an_owner_that_ends_without_stop_leaves_no_server(home: Path) -> None:
    with other_process(home, "crash") as (child, said):
        child.communicate("\n")
        assert nothing_is_left(said)


def test_a_stale_pid_file_that_names_a_living_process_does_not_matter(home: Path) -> None:
    with Servers(home, durable=False):
        content = (home / "postgres" / "postmaster.pid").read_text()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as stranger:
        lines = content.splitlines()
        lines[0] = str(stranger.pid)
        (home / "postgres" / "postmaster.pid").write_text("\n".join(lines) + "\n")
        with Servers(home, durable=False) as servers:
            assert query(servers, "SELECT 1") == [(1,)]
        assert stranger.poll() is None
        stranger.communicate(b"\n")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP, signal.SIGQUIT])
def test_postgres_comes_back_where_it_was(servers: Servers, home: Path, number: int) -> None:
    query(servers, "CREATE TABLE kept AS SELECT 7 AS number")
    urls, pid = servers.urls, servers.pids.postgres
    with connect(urls.database):  # a server process that is busy with us when its parent dies
        servers.kill_postgres(number)
        servers.restart_postgres()
    assert servers.urls == urls
    assert servers.pids.postgres != pid
    # One that was only frozen is woken up and stops in good order.
    asked = "received fast shutdown request" in Home(home).log("postgres").read_text()
    assert asked == (number == signal.SIGSTOP)
    assert query(servers, "SELECT number FROM kept") == [(7,)]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_valkey_comes_back_where_it_was(home: Path, number: int) -> None:
    with Servers(home) as servers:
        urls, pid = servers.urls, servers.pids.valkey
        with broker(servers) as client:
            client.set("kept", "7")
        servers.kill_valkey(number)
        servers.restart_valkey()
        assert servers.urls == urls
        assert servers.pids.valkey != pid
        with broker(servers) as client:
            assert client.get("kept") == b"7"


def test_a_killed_server_has_no_pid(servers: Servers) -> None:
    servers.kill_valkey(signal.SIGKILL)
    eventually(lambda: servers.pids.valkey is None)
    assert servers.pids.postgres is not None


def test_a_server_that_fails_to_start_is_quoted_and_nothing_is_left(home: Path) -> None:
    with Servers(home, durable=False) as servers:
        urls = servers.urls
    (home / "postgres" / "PG_VERSION").write_text("9\n")
    with pytest.raises(ServerError, match=names("PostgreSQL", "logs/postgres.log", "FATAL")):
        Servers(home, durable=False).start()
    assert not is_listening(urls.broker)
    assert not locks.is_held(home / "owner.lock")


def test_an_interrupted_initdb_is_made_again(home: Path) -> None:
    (home / "postgres.partial" / "base").mkdir(parents=True)
    with Servers(home, durable=False) as servers:
        assert query(servers, "SELECT 1") == [(1,)]
    assert not (home / "postgres.partial").exists()
    assert not (home / "initdb.password").exists()


def test_starting_twice_and_stopping_twice_is_harmless(home: Path) -> None:
    servers = Servers(home, durable=False)
    servers.start()
    pids = servers.pids
    servers.start()
    assert servers.pids == pids
    servers.stop()
    servers.stop()
    with pytest.raises(ServerError, match=names("started")):
        servers.urls  # noqa: B018


@pytest.mark.skipif(not AS_ROOT, reason="others run PostgreSQL as themselves")
class TestAsRoot:
    """Root's PostgreSQL runs in a user namespace, or as nobody where there is none."""

    @pytest.fixture
    def open_home(self) -> Iterator[Path]:
        """A home that others can reach, unlike pytest's folders."""
        folder = Path(tempfile.mkdtemp(prefix="recast-"))
        folder.chmod(0o755)
        yield folder / "home"
        shutil.rmtree(folder)

    @pytest.fixture
    def no_namespaces(self, monkeypatch: pytest.MonkeyPatch) -> None:
        if not all(folder.stat().st_mode & stat.S_IXOTH for folder in binaries.postgres_bin().parents):
            pytest.skip("the programs lie in a folder that nobody else may enter")
        monkeypatch.setattr(postgres, "namespace_works", lambda: False)

    def test_in_a_namespace_it_works_in_a_folder_closed_to_others(self, tmp_path: Path) -> None:
        if not postgres.namespace_works():
            pytest.skip("user namespaces are forbidden here")
        tmp_path.chmod(0o700)
        with Servers(tmp_path / "home", durable=False) as servers:
            assert query(servers, "SELECT 1") == [(1,)]
        assert (tmp_path / "home" / "postgres").stat().st_uid == 0

    @pytest.mark.usefixtures("no_namespaces")
    def test_without_namespaces_it_runs_as_nobody(self, open_home: Path) -> None:
        with Servers(open_home, durable=False) as servers:
            user = subprocess.run(
                ["ps", "-o", "uid=", "-p", str(servers.pids.postgres)], capture_output=True, text=True, check=True
            )
            assert int(user.stdout) == pwd.getpwnam("nobody").pw_uid
            assert query(servers, "SELECT 1") == [(1,)]
        assert stat.S_IMODE((open_home / "password").stat().st_mode) == 0o600

    def test_data_moves_between_the_two(self, open_home: Path, request: pytest.FixtureRequest) -> None:
        with Servers(open_home, durable=False) as servers:
            query(servers, "CREATE TABLE kept AS SELECT 7 AS number")
        with request.getfixturevalue("monkeypatch").context() as patch:
            patch.setattr(postgres, "namespace_works", lambda: False)
            with Servers(open_home, durable=False) as servers:
                assert query(servers, "SELECT number FROM kept") == [(7,)]
        with Servers(open_home, durable=False) as servers:
            assert query(servers, "SELECT number FROM kept") == [(7,)]

    @pytest.mark.usefixtures("no_namespaces")
    def test_a_folder_nobody_cannot_enter_is_named(self, open_home: Path) -> None:
        open_home.parent.chmod(0o700)
        with pytest.raises(ServerError, match=f"cannot enter {open_home.parent}"):
            Servers(open_home, durable=False).start()
