"""Debian's servers as subprocesses of a test, on free ports of this machine, with their files in the test's folder."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from redis import Redis
from redis.exceptions import RedisError

from tests.stack import wait_for

LOOPBACK = "127.0.0.1"
UNPRIVILEGED = "nobody"  # PgBouncer does not run as root


def program(name: str) -> str:
    """The path of a program; the test is skipped without it."""
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if found is None:
        pytest.skip(f"{name} is not installed (Debian: apt-get install redis-server pgbouncer nginx)")
    return found


def free_port() -> int:
    """A port that nobody listened at a moment ago."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def running_program(
    command: Sequence[str], log: Path, *, unprivileged: bool = False
) -> Iterator[subprocess.Popen[bytes]]:
    """A program that runs until the block is left."""
    user = UNPRIVILEGED if unprivileged and os.geteuid() == 0 else None
    with log.open("ab") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file, user=user, cwd=log.parent)
    try:
        yield process
    finally:
        process.terminate()  # nginx's other processes end with it; so do those of a killed one not
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(30)


@contextmanager
def redis_server(folder: Path, *lines: str, port: int = 0, sentinel: bool = False) -> Iterator[subprocess.Popen[bytes]]:
    """A `redis-server` with these lines of configuration."""
    server = program("redis-server")
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "redis.conf"
    config.write_text("\n".join([f"bind {LOOPBACK}", f"port {port}", f"dir {folder}", *lines, ""]))
    command = [server, str(config), *(["--sentinel"] if sentinel else [])]
    with running_program(command, folder / "redis.log") as process:
        yield process


def answers(client: Redis) -> bool:
    """Whether a server answers a client."""
    try:
        return bool(client.ping())
    except (RedisError, OSError):
        return False


def wait_until_answering(client: Redis) -> None:
    """Wait for a server, and close the client."""
    with client:
        wait_for(lambda: answers(client), message="the server answers")


@contextmanager
def pgbouncer(mode: str, user: str, password: str, port: int, database: str) -> Iterator[str]:
    """A PgBouncer before the server at `port`; yields the address of `database` through it."""
    server = program("pgbouncer")
    listen = free_port()
    # Not in the test's folder, which only its owner may enter.
    folder = Path(tempfile.mkdtemp(prefix="recast-pgbouncer-"))
    (folder / "users.txt").write_text(f'"{user}" "{password}"\n')
    (folder / "pgbouncer.ini").write_text(
        f"[databases]\n* = host={LOOPBACK} port={port}\n"
        f"[pgbouncer]\nlisten_addr = {LOOPBACK}\nlisten_port = {listen}\nunix_socket_dir =\n"
        f"pool_mode = {mode}\nauth_type = scram-sha-256\nauth_file = {folder / 'users.txt'}\n"
        "default_pool_size = 12\nmax_client_conn = 500\n"
    )
    for path in (folder, *folder.iterdir()):
        path.chmod(0o755 if path.is_dir() else 0o644)
    try:
        command = [server, str(folder / "pgbouncer.ini")]
        with running_program(command, folder / "log.txt", unprivileged=True) as process:
            wait_for(lambda: _listens(listen) or process.poll() is not None, message="PgBouncer listens")
            assert process.poll() is None, (folder / "log.txt").read_text()
            yield f"postgresql://{user}:{password}@{LOOPBACK}:{listen}/{database}"
    finally:
        shutil.rmtree(folder)


@contextmanager
def nginx(folder: Path, path: str, port: int, *, keeps: bool) -> Iterator[str]:
    """An nginx that serves what listens at `port` below `path`, which it keeps or removes; yields the address."""
    server = program("nginx")
    folder.mkdir(parents=True, exist_ok=True)
    listen = free_port()
    temporary = " ".join(
        f"{kind}_temp_path {folder / kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"daemon off; pid {folder / 'pid'}; error_log {folder / 'errors.log'}; events {{}}\n"
        f"http {{ access_log {folder / 'requests.log'}; {temporary}\n"
        f"server {{ listen {LOOPBACK}:{listen}; client_max_body_size 20m;\n"
        f"location {path}/ {{ proxy_pass http://{LOOPBACK}:{port}{'' if keeps else '/'};"
        f" proxy_set_header X-Forwarded-Prefix {path}; }} }} }}\n"
    )
    with running_program([server, "-p", str(folder), "-c", str(folder / "nginx.conf")], folder / "log.txt") as process:
        wait_for(lambda: _listens(listen) or process.poll() is not None, message="nginx listens")
        assert process.poll() is None, (folder / "log.txt").read_text()
        yield f"http://{LOOPBACK}:{listen}{path}"


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((LOOPBACK, port)) == 0


def certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for this machine that signs itself, and its key."""
    folder.mkdir(parents=True, exist_ok=True)
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    paths = folder / "cert.pem", folder / "key.pem"
    paths[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return paths
