"""URLs as they may be shown: without the passwords, signatures and other unguessable parts in them."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from workers.http import urls

REDACTED = "[redacted]"

_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://[^\s\"'<>]+", re.IGNORECASE)
_OUR_PATHS = re.compile(rf"({re.escape(urls.MEDIA)}/\d+/|{re.escape(urls.CALLBACKS)}/)[\w-]+")


def shown_url(url: str) -> str:
    """A URL as it may be shown: without credentials, query and fragment, which hold passwords and signatures.

    A path on this machine stays as it is.
    """
    if "://" not in url:
        return url
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def without_url_secrets(text: str) -> str:
    """`text` whose URLs have lost credentials and queries, and whose paths of ours what cannot be guessed in them."""
    if "://" in text:
        text = _ADDRESS.sub(lambda found: _plain_address(found.group()), text)
    return _OUR_PATHS.sub(rf"\g<1>{REDACTED}", text) if "/" in text else text


def _plain_address(address: str) -> str:
    scheme, _, rest = address.partition("://")
    place, asked, _ = rest.partition("?")
    host, slash, path = place.partition("/")
    if "@" in host:
        host = f"{REDACTED}@{host.rpartition('@')[2]}"
    return f"{scheme}://{host}{slash}{path}{f'?{REDACTED}' if asked else ''}"
