"""Addresses of brokers and result stores, read once and written in the form that each part of Celery wants.

Celery, kombu and redis-py read the same address in three ways: verified TLS in one is unverified or refused in another.
So every process of ours, producer or worker, reads an address here, and what is not supported is refused by name.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from recast.values import has_lone_percent, misread, parameters

#: What can stand at the front of an address, and the kind and security of the connection that it means.
SCHEMES: Mapping[str, tuple[str, bool]] = {
    "redis": ("redis", False),
    "valkey": ("redis", False),
    "rediss": ("redis", True),
    "valkeys": ("redis", True),
    "unix": ("unix", False),
    "redis+socket": ("unix", False),
    "sentinel": ("sentinel", False),
    "sentinels": ("sentinel", True),
}
#: Brokers within one process, for tests.
IN_PROCESS = frozenset({"memory", "cache+memory"})
PORTS = {"redis": 6379, "sentinel": 26379}
CERTIFICATES = {"required": ssl.CERT_REQUIRED, "none": ssl.CERT_NONE}

#: What every key may begin with: not the braces of a cluster, nor what a shell or a file of settings changes.
PREFIX = re.compile(r"[\w.:-]{0,64}", re.ASCII)
PREFIX_RULE = "up to 64 letters, digits and . : _ - are allowed"

_TLS = frozenset({"ssl_cert_reqs", "ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_check_hostname"})
_SENTINEL = frozenset({"master_name", "sentinel_username", "sentinel_password"})
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,30}")
#: As Sentinel itself allows; anything else is the rest of an address, in which the parameter is not the last.
_MASTER = re.compile(r"[\w.-]{1,200}", re.ASCII)
_NEXT_SENTINEL = re.compile(r"(?:/\d*)?;(?:sentinels?://)?")
_ESCAPES = "in a user name or password, @ is written %40, / is %2F, : is %3A, ? is %3F, # is %23, ; is %3B and % is %25"


@dataclass(frozen=True, slots=True, repr=False)  # it holds passwords
class Address:
    """One broker or result store.

    Args:
        kind: ``redis``, ``unix`` or ``sentinel``; ``memory`` for tests.
        url: as it was given.
    """

    kind: str
    url: str
    hosts: tuple[tuple[str, int], ...] = ()
    path: str = ""
    database: int = 0
    username: str | None = None
    password: str | None = None
    #: TLS as redis-py wants it; empty without.
    tls: Mapping[str, Any] = field(default_factory=dict)
    #: Sentinel's name for the server, and what Sentinel itself asks for.
    master: str | None = None
    sentinel_login: Mapping[str, str] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"Address({self.kind}, {self.place})"

    @property
    def place(self) -> str:
        """Where it leads, without credentials."""
        return self.path or ", ".join(f"{host}:{port}" for host, port in self.hosts) or self.kind

    @property
    def celery_url(self) -> str:
        """The address as kombu and Celery read it; TLS is not in it, see `tls`."""
        if self.kind == "memory":
            return self.url
        login = ":".join(quote(part or "", safe="") for part in (self.username, self.password))
        at = f"{login}@" if self.username or self.password else ""
        if self.kind == "unix":
            return f"redis+socket://{at}{quote(self.path)}?virtual_host={self.database}"
        scheme = "sentinel" if self.kind == "sentinel" else "rediss" if self.tls else "redis"
        return ";".join(
            f"{scheme}://{at}{f'[{host}]' if ':' in host else host}:{port}/{self.database}" for host, port in self.hosts
        )

    def transport(self, waits: Mapping[str, Any]) -> dict[str, Any]:
        """Options of the transport: how Sentinel is asked, with the same `waits` as the server."""
        if self.kind != "sentinel":
            return {}
        secure = {"ssl": True, **self.tls} if self.tls else {}
        return {"master_name": self.master, "sentinel_kwargs": {**waits, **secure, **self.sentinel_login}}


def parse(text: str) -> Address:
    """The address in `text`.

    Raises:
        ValueError: it cannot be used. The message says why, but never repeats a value, which may be a password.
    """
    scheme, found, rest = text.partition("://")
    if scheme in IN_PROCESS and found:
        return Address("memory", text)
    if not found or not _SCHEME.fullmatch(scheme):
        raise ValueError("is not a valid URL; use redis://:password@host:6379/0")
    if scheme not in SCHEMES:
        allowed = ", ".join(f"{name}://" for name in SCHEMES)
        raise ValueError(f"{scheme}:// is not supported: Recast needs one Redis or Valkey server. Allowed: {allowed}")
    if wrong := misread(text):
        raise ValueError(wrong)
    kind, secure = SCHEMES[scheme]
    if kind == "sentinel":
        rest = _NEXT_SENTINEL.sub(";", rest)
    login, after = _divided(rest.partition("?")[0], kind)
    if has_lone_percent(rest):
        raise ValueError(f"is not a valid URL: {_ESCAPES}")
    username, _, password = login.partition(":")
    options = _options(parameters(rest), kind, secure=secure)
    hosts, path = ((), unquote(after)) if kind == "unix" else _places(after, kind)
    if kind == "unix" and not path.startswith("/"):
        raise ValueError("needs the whole path of a socket, such as unix:///run/redis.sock, with three slashes")
    number = options.get("db") or options.get("virtual_host") or (path.strip("/") if kind != "unix" else "")
    if number and not (number.isascii() and number.isdigit()):
        raise ValueError("is not a valid URL: what follows the host is a database number, such as /0")
    return Address(
        kind, text, hosts, path if kind == "unix" else "", int(number or 0), unquote(username) or None,
        unquote(password) or None, _tls(options) if secure else {}, options.get("master_name"),
        {name.removeprefix("sentinel_"): options[name] for name in _SENTINEL - {"master_name"} if name in options},
    )  # fmt: skip


def _divided(text: str, kind: str) -> tuple[str, str]:
    """The login, and what follows it; Celery's own form has the login before each Sentinel."""
    listed, slash, path = text.partition("/")
    places = [part.rpartition("@") for part in (listed.split(";") if kind == "sentinel" else [listed])]
    logins = {login for login, _, _ in places if login}
    if len(logins) > 1:
        raise ValueError(
            "has several logins, but all Sentinels lead to one server; write its login once, and that of the Sentinels"
            " as sentinel_username and sentinel_password"
        )
    return next(iter(logins), ""), ";".join(place for *_, place in places) + slash + path


