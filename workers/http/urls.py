"""Our own addresses for providers: media links, and callbacks with a token for one attempt each."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets

from pydantic import SecretStr

from workers.http.keys import derived

CALLBACKS = "/callbacks"
MEDIA = "/media"
TOKEN_BYTES = 24
TAG_BYTES = 12  # of a token's authentication: one guess in 2^96 is right, and all it gains is a look at the database


class CallbackTokens:
    """Makes the tokens of callbacks, and recognizes them without a look at the database.

    A token is random, and ends with an HMAC of the rest. Tokens of earlier versions are only random, and those of
    another secret key have another HMAC: these may be good all the same.
    """

    def __init__(self, secret_key: SecretStr) -> None:
        self._key = derived(secret_key, "callbacks")

    def new(self) -> str:
        """A token that nobody can guess."""
        start = secrets.token_urlsafe(TOKEN_BYTES)
        return start + self._tag(start)

    def new_address(self, public_url: str) -> tuple[str, str]:
        """An address with a new token, and the digest with which its attempt is found again."""
        token = self.new()
        return f"{public_url}{CALLBACKS}/{token}", digest(token)

    def is_own(self, token: str) -> bool:
        """Whether `token` was made with this secret key."""
        start, tag = token[:-_TAG_CHARS], token[-_TAG_CHARS:]
        return hmac.compare_digest(self._tag(start).encode(), tag.encode(errors="replace"))

    def _tag(self, start: str) -> str:
        made = hmac.digest(self._key, start.encode(errors="replace"), "sha256")[:TAG_BYTES]
        return base64.urlsafe_b64encode(made).decode()


_TAG_CHARS = TAG_BYTES * 4 // 3  # in base64, which needs no padding for twelve bytes


def digest(token: str) -> str:
    """What the database knows of `token`; it is random, so no salt is needed."""
    return hashlib.sha256(token.encode()).hexdigest()
