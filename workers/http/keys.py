"""Keys for single uses, derived from the deployment's secret key: what fits one use fits no other."""

from __future__ import annotations

import hashlib

from pydantic import SecretStr


def derived(secret_key: SecretStr, use: str) -> bytes:
    """The 32 bytes of the key for `use`."""
    return hashlib.sha256(f"{use}:{secret_key.get_secret_value()}".encode()).digest()
