"""The values of the accounts file: addresses, credentials and where these come from, each checked by its name."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from providers.http import URL, InvalidURL
from providers.protocol import NotSentError
from recast.values import trimmed, unseen, unsendable
from workers.http.addresses import AddressError, web_address
from workers.http.ssrf import Guard

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


class AccountsError(Exception):
    """The accounts file cannot be used; the message says where and what is allowed."""


def no_plain_http(where: str, address: str) -> None:
    """Refuse an address to which credentials would go unencrypted, over any network but this machine's own."""
    parts = urlsplit(address)
    if parts.scheme == "http" and parts.hostname not in LOOPBACK:
        raise AccountsError(
            f"{where}: {address!r} is not encrypted, and credentials go there; begin with https://"
            " (http:// is allowed for 127.0.0.1 and localhost)"
        )


ENCODED = frozenset({"password"})  # HTTP Basic and JSON can carry any text; other credentials stand in headers


def cut(where: str, value: Any) -> Any:
    """A setting of an account without what is blank or unseen at the ends of its texts.

    Raises:
        AccountsError: there is something unseen within a text.
    """
    if isinstance(value, str):
        plain = trimmed(value)
        if found := unseen(plain):
            raise AccountsError(f"{where}: {found} cannot be seen and is not allowed; write the value again by hand")
        return plain
    if isinstance(value, list):
        return [cut(where, item) for item in value]
    if isinstance(value, Mapping):
        return {key: cut(f"{where}.{key}", item) for key, item in value.items()}
    return value


def one_address(where: str, base_url: str) -> str:
    """An address in its one form, to which requests can be sent.

    Raises:
        AccountsError: nothing could be sent there; it says why.
    """
    try:
        address = web_address(base_url)
        parts = urlsplit(address)
        if "@" in parts.netloc:
            raise AccountsError(f"{where}: contains a user name or password, which is never sent; remove them")
        if found := unsendable(address):
            raise AccountsError(f"{where}: {base_url!r} contains {found}, which no address can; write it in ASCII")
        host = parts.hostname or ""
        host.encode("idna")  # as the resolver will be asked: no empty or overlong part
        Guard([f"[{host}]" if ":" in host else host]).check_url(URL(address))
    except AddressError as error:
        raise AccountsError(f"{where}: {error}") from None
    except (ValueError, InvalidURL, NotSentError) as error:
        raise AccountsError(f"{where}: {base_url!r} is not a valid address ({error})") from None
    return address


def sendable(where: str, secret: str, *, encoded: bool) -> str:
    """A credential that a header can carry; the message never contains it.

    Raises:
        AccountsError: it names the character that cannot be sent.
    """
    if found := unseen(secret) if encoded else unsendable(secret):
        allowed = "characters that can be seen" if encoded else "printable ASCII characters"
        raise AccountsError(f"{where}: {found} of the credential is not allowed; allowed: {allowed}; copy it again")
    return secret


def looked_up(where: str, value: object, *, literal_allowed: bool) -> str:
    """A secret's value from ``env:NAME``, ``file:PATH`` or, for a loopback address only, as written."""
    kind, _, rest = map(trimmed, str(value).partition(":"))
    if kind == "env" and rest:
        found = os.environ.get(rest, "")
        if not trimmed(found):
            raise AccountsError(f"{where}: the environment variable {rest} is not set; set it to the credential")
        return found
    if kind == "file" and rest:
        try:
            return Path(rest).read_text(encoding="utf-8")
        except OSError as error:
            raise AccountsError(f"{where}: cannot read the credential from {rest}: {error}") from None
        except UnicodeDecodeError:  # its message has a byte of the secret
            raise AccountsError(f"{where}: {rest} is not text in UTF-8; write the credential as text") from None
    if literal_allowed:
        return str(value)
    raise AccountsError(f'{where}: write "env:NAME" or "file:PATH"; the file must not contain the secret itself')
