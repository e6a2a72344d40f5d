"""The guard: what may be spoken to, by text and by address."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.protocol import NotSentError
from tests.http import URL
from workers.http.ssrf import BadUrlError, ForbiddenAddressError, Guard

PRIVATE = [
    "127.0.0.1",
    "127.255.255.254",
    "0.0.0.0",  # noqa: S104 - an address to refuse
    "10.1.2.3",
    "100.64.0.1",
    "100.127.255.255",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "192.0.0.8",
    "192.0.2.1",
    "192.88.99.1",
    "198.51.100.1",
    "198.18.0.1",
    "203.0.113.5",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::7f00:1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "64:ff9b::a00:1",
    "64:ff9b:1::1",
    "2001::1",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    "2001:db8::1",
    "2002:a00:1::1",
    "2002:808:808::1",
    "3fff::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
]
PUBLIC = [
    "8.8.8.8",
    "1.1.1.1",
    "100.63.255.255",
    "100.128.0.1",
    "172.15.255.255",
    "172.32.0.1",
    "192.0.1.1",
    "223.255.255.255",
    "2606:4700::1111",
    "2a00:1450:4001::1",
    "::ffff:8.8.8.8",
    "64:ff9b::808:808",
]


def sockaddr(address: str, port: int = 443) -> tuple[object, ...]:
    return (address, port, 0, 0) if ":" in address else (address, port)


@pytest.mark.parametrize("address", PRIVATE)
def test_addresses_that_are_not_public_are_refused_at_connect(address: str) -> None:
    with pytest.raises(ForbiddenAddressError, match=r"cdn\.example.*allow_hosts") as caught:
        Guard().check_address("cdn.example", sockaddr(address))
    assert isinstance(caught.value, NotSentError)


@pytest.mark.parametrize("address", PRIVATE)
def test_literals_that_are_not_public_are_refused_in_the_url(address: str) -> None:
    host = f"[{address.partition('%')[0]}]" if ":" in address else address
    with pytest.raises(ForbiddenAddressError):
        Guard().check_url(URL(f"http://{host}:8080/x"))


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_pass(address: str) -> None:
    guard = Guard()
    guard.check_address("cdn.example", sockaddr(address))
    guard.check_url(URL(f"https://[{address}]/" if ":" in address else f"https://{address}/"))


@given(st.ip_addresses(v=4, network="10.0.0.0/8") | st.ip_addresses(v=4, network="127.0.0.0/8"))
def test_an_embedded_private_address_is_as_private(address: object) -> None:
    for text in (f"{address}", f"::ffff:{address}", f"64:ff9b::{address}", f"::{address}"):
        with pytest.raises(ForbiddenAddressError):
            Guard().check_address("cdn.example", sockaddr(text))


@pytest.mark.parametrize(
    "url",
    [
        "ftp://cdn.example/x",
        "file:///etc/passwd",
        "gopher://cdn.example/",
        "data:image/png;base64,AAAA",
        "//cdn.example/x",
        "/x",
        "http:///x",
        "https://user:password@cdn.example/x",
        "https://user@cdn.example/x",
        "https://cdn.example\\@127.0.0.1/x",
        "https://cdn.example:0/",
        "https://cdn.example:65536/",
        "http://127.1/",
        "http://0x7f.1/",
        "http://0x7f000001/",
        "http://2130706433/",
        "http://134744072/",
        "http://0/",
    ],
)
def test_urls_that_cannot_be_used_are_refused(url: str) -> None:
    with pytest.raises(BadUrlError):
        Guard().check_url(URL(url))


@pytest.mark.parametrize("url", ["https://cdn.example/x", "http://cdn.example:8080/x?y=1", "https://1and1.example/"])
def test_names_pass_until_they_are_resolved(url: str) -> None:
    Guard().check_url(URL(url))


@pytest.mark.parametrize(
    ("entry", "host", "port", "address"),
    [
        ("media.internal", "media.internal", 9000, "10.0.0.5"),
        ("media.internal:9000", "media.internal", 9000, "10.0.0.5"),
        ("Media.Internal.", "media.internal", 80, "10.0.0.5"),
        ("media.internal", "MEDIA.internal.", 80, "10.0.0.5"),
        ("10.0.0.5", "10.0.0.5", 80, "10.0.0.5"),
        ("10.0.0.5:80", "10.0.0.5", 80, "10.0.0.5"),
        ("10.0.0.5:443", "10.0.0.5", 443, "10.0.0.5"),
        ("::1", "::1", 80, "::1"),
        ("[::1]:8080", "::1", 8080, "::1"),
        ("0:0:0:0:0:0:0:1", "::1", 8080, "::1"),
        ("bücher.internal", "xn--bcher-kva.internal", 80, "10.0.0.5"),
    ],
)
def test_an_allowed_host_may_be_private(entry: str, host: str, port: int, address: str) -> None:
    guard = Guard([entry])
    guard.check_address(host, sockaddr(address, port))
    scheme = "https" if port == 443 else "http"
    guard.check_url(URL(f"{scheme}://[{host}]:{port}/" if ":" in host else f"{scheme}://{host}:{port}/"))


@pytest.mark.parametrize(
    ("entry", "host", "port"),
    [
        ("media.internal:9000", "media.internal", 9001),
        ("media.internal", "evil.media.internal", 80),
        ("media.internal", "media.internal.evil.example", 80),
        ("10.0.0.5", "media.internal", 80),
        ("10.0.0.5:443", "10.0.0.5", 80),
    ],
)
def test_allowing_one_host_allows_no_other(entry: str, host: str, port: int) -> None:
    with pytest.raises(ForbiddenAddressError):
        Guard([entry]).check_address(host, sockaddr("10.0.0.5", port))


def test_the_default_port_counts_as_named() -> None:
    Guard(["10.0.0.5:443"]).check_url(URL("https://10.0.0.5/x"))
    with pytest.raises(ForbiddenAddressError, match=r"10\.0\.0\.5:80"):
        Guard(["10.0.0.5:443"]).check_url(URL("http://10.0.0.5/x"))


@pytest.mark.parametrize("entry", ["", "https://cdn.example", "cdn.example/x", "user@cdn.example", "a b/c", "h:port"])
def test_a_malformed_entry_is_refused_at_once(entry: str) -> None:
    with pytest.raises(ValueError, match="allow_hosts"):
        Guard([entry])
