"""The address of the database, as libpq reads it: several hosts, TLS and every other parameter of its own.

What an address says is kept. What libpq does not know (parameters of other drivers, of poolers and of object mappers)
is refused by name, because dropping it silently would change where rows go. So is a value that libpq would refuse only
when it connects: a worker would take that for a database that is away, and wait.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import Conninfo

from recast.values import has_lone_percent, misread, parameters

#: Parameters of libpq's that would make a connection of another kind.
_OTHER_KINDS = frozenset({"replication"})
KNOWN = frozenset(option.keyword.decode() for option in Conninfo.get_defaults()) - _OTHER_KINDS
#: What JDBC and others write, which libpq reads as `sslmode=require`.
_ALIASES = frozenset({("ssl", "true")})

#: Values that libpq, or Recast, can do something with.
_TLS_VERSIONS = ("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3")
CHOICES: Mapping[str, tuple[str, ...]] = {
    "sslmode": ("disable", "allow", "prefer", "require", "verify-ca", "verify-full"),
    "sslnegotiation": ("postgres", "direct"),
    "sslcertmode": ("disable", "allow", "require"),
    "ssl_min_protocol_version": _TLS_VERSIONS,
    "ssl_max_protocol_version": _TLS_VERSIONS,
    "channel_binding": ("disable", "prefer", "require"),
    "gssencmode": ("disable", "prefer", "require"),
    "load_balance_hosts": ("disable", "random"),
    # Rows are written on every connection, so that a standby is of no use.
    "target_session_attrs": ("any", "read-write", "primary"),
    # Keys and prompts are in any language.
    "client_encoding": ("UTF8", "UTF-8"),
}
NUMBERS = frozenset(
    {"connect_timeout", "keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count", "tcp_user_timeout"}
)
_ANY_CASE = frozenset({"client_encoding", "ssl_min_protocol_version", "ssl_max_protocol_version"})
_NUMBER = re.compile(r"\d{1,9}", re.ASCII)

_URL = re.compile(r"postgres(?:ql)?(?:\+\w+)?://(?P<rest>.*)", re.DOTALL)
_ESCAPES = "in a user name or password, @ is written %40, / is %2F, : is %3A, ? is %3F and % is %25"


def conninfo(url: str) -> dict[str, str]:
    """Parameters of libpq for `url`.

    Raises:
        ValueError: it cannot be used. The message names parameters, but never a value, which may be a password.
    """
    match = _URL.fullmatch(url)
    if match is None:
        scheme = re.match(r"[\w+]{1,20}(?=://)", url)
        found = f", not with {scheme[0]}:// (Recast uses SKIP LOCKED and COPY)" if scheme else ""
        raise ValueError(f"must begin with postgresql://{found}")
    if wrong := misread(url):
        raise ValueError(wrong)
    rest = match["rest"]
    if has_lone_percent(rest):
        raise ValueError(f"is not a valid URL: {_ESCAPES}")
    _check_names(parameters(rest))
    try:
        parsed = conninfo_to_dict(f"postgresql://{rest}")
    except ProgrammingError:
        example = "postgresql://user:password@host:5432/database"
        raise ValueError(f"is not a valid URL; write {example} ({_ESCAPES})") from None
    given = {name: str(value) for name, value in parsed.items()}
    _check_values(given)
    return given


def place(parameters: Mapping[str, str]) -> str:
    """Where `parameters` lead, as HOST:PORT, without credentials."""
    hosts = parameters.get("host", "").split(",")
    ports = parameters.get("port", "").split(",")
    if len(ports) != len(hosts):
        ports = [ports[0]] * len(hosts)
    return ", ".join(f"{host}:{port or 'the default port'}" for host, port in zip(hosts, ports, strict=True) if host)


def _check_values(given: Mapping[str, str]) -> None:
    ports = given.get("port", "").split(",")
    if not all(port == "" or _NUMBER.fullmatch(port) for port in ports):
        raise ValueError(f"is not a valid URL: a port must be a number ({_ESCAPES})")
    hosts = (given.get("host") or given.get("hostaddr", "")).split(",")
    if len(ports) not in {1, len(hosts)}:
        raise ValueError("has another number of ports than hosts; write one port, or host1:5432,host2:5433")
    for name in NUMBERS.intersection(given):
        if not _NUMBER.fullmatch(given[name]):
            raise ValueError(f"{name} must be a whole number")
    for name in CHOICES.keys() & given:
        allowed, value = CHOICES[name], given[name]
        if name in _ANY_CASE:
            allowed, value = tuple(each.lower() for each in allowed), value.lower()
        if value not in allowed:
            raise ValueError(f"{name} must be one of {', '.join(CHOICES[name])}")


def _check_names(pairs: Sequence[tuple[str, str]]) -> None:
    names = [name for name, _ in pairs]
    foreign = sorted({name for name, value in pairs if name not in KNOWN and (name, value) not in _ALIASES})
    if foreign:
        raise ValueError(
            f"has parameters that PostgreSQL's library does not know: {', '.join(foreign)}; remove them. Allowed are"
            " those of libpq, such as sslmode, sslrootcert, target_session_attrs, application_name and options"
        )
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"names {', '.join(twice)} more than once; several hosts are written host1:5432,host2:5432")
