"""Addresses: where a result, or a redirect to it, is said to lie."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Mapping

from tests.hostile.cases import Area, Case, refused, survived
from tests.hostile.pictures import JPEG
from tests.hostile.saving import Answer, FileServer, body, raw, status

#: Bytes of a result that are taken in these tests; what unfolds to more is a bomb.
LIMIT = 1 << 20

Make = Callable[[FileServer, str], str]


def url(text: str) -> Make:
    """An address as it stands; PORT is the port of the server of ours that must not be asked."""
    return lambda files, _: text.replace("PORT", str(files.port))


def answer(made: Answer) -> Make:
    """An address of the provider's where this is answered."""
    return lambda files, path: files.offer(path, made)


def redirect(to: str, code: int = 302) -> Make:
    """An address of the provider's that redirects to `to`."""

    def make(files: FileServer, path: str) -> str:
        return files.offer(path, status(code, Location=to.replace("PORT", str(files.port)).replace("SELF", path)))

    return make


#: What a resolver says of names, which anybody may write into their own zone.
NAMES: Mapping[str, tuple[str, ...]] = {
    "loopback.example": ("127.0.0.1",),
    "loopback6.example": ("::1",),
    "private.example": ("10.0.0.5",),
    "metadata.example": ("169.254.169.254",),
    "mapped.example": ("::ffff:127.0.0.1",),
    "translated.example": ("64:ff9b::7f00:1",),
    "unspecified.example": ("0.0.0.0",),  # noqa: S104 - an address to refuse
    "carrier.example": ("100.64.0.1",),
    "all-private.example": ("192.168.0.1", "10.0.0.1", "fd00::1"),
    # Public when somebody looked, private when it is connected to: only the second answer counts.
    "rebound.example": ("127.0.0.1",),
}

NOT_PUBLIC = "public address"

