"""Encryption of what the database must not contain in plain text, with a key derived from the secret key per use."""

from __future__ import annotations

import base64

from cryptography.fernet import Fernet
from pydantic import SecretStr

from workers.http.keys import derived


def box(secret_key: SecretStr, use: str) -> Fernet:
    """Encrypts and decrypts for `use`; what was sealed for one use does not open for another."""
    return Fernet(base64.urlsafe_b64encode(derived(secret_key, use)))
