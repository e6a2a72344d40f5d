"""Links by which the person who runs Recast signs in at the same machine, without a password.

A link holds a key that is signed with the deployment's secret key, so only programs that can read that one make it.
It is for one address, works once, and for some minutes. The key stands behind the ``#`` of the link, which browsers
send to no server, so that it is in no log; the page there sends it on as a form.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import secrets
import time
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

from pydantic import SecretStr

from workers.http.keys import derived

LINK_SECONDS = 600  # for a person to notice the link and open it
FRAGMENT = "key="  # before the key, behind the `#`
_NONCE_BYTES = 16
_SKEW_MS = 5_000  # by which a clock may be set back between the making of a link and its use


class BadKeyError(Exception):
    """The key is forged, has expired, or is for another address."""


@dataclass(frozen=True, slots=True)
class Key:
    """What a good key says."""

    #: The user of the system who made the link.
    name: str
    nonce: str
    #: When it was made: Unix time in milliseconds.
    made_at: int


def is_local(host: str) -> bool:
    """Whether `host`, as the address of a page names it, is this machine and nobody else's."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
        return name == "localhost" or ip_address(name.partition("%")[0]).is_loopback
    except ValueError:
        return False


def make(secret_key: SecretStr, host: str, name: str) -> str:
    """A key for the page at `host`, with its port, in the name of this user."""
    said = f"{time.time_ns() // 1_000_000}.{secrets.token_hex(_NONCE_BYTES)}.{_encoded(name.encode())}"
    return f"{said}.{_signature(secret_key, host, said)}"


def check(secret_key: SecretStr, host: str, key: str) -> Key:
    """What a key says that was shown at `host`. Whether it was used before is for others to know.

    Raises:
        BadKeyError: it is worth nothing here, or now.
    """
    said, _, signature = key.rpartition(".")
    if not hmac.compare_digest(_signature(secret_key, host, said).encode(), signature.encode(errors="replace")):
        raise BadKeyError("the signature does not match")
    at, nonce, name = said.split(".")
    age = time.time_ns() // 1_000_000 - int(at)
    if not -_SKEW_MS <= age < LINK_SECONDS * 1000:
        raise BadKeyError("it has expired")
    return Key(_decoded(name), nonce, int(at))


def _signature(secret_key: SecretStr, host: str, said: str) -> str:
    key = derived(secret_key, "local link")
    return _encoded(hmac.digest(key, f"{host}\n{said}".encode(errors="replace"), "sha256"))


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _decoded(text: str) -> str:
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()
    except (binascii.Error, UnicodeError):  # a name that was signed is never so
        raise BadKeyError("it has no name") from None
