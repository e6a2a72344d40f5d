"""The database's address: what it says is kept, foreign parameters are refused by name, no password is shown."""

from __future__ import annotations

import pytest

from models.address import CHOICES, NUMBERS, conninfo, place
from models.connection import DEFAULTS, _Connection, make_engine
from tests.words import names

PASSWORD = "hunter2"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql://u:p@h/db", {"user": "u", "password": "p", "host": "h", "dbname": "db"}),
        ("postgres://h", {"host": "h"}),
        ("postgresql+psycopg://h:6432/db", {"host": "h", "port": "6432", "dbname": "db"}),
        ("postgresql://u:p%40ss%2Fw@h/db", {"user": "u", "password": "p@ss/w", "host": "h", "dbname": "db"}),
        (
            "postgresql://u@a:5432,b:5433/db?target_session_attrs=read-write",
            {"user": "u", "host": "a,b", "port": "5432,5433", "dbname": "db", "target_session_attrs": "read-write"},
        ),
        ("postgresql://h/db?options=-csearch_path%3Dx", {"host": "h", "dbname": "db", "options": "-csearch_path=x"}),
        (
            "postgresql://h/db?sslmode=verify-full&sslrootcert=/ca.pem&channel_binding=require",
            {"host": "h", "dbname": "db", "sslmode": "verify-full", "sslrootcert": "/ca.pem",
             "channel_binding": "require"},
        ),
        ("postgresql://h/db?ssl=true", {"host": "h", "dbname": "db", "sslmode": "require"}),
        ("postgresql:///db?host=/run/postgresql", {"host": "/run/postgresql", "dbname": "db"}),
        (
            "postgresql://a,b,c:5433/db?target_session_attrs=primary&load_balance_hosts=random&connect_timeout=3",
            {"host": "a,b,c", "port": ",,5433", "dbname": "db", "target_session_attrs": "primary",
             "load_balance_hosts": "random", "connect_timeout": "3"},
        ),
        (
            "postgresql://h?client_encoding=utf-8&ssl_min_protocol_version=tlsv1.2&keepalives=0",
            {"host": "h", "client_encoding": "utf-8", "ssl_min_protocol_version": "tlsv1.2", "keepalives": "0"},
        ),
        ("postgresql://[::1]:5432/db", {"host": "::1", "port": "5432", "dbname": "db"}),
    ],
)  # fmt: skip
def test_what_an_address_says_is_kept(url: str, expected: dict[str, str]) -> None:
    assert conninfo(url) == expected


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("mysql://u:hunter2@h/db", names("postgresql://")),
        ("postgresql:u:hunter2@h", names("postgresql://")),
        ("postgresql://u:hunter2@w@h/db", names("@", "%40")),
        ("postgresql://u:hunter2/w@h/db", names("/", "%2F")),
        ("postgresql://u:hunter2%w@h/db", names("%25")),
        ("postgresql://u:hunter2@h:port/db", names("port")),
        ("postgresql://u:hunter2@[::1/db", names("URL")),
        ("postgresql://u:hunter2@h/db?pgbouncer=true", names("pgbouncer", "sslmode")),
        ("postgresql://u:hunter2@h/db?schema=x&connection_limit=5", names("schema", "connection_limit")),
        ("postgresql://u:hunter2@h/db?prepare_threshold=5", names("prepare_threshold")),
        ("postgresql://u:hunter2@h/db?replication=database", names("replication")),
        ("postgresql://u@h/db?hunter2!", names("VALUE")),
        *((f"postgresql://u:hunter2@h/db?{name}=hunter2", names(name, *allowed)) for name, allowed in CHOICES.items()),
        *((f"postgresql://u:hunter2@h/db?{name}=hunter2", names(name, "number")) for name in sorted(NUMBERS)),
        ("postgresql://u:hunter2@h/db?sslmode=", names("sslmode", "require")),
        ("postgresql://u:hunter2@h/db?sslmode=Require", names("sslmode", "require")),
        ("postgresql://u:hunter2@h/db?target_session_attrs=standby", names("target_session_attrs", "read-write")),
        ("postgresql://u:hunter2@h/db?client_encoding=latin1", names("client_encoding", "UTF8")),
        ("postgresql://u:hunter2@h/db?connect_timeout=2.5", names("connect_timeout")),
        ("postgresql://u:hunter2@h/db?tcp_user_timeout=-1", names("tcp_user_timeout")),
        ("postgresql://u:hunter2@a,b/db?port=1,2,3", names("ports", "hosts")),
        ("postgresql://u:hunter2@h/db?host=a:1&host=b:2", names("host", "host1:5432,host2:5432")),
    ],
)
def test_what_cannot_be_used_is_told_without_a_password(url: str, told: str) -> None:
    with pytest.raises(ValueError, match=told) as caught:
        conninfo(url)
    assert PASSWORD not in str(caught.value)
    with pytest.raises(ValueError, match=names("DATABASE_URL")):
        make_engine(url)


def test_a_place_has_every_host_and_no_password() -> None:
    assert place(conninfo("postgresql://u:hunter2@a:1,b:2/db")) == "a:1, b:2"
    assert place(conninfo("postgresql://u:hunter2@a,b/db")).count("default") == 2
    assert place(conninfo("postgresql://")) == ""


def test_the_address_goes_before_what_is_usual(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, object] = {}

    class StoppedError(Exception):
        """Before a real connection is made."""

    def connect(**options: object) -> None:
        seen.update(options)
        raise StoppedError

    monkeypatch.setattr(_Connection, "connect", connect)
    with pytest.raises(StoppedError):
        make_engine("postgresql://h/db?connect_timeout=2&application_name=shop&options=-csearch_path%3Dx").connect()
    assert seen["prepare_threshold"] is None, "a pooler gives each transaction another session"
    assert (seen["connect_timeout"], seen["application_name"]) == ("2", "shop")
    assert seen["options"] == "-csearch_path=x"
    assert "options" not in DEFAULTS, "poolers refuse it"
