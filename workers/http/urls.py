"""Our own addresses for providers: media links, and callbacks with a token for one attempt each."""

from __future__ import annotations

import hashlib
import secrets

CALLBACKS = "/callbacks"
MEDIA = "/media"
TOKEN_BYTES = 24


def new_address(public_url: str) -> tuple[str, str]:
    """An unguessable address, and the digest with which its attempt is found again."""
    token = secrets.token_urlsafe(TOKEN_BYTES)
    return f"{public_url}{CALLBACKS}/{token}", digest(token)


def digest(token: str) -> str:
    """What the database knows of `token`; it is random, so no salt is needed."""
    return hashlib.sha256(token.encode()).hexdigest()