def _options(pairs: Sequence[tuple[str, str]], kind: str, *, secure: bool) -> Mapping[str, str]:
    """The parameters after the question mark."""
    allowed = (_TLS if secure else frozenset()) | (_SENTINEL if kind == "sentinel" else frozenset())
    allowed |= {"db", "virtual_host"} if kind == "unix" else frozenset()
    foreign = sorted({name for name, _ in pairs} - allowed)
    if foreign:
        advice = "; TLS needs rediss:// (or sentinels://)" if _TLS.intersection(foreign) else ""
        listed = ", ".join(sorted(allowed)) or "none"
        raise ValueError(f"has parameters that are not supported: {', '.join(foreign)}{advice}. Allowed here: {listed}")
    options = dict(pairs)
    if kind == "sentinel" and not options.get("master_name"):
        raise ValueError("needs ?master_name=..., Sentinel's name for the server")
    if not _MASTER.fullmatch(options.get("master_name", "m")):
        raise ValueError("master_name must be letters, digits and . - _, once and behind all hosts")
    return options


def _tls(options: Mapping[str, str]) -> Mapping[str, Any]:
    """Verified, unless the address says otherwise."""
    choices = {"ssl_cert_reqs": ("required", "none"), "ssl_check_hostname": ("true", "false")}
    for name, allowed in choices.items():
        if options.get(name, allowed[0]) not in allowed:
            raise ValueError(f"{name} must be {' or '.join(allowed)}")
    files = {name: options[name] for name in ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile") if options.get(name)}
    if unread := sorted(name for name, path in files.items() if not Path(path).is_file()):
        raise ValueError(f"{', '.join(unread)}: there is no such file on this machine")
    certificates = CERTIFICATES[options.get("ssl_cert_reqs", "required")]
    checked = certificates is ssl.CERT_REQUIRED and options.get("ssl_check_hostname", "true") == "true"
    return {"ssl_cert_reqs": certificates, "ssl_check_hostname": checked, **files}


def _places(text: str, kind: str) -> tuple[tuple[tuple[str, int], ...], str]:
    """Hosts with ports, and what follows them."""
    listed, slash, path = text.partition("/")
    hosts: list[tuple[str, int]] = []
    for place in listed.split(";"):
        if "," in place or (hosts and kind != "sentinel"):
            raise ValueError(
                "names several hosts: Redis Cluster is not supported; Sentinels are written"
                " sentinel://a:26379;b:26379/0?master_name=jobs"
            )
        try:
            parts = urlsplit(f"//{place}")
            host, port = parts.hostname, parts.port
        except ValueError:
            raise ValueError(f"is not a valid URL: a port must be a number ({_ESCAPES})") from None
        hosts.append((unquote(host or "127.0.0.1"), port or PORTS[kind]))
    return tuple(hosts), slash + path
