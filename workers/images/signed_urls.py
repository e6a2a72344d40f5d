"""Signed, expiring links to pictures in our storage, for providers that fetch their inputs by URL.

A link is ``PUBLIC_URL/media/<expires>/<signature>/<key>``: anyone who has it may read that one file until then.
"""

from __future__ import annotations

import base64
import hmac
import time

from workers.config.settings import Settings, SettingsError
from workers.http.keys import derived
from workers.http.urls import MEDIA

EXPIRES_DIGITS = 12  # of a Unix time in seconds; a longer number is not a time, and costly to parse


class BadLinkError(Exception):
    """A media link is forged or has expired."""


class MediaSigner:
    """Makes and checks media links with the deployment's secret key."""

    def __init__(self, settings: Settings) -> None:
        if settings.secret_key is None:
            raise SettingsError(
                "RECAST_SECRET_KEY is not set; media links are signed with it: set 32 random characters"
            )
        self._key = derived(settings.secret_key, "media")
        self._base = settings.public_url or ""

    def link(self, key: str, seconds: int) -> str:
        """The public URL of the file `key` for the next `seconds`."""
        expires = int(time.time()) + seconds
        return f"{self._base}{MEDIA}/{expires}/{self._sign(expires, key)}/{key}"

    def check(self, expires: str, signature: str, key: str) -> None:
        """Let a link pass.

        Raises:
            BadLinkError: it is forged or has expired.
        """
        if not expires.isascii() or not expires.isdigit() or len(expires) > EXPIRES_DIGITS:
            raise BadLinkError("malformed")
        if not hmac.compare_digest(self._sign(int(expires), key).encode(), signature.encode()):
            raise BadLinkError("the signature does not match")
        if int(expires) < time.time():
            raise BadLinkError("the link has expired")

    def _sign(self, expires: int, key: str) -> str:
        digest = hmac.digest(self._key, f"{expires}/{key}".encode(), "sha256")
        return base64.urlsafe_b64encode(digest[:24]).decode()
