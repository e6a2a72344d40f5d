"""The guard of addresses: which hosts a worker may connect to.

Result URLs, redirects and callback-supplied URLs are text from outside. Their author must not be able to make a
worker read the cloud's metadata service, a database on the local network or the worker's own machine (server-side
request forgery). A URL is checked twice: `Guard.check_url` refuses what its text shows, and
`Guard.check_address` judges the address a socket is about to connect to, which is the truth: it sees what DNS answered
for this very connection, and what a decimal, hexadecimal or shortened notation came to mean.

    NotSentError (providers.protocol)
    +-- ForbiddenAddressError   the host is, or resolves to, an address that is not public
        +-- BadUrlError         the URL itself cannot be used: scheme, host, port, embedded credentials
"""

from __future__ import annotations

import functools
import ipaddress
import socket
from collections.abc import Iterable
from typing import Any

from providers.http import URL, InvalidURL
from providers.protocol import NotSentError

_V4_NOT_PUBLIC = tuple(
    ipaddress.IPv4Network(network)
    for network in (
        # The IANA IPv4 special-purpose registry, as far as it is not globally reachable, and multicast. Written out
        # because `ipaddress.is_global` gives other answers from one Python release to the next.
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
    )
)
_V6_PUBLIC = ipaddress.IPv6Network("2000::/3")  # all global unicast addresses ever assigned lie in here
_V6_NOT_PUBLIC = tuple(
    ipaddress.IPv6Network(network)
    for network in (
        "2001::/23",  # protocol assignments; Teredo (2001::/32), which embeds an IPv4 address, is one of them
        "2001:db8::/32",
        "2002::/16",  # 6to4 embeds an IPv4 address; it is a relic, so it is refused whatever it embeds
        "3fff::/20",
    )
)
# Translators and dual-stack kernels turn these into the IPv4 address in their last 32 bits. The NAT64 prefix must stay
# usable: on a network with IPv6 only, DNS64 answers with it for every host that has IPv4 only.
_V6_EMBEDDING_V4 = (ipaddress.IPv6Network("::ffff:0:0/96"), ipaddress.IPv6Network("64:ff9b::/96"))

_MAX_PORT = 65535
_HOSTS = 1024  # whose reading is remembered: more than one worker speaks to in a while


class ForbiddenAddressError(NotSentError):
    """Nothing is sent to this host: it is not public, and the account does not name it in ``allow_hosts``."""

    #: The host, and its address where that is another, in words.
    named = ""


class BadUrlError(ForbiddenAddressError):
    """The URL cannot be used, whatever host it names."""


class Guard:
    """Lets requests through to public addresses and to the hosts an operator named.

    Args:
        allow_hosts: hosts that may be private, as ``host`` (every port) or ``host:port``; IPv6 as ``[::1]:8080``. A
            name here allows whatever it resolves to, an address only for URLs that spell that address.

    Raises:
        ValueError: an entry is not a host or host:port.
    """

    def __init__(self, allow_hosts: Iterable[str] = ()) -> None:
        self._allowed = frozenset(_endpoint(entry) for entry in allow_hosts)

    def check_url(self, url: URL) -> None:
        """Refuse what the text of `url` gives away; every address is checked again when it is connected to.

        Raises:
            BadUrlError: no http(s) URL, no host, credentials in it, a zone, an impossible port, a disguised
                IPv4 address.
            ForbiddenAddressError: the host is a literal address that is not public and not allowed.
        """
        if url.scheme not in ("http", "https"):
            raise BadUrlError(f"a URL must begin with https:// or http://, this one begins with {url.scheme[:20]!r}")
        host = _canonical(url.raw_host.decode("ascii", "replace"))
        if not host:
            raise BadUrlError("the URL names no host")
        try:
            _ = url.host  # which everybody reads who tells of it
        except UnicodeError:
            raise BadUrlError(f"the host {host} is not a name: what follows xn-- stands for nothing") from None
        if "%" in host:
            raise BadUrlError(f"the host {host} has a %: addresses with a zone and escaped names are not allowed")
        if url.userinfo:
            raise BadUrlError(f"the URL of {host} contains a user name or password, which is never sent; remove them")
        if url.port is not None and not 0 < url.port <= _MAX_PORT:
            raise BadUrlError(f"the URL of {host} has port {url.port}; allowed: 1 to 65535")
        port = url.port or (443 if url.scheme == "https" else 80)
        address = _literal(host)
        if address is not None and not self._names(host, port) and not _is_public(address):
            raise _forbidden(host, port, address)

    def check_address(self, host: str, sockaddr: tuple[Any, ...]) -> None:
        """Refuse to connect to `sockaddr` (as `socket.connect` takes it), to which `host` was resolved.

        Raises:
            ForbiddenAddressError: the address is not public, and neither `host` nor `host:port` is allowed.
        """
        host, port = _canonical(host), int(sockaddr[1])
        address = ipaddress.ip_address(str(sockaddr[0]).partition("%")[0])
        if not self._names(host, port) and not _is_public(address):
            raise _forbidden(host, port, address)

    def _names(self, host: str, port: int) -> bool:
        return (host, None) in self._allowed or (host, port) in self._allowed


def _is_public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    if isinstance(address, ipaddress.IPv6Address):
        if any(address in network for network in _V6_EMBEDDING_V4):
            return _is_public(ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF))
        return address in _V6_PUBLIC and not any(address in network for network in _V6_NOT_PUBLIC)
    return not any(address in network for network in _V4_NOT_PUBLIC)


@functools.lru_cache(maxsize=_HOSTS)
def _literal(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address `host` spells, or None for a name; `127.1`, `0x7f.1` and `2130706433` do not spell one."""
    try:
        return ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        pass
    try:
        socket.inet_aton(host)
    except (OSError, UnicodeError):
        return None
    raise BadUrlError(f"the host {host} is an IPv4 address in an unusual form; write it as four decimal numbers")


@functools.lru_cache(maxsize=_HOSTS)
def _canonical(host: str) -> str:
    """One spelling per host: lower case, no final dot, IPv6 without brackets and in its short form."""
    host = host.strip("[]").rstrip(".").lower()
    if ":" not in host:
        return host
    try:
        return str(ipaddress.IPv6Address(host))
    except ValueError:
        return host


def _endpoint(entry: str) -> tuple[str, int | None]:
    if "@" in entry:
        raise ValueError("allow_hosts: an entry contains a user name or password; write only the host")
    text = f"[{entry}]" if entry.count(":") > 1 and not entry.startswith("[") else entry
    try:
        # A scheme without a default port, so that ":443" is not taken for "no port".
        url = URL(f"endpoint://{text}")
    except InvalidURL as error:
        raise ValueError(f"allow_hosts: {entry!r} is not a host or host:port ({error})") from error
    if not url.raw_host or url.path != "/" or url.query or "#" in entry:
        raise ValueError(f"allow_hosts: {entry!r} is not a host or host:port; remove the scheme and the path")
    return _canonical(url.raw_host.decode("ascii")), url.port


def _forbidden(host: str, port: int, address: object) -> ForbiddenAddressError:
    named = f"{host} is {address}" if str(address) != host else host
    entry = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    error = ForbiddenAddressError(
        f"{named}, which is not a public address; if the host is yours, add {entry!r} to the account's allow_hosts"
    )
    error.named = named
    return error