CASES: tuple[Case, ...] = (
    refused("loopback", url("http://127.0.0.1:1/x"), NOT_PUBLIC),
    refused("all of 127/8", url("http://127.8.9.10/x"), NOT_PUBLIC),
    refused("this host", url("http://0.0.0.0:PORT/inside"), NOT_PUBLIC),
    refused("a private network", url("http://10.0.0.1/x"), NOT_PUBLIC),
    refused("another private network", url("http://172.31.255.255/x"), NOT_PUBLIC),
    refused("the home network", url("http://192.168.1.1/x"), NOT_PUBLIC),
    refused("the cloud's metadata service", url("http://169.254.169.254/latest/meta-data/"), NOT_PUBLIC),
    refused("the cloud's metadata service by IPv6", url("http://[fd00:ec2::254]/latest/"), NOT_PUBLIC),
    refused("a carrier's shared addresses", url("http://100.64.0.1/x"), NOT_PUBLIC),
    refused("a documentation address", url("http://192.0.2.7/x"), NOT_PUBLIC),
    refused("multicast", url("http://224.0.0.1/x"), NOT_PUBLIC),
    refused("broadcast", url("http://255.255.255.255/x"), NOT_PUBLIC),
    refused("IPv6 loopback", url("http://[::1]:PORT/inside"), NOT_PUBLIC),
    refused("IPv6 loopback, written out", url("http://[0:0:0:0:0:0:0:1]:PORT/inside"), NOT_PUBLIC),
    refused("IPv6 unspecified", url("http://[::]:PORT/inside"), NOT_PUBLIC),
    refused("IPv4 loopback mapped into IPv6", url("http://[::ffff:127.0.0.1]:PORT/inside"), NOT_PUBLIC),
    refused("the same in hexadecimal", url("http://[::ffff:7f00:1]:PORT/inside"), NOT_PUBLIC),
    refused("IPv4-compatible loopback", url("http://[::127.0.0.1]:PORT/inside"), NOT_PUBLIC),
    refused("a NAT64 address of a private one", url("http://[64:ff9b::a00:1]/x"), NOT_PUBLIC),
    refused("a local NAT64 address", url("http://[64:ff9b:1::a00:1]/x"), NOT_PUBLIC),
    refused("6to4 around a private one", url("http://[2002:a00:1::]/x"), NOT_PUBLIC),
    refused("Teredo", url("http://[2001:0:4136:e378:8000:63bf:3fff:fdd2]/x"), NOT_PUBLIC),
    refused("IPv6 link-local", url("http://[fe80::1]/x"), NOT_PUBLIC),
    refused("a zone", url("http://[fe80::1%25eth0]/x"), "%"),
    refused("a zone on a public address", url("http://[2606:4700::1111%25lo]/x"), "%"),
    refused("IPv6 unique local", url("http://[fc00::1]/x"), NOT_PUBLIC),
    refused("one number", url("http://2130706433:PORT/inside"), "unusual form"),
    refused("hexadecimal", url("http://0x7f000001:PORT/inside"), "unusual form"),
    refused("hexadecimal parts", url("http://0x7f.0.0.0x1:PORT/inside"), "unusual form"),
    refused("octal parts", url("http://0177.0.0.01:PORT/inside"), "read"),
    refused("short", url("http://127.1:PORT/inside"), "unusual form"),
    refused("zero", url("http://0:PORT/inside"), "unusual form"),
    refused("octal, long", url("http://00000177.0.0.1:PORT/inside"), "read"),
    refused("a final dot", url("http://127.0.0.1.:1/x"), NOT_PUBLIC),
    refused("full-width digits", url("http://\uff11\uff12\uff17.0.0.1:1/x"), "read"),
    refused("circled digits", url("http://\u2460\u2461\u2466.0.0.1:1/x"), "read"),
    refused("an ideographic full stop", url("http://127\u30020\u30020\u30021:1/x"), NOT_PUBLIC),
    refused("escaped digits", url("http://%31%32%37.0.0.1:1/x"), "%"),
    refused("a user name", url("http://cdn.example@127.0.0.1:PORT/inside"), "user name"),
    refused("a user name and password", url("http://a:b@127.0.0.1:PORT/inside"), "user name"),
    refused("a backslash before the at sign", url("http://cdn.example\\@127.0.0.1:PORT/inside"), "user name"),
    refused("a line break in the host", url("http://127.0.0.1\r\nHost: x/x"), "non-printable"),
    refused("a blank in the host", url("http://127.0.0.1 .example/x"), "%"),
    refused("a control character in the path", url("http://127.0.0.1:PORT/a\x01b"), "non-printable"),
    refused("no host", url("http:///x"), "host"),
    refused("only a path", url("/etc/passwd"), "https://"),
    refused("a file", url("file:///etc/passwd"), "https://"),
    refused("gopher to the broker", url("gopher://127.0.0.1:6379/_FLUSHALL"), "https://"),
    refused("FTP", url("ftp://127.0.0.1/x"), "https://"),
    refused("data", url("data:image/png;base64,AAAA"), "https://"),
    refused("a name in Punycode that stands for nothing", url("http://xn--/x"), "read"),
    refused("another one", url("http://xn--a.example/x"), "read"),
    refused("a name with an empty part", url("http://a..b/x"), "a..b"),
    refused("a name with a part of 64 characters", url(f"http://{'a' * 64}.example/x"), "a" * 64),
    refused("a name of 300 characters", url(f"http://{'a.' * 150}example/x"), "a.a.a"),
    refused("port 0", url("http://cdn.example:0/x"), "port"),
    refused("port 65536", url("http://cdn.example:65536/x"), "port"),
    refused("a port that is not a number", url("http://cdn.example:http/x"), "read"),
    refused("a negative port", url("http://cdn.example:-1/x"), "port"),
    refused("the provider's own host, another port", url("http://127.0.0.1:6379/x"), NOT_PUBLIC),
    *(
        refused(f"{name}, which resolves to {', '.join(addresses)}", url(f"http://{name}:PORT/inside"), NOT_PUBLIC)
        for name, addresses in NAMES.items()
    ),
    refused("a redirect to loopback", redirect("http://127.0.0.2:PORT/inside"), NOT_PUBLIC),
    refused("a redirect to the metadata service", redirect("http://169.254.169.254/"), NOT_PUBLIC),
    refused("a redirect to mapped loopback", redirect("http://[::ffff:7f00:1]:PORT/inside"), NOT_PUBLIC),
    refused("a redirect to one number", redirect("http://2130706433:PORT/inside"), "unusual form"),
    refused("a redirect to a name that is loopback", redirect("http://rebound.example:PORT/inside"), NOT_PUBLIC),
    refused("a redirect without a scheme", redirect("//0177.0.0.1:PORT/inside"), "read"),
    refused("a permanent redirect to a file", redirect("file:///etc/passwd", 301), "https://"),
    refused("a redirect that keeps the method", redirect("http://10.0.0.1/", 307), NOT_PUBLIC),
    refused("a redirect with a password", redirect("http://a:b@127.0.0.1:PORT/inside", 308), "user name"),
    refused("a redirect to an invalid URL", redirect("http://[:::1]/"), "read"),
    refused("a redirect to a name in Punycode that stands for nothing", redirect("http://xn--/x"), "read"),
    refused("a redirect to a name with an empty part", redirect("http://a..b/x"), "a..b"),
    refused("a redirect to itself", redirect("SELF"), "5 redirects"),
    refused("a redirect to nowhere", answer(status(302)), "Location"),
    refused("a file over the limit", answer(body(bytes(LIMIT + 1))), "longer"),
    refused(
        "gzip that unfolds a thousandfold",
        answer(body(gzip.compress(bytes(30 * LIMIT)), Content_Encoding="gzip")),
        "longer",
    ),
    refused(
        "deflate that unfolds a thousandfold",
        answer(body(zlib.compress(bytes(30 * LIMIT)), Content_Encoding="deflate")),
        "longer",
    ),
    refused("invalid gzip", answer(body(JPEG, Content_Encoding="gzip")), "received"),
    refused(
        "fewer bytes than announced",
        answer(raw(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n" + JPEG[:100])),
        "received",
    ),
    refused(
        "two lengths",
        answer(raw(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef")),
        "received",
    ),
    refused("a negative length", answer(raw(b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n")), "received"),
    refused("no HTTP at all", answer(raw(b"\x00\x01\x02 hello\r\n\r\n")), "received"),
    refused("nothing but the end", answer(raw(b"")), "received"),
    refused("headers of 1 MB", answer(raw(b"HTTP/1.1 200 OK\r\nX: " + b"x" * LIMIT + b"\r\n\r\n")), "received"),
    refused(
        "chunks with a wrong size",
        answer(raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nabc\r\n0\r\n\r\n")),
        "received",
    ),
    refused("a part of a file", answer(status(206)), "206"),
    refused("an expired signature", answer(status(403)), "403"),
    survived("a picture called text/html", answer(body(JPEG, Content_Type="text/html")), "judged by its bytes"),
    survived("a gzipped picture", answer(body(gzip.compress(JPEG), Content_Encoding="gzip")), "unpacked"),
    survived(
        "a cookie and a name of a file",
        answer(body(JPEG, Set_Cookie="a=b", Content_Disposition="attachment; filename=../../x")),
        "both ignored",
    ),
)

AREAS = (
    Area(
        "Addresses of results",
        "a store pump gets all of them at once, together with valid pictures and with a resolver that answers as the"
        " case needs; a server on loopback that only `allow_hosts` would permit never receives a request",
        CASES,
    ),
)
