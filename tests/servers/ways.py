"""The ways to the database and the broker that people have: each changes the settings of a deployment."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from redis import Redis
from sqlalchemy import make_url

from tests.servers.programs import LOOPBACK, certificate, free_port, pgbouncer, redis_server, wait_until_answering
from tests.stack import ROOT, wait_for

Settings = Mapping[str, str]
Way = Callable[[Path, str], AbstractContextManager[Settings]]
PASSWORD = "pass-word"
MASTER = "jobs"


def brokers(url: str, **more: str) -> Settings:
    """Settings for a broker with its result store in the same place."""
    return {"RECAST_BROKER_URL": url, "RECAST_RESULT_URL": url, **more}


@contextmanager
def plain(folder: Path, _: str) -> Iterator[Settings]:
    """A Redis with a password."""
    port = free_port()
    with redis_server(folder, f"requirepass {PASSWORD}", port=port):
        wait_until_answering(Redis(LOOPBACK, port, password=PASSWORD))
        yield brokers(f"redis://:{PASSWORD}@{LOOPBACK}:{port}/0")


@contextmanager
def tls(folder: Path, _: str) -> Iterator[Settings]:
    """A Redis that only speaks TLS, with a certificate of its own authority."""
    cert, key = certificate(folder)
    port = free_port()
    lines = [f"tls-port {port}", f"tls-cert-file {cert}", f"tls-key-file {key}", f"tls-ca-cert-file {cert}",
             "tls-auth-clients no"]  # fmt: skip
    with redis_server(folder, *lines):
        wait_until_answering(Redis("localhost", port, ssl=True, ssl_ca_certs=str(cert)))
        yield brokers(f"valkeys://localhost:{port}/0?ssl_ca_certs={cert}")


def documented_user() -> str:
    """The rules of a user, as a configuration has them."""
    found = re.search(r"^ACL SETUSER (.+)$", (ROOT / "docs" / "operations.md").read_text(), re.MULTILINE)
    assert found is not None
    return f"user {found[1]}"


@contextmanager
def acl_user(folder: Path, _: str) -> Iterator[Settings]:
    """The user that the documentation gives: nothing about the server, and only keys with a prefix."""
    port = free_port()
    user = documented_user().replace("PASSWORD", PASSWORD)
    with redis_server(folder, "user default off", user, port=port):
        wait_until_answering(Redis(LOOPBACK, port, username="app", password=PASSWORD))
        yield brokers(f"redis://app:{PASSWORD}@{LOOPBACK}:{port}/0", RECAST_KEY_PREFIX="shop:")


@contextmanager
def socket_file(folder: Path, _: str) -> Iterator[Settings]:
    """A Redis behind a socket of this machine."""
    path = folder / "r.sock"
    with redis_server(folder, f"unixsocket {path}"):
        wait_for(path.exists, message="Redis listens")  # tests themselves may only use TCP
        yield brokers(f"unix://{path}?db=1")


@dataclass(frozen=True)
class Watched:
    """The servers behind Sentinel: the master's process, and the port of one of the Sentinels."""

    master: int
    sentinel: int


@contextmanager
def sentinel(folder: Path, _: str, *, watched_by: list[Watched] | None = None) -> Iterator[Settings]:
    """Two Redis servers, of which one follows the other, and three Sentinels."""
    first, second = free_port(), free_port()
    watched = [
        f"sentinel monitor {MASTER} {LOOPBACK} {first} 2",
        f"sentinel down-after-milliseconds {MASTER} 1000",
        f"sentinel failover-timeout {MASTER} 3000",
    ]
    with ExitStack() as all_:
        master = all_.enter_context(redis_server(folder / "first", port=first))
        wait_until_answering(Redis(LOOPBACK, first))
        all_.enter_context(redis_server(folder / "second", f"replicaof {LOOPBACK} {first}", port=second))
        wait_until_answering(Redis(LOOPBACK, second))
        _wait_until_following(second)
        ports = [free_port() for _ in range(3)]
        for port in ports:
            all_.enter_context(redis_server(folder / str(port), *watched, port=port, sentinel=True))
            wait_until_answering(Redis(LOOPBACK, port))
        if watched_by is not None:
            watched_by.append(Watched(master.pid, ports[0]))
        places = ";".join(f"{LOOPBACK}:{port}" for port in ports)
        yield brokers(f"sentinel://{places}/0?master_name={MASTER}")


def _wait_until_following(port: int) -> None:
    """Wait until a replica has what its master has: before, it cannot take over."""
    with Redis(LOOPBACK, port) as client:
        wait_for(lambda: client.info("replication").get("master_link_status") == "up", message="the replica follows")


def pooled(mode: str) -> Way:
    """PgBouncer before the database, in `mode`."""

    @contextmanager
    def way(_: Path, database: str) -> Iterator[Settings]:
        url = make_url(database)
        with pgbouncer(mode, str(url.username), str(url.password), int(url.port or 0), str(url.database)) as through:
            yield {"RECAST_DATABASE_URL": through}

    return way


WAYS: Mapping[str, Way] = {
    "plain": plain, "tls": tls, "transaction": pooled("transaction"), "session": pooled("session"),
    "acl": acl_user, "socket": socket_file, "sentinel": sentinel,
}  # fmt: skip
