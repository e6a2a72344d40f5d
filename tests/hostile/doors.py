"""The two doors of `recast web`: callbacks, and signed links to pictures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tests.hostile.cases import Area, Case, refused, survived
from web.callbacks import MAX_BODY_BYTES

TOKEN = "TOKEN"  # stands for the token of an attempt that is open


@dataclass(frozen=True)
class Call:
    """One request: the path as it is sent."""

    path: str
    body: bytes = b"{}"
    method: str = "POST"
    headers: Mapping[str, str] = field(default_factory=dict)


def call(path: str, body: bytes = b"{}", method: str = "POST", **headers: str) -> Callable[[], Call]:
    return lambda: Call(path, body, method, {name.replace("_", "-"): value for name, value in headers.items()})


def known(body: bytes, **headers: str) -> Callable[[], Call]:
    """A callback for an open attempt."""
    return call(f"/callbacks/{TOKEN}", body, **headers)


CALLBACKS: tuple[Case, ...] = (
    refused("a token that nobody has", call("/callbacks/nobody"), "404"),
    refused("no token", call("/callbacks/"), "404"),
    refused("a token of 65 characters", call("/callbacks/" + "x" * 65), "404"),
    refused("a token of 60,000 characters", call("/callbacks/" + "x" * 60_000), "404"),
    refused("a token with NUL", call("/callbacks/a%00b"), "404"),
    refused("a token of half a character", call("/callbacks/%ff%fe"), "404"),
    refused("a token of SQL", call("/callbacks/'%20OR%20'1'='1"), "404"),
    refused("a token of LIKE's signs", call("/callbacks/%25_%25"), "404"),
    refused("the token with a blank", call(f"/callbacks/{TOKEN}%20"), "404"),
    refused("the token in other letters", call(f"/callbacks/{TOKEN.lower()}"), "404"),
    refused("the beginning of the token", call(f"/callbacks/{TOKEN[:-1]}"), "404"),
    refused("a path behind the token", call(f"/callbacks/{TOKEN}/x"), "404"),
    refused("a path out of the callbacks", call("/callbacks/..%2f..%2fhealthz"), "404"),
    refused("GET", call(f"/callbacks/{TOKEN}", method="GET"), "405"),
    refused("DELETE", call(f"/callbacks/{TOKEN}", method="DELETE"), "405"),
    refused("an unknown method", call(f"/callbacks/{TOKEN}", method="JEFF"), "405"),
    survived("no body", known(b""), "kept; the provider is polled instead"),
    survived("NUL and noise", known(b"\x00\xff\xfe" * 100), "kept as bytes"),
    survived("a false success", known(b'{"status": "SUCCESS", "url": "http://169.254.169.254/"}'), "not believed"),
    survived("a false failure", known(b'{"status": "FAILED"}'), "not believed"),
    survived("another attempt's handle", known(b'{"task_id": "beside"}'), "not believed"),
    survived("JSON in 50,000 levels", known(b"[" * 50_000), "not read"),
    survived("as much as is read", known(b"x" * MAX_BODY_BYTES), "kept"),
    refused("a byte more", known(b"x" * (MAX_BODY_BYTES + 1)), "413"),
    refused("10 MB", known(b"x" * 10_000_000), "413"),
    refused("10 MB, announced", known(b"x" * 10_000_000, Content_Length="10000000"), "413"),
    refused("a length of 5,000 digits", known(b"{}", Content_Length="9" * 5_000), "413"),
    survived("a length in Arabic digits", known(b"{}", Content_Length="٣"), "not looked at"),
    survived("a gzip bomb", known(bytes(1000), Content_Encoding="gzip"), "not unpacked"),
    survived("an invalid type", known(b"{}", Content_Type="text/html; charset=utf-7"), "not looked at"),
    survived("another host name", known(b"{}", Host="169.254.169.254"), "not looked at"),
    survived("a forged proxy header", known(b"{}", X_Forwarded_For="127.0.0.1, ::1"), "not looked at"),
)

FUTURE = "9" * 12
SIGNATURE = "A" * 32
KEY = f"aa/bb/aabb{'0' * 60}.png"


def link(expires: str = FUTURE, signature: str = SIGNATURE, key: str = KEY) -> Callable[[], Call]:
    return call(f"/media/{expires}/{signature}/{key}", b"", "GET")


LINKS: tuple[Case, ...] = (
    refused("a forged signature", link(), "403"),
    refused("no signature", call(f"/media/{FUTURE}//{KEY}", b"", "GET"), "404"),
    refused("a signature of 10,000 characters", link(signature="A" * 10_000), "403"),
    refused("a signature that is not ASCII", link(signature="%E2%82%AC" * 10), "403"),
    refused("a time in letters", link(expires="never"), "403"),
    refused("a negative time", link(expires="-1"), "403"),
    refused("a time of 5,000 digits", link(expires="9" * 5_000), "403"),
    refused("a time in Arabic digits", link(expires="%D9%A1%D9%A2"), "403"),
    refused("a time that is not a number", link(expires="nan"), "403"),
    refused("a path out of the storage", link(key="../../../../etc/passwd"), "403"),
    refused("the same, escaped", link(key="..%2f..%2f..%2fetc%2fpasswd"), "403"),
    refused("the same, escaped twice", link(key="..%252f..%252fetc%252fpasswd"), "403"),
    refused("the same with backslashes", link(key="..%5c..%5cetc%5cpasswd"), "403"),
    refused("an absolute path", link(key="/etc/passwd"), "403"),
    refused("a key with NUL", link(key=KEY + "%00.jpg"), "403"),
    refused("a key that is an address", link(key="http://169.254.169.254/"), "403"),
    refused("a file of the storage that is not a picture", link(key=".recast-check-00"), "403"),
    refused("PUT", call(f"/media/{FUTURE}/{SIGNATURE}/{KEY}", b"x", "PUT"), "405"),
)

AREAS = (
    Area(
        "Callbacks",
        "posted to `recast web` on a real database, with another open attempt that must not change; afterwards"
        " `recast web` accepts a valid callback",
        CALLBACKS,
    ),
    Area("Signed links", "requested from `recast web`; afterwards a valid link returns its picture", LINKS),
)
