"""Passwords of people, kept as Argon2id in the PHC form, which names its own parameters."""

from __future__ import annotations

import os
import threading

from cryptography.exceptions import InvalidKey
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

MIN_CHARS = 12  # as for the other passwords that anybody may guess, some times a second
MAX_CHARS = 1_000  # a longer one is a file
SALT_BYTES = 16  # RFC 9106
HASH_BYTES = 32  # RFC 9106
MEMORY_KIB = 19 * 1024  # with the passes: OWASP's first choice (password storage cheat sheet)
PASSES = 2  # over the memory
AT_A_TIME = 4  # compared side by side, so that guesses do not take the memory of the pages

_turns = threading.BoundedSemaphore(AT_A_TIME)


class PasswordError(ValueError):
    """The password is not one that can be used."""


def hashed(password: str) -> str:
    """What is kept of a password.

    Raises:
        PasswordError: it is too short or too long.
    """
    if not MIN_CHARS <= len(password) <= MAX_CHARS:
        raise PasswordError(
            f"the password has {len(password):,} characters; allowed: {MIN_CHARS} to {MAX_CHARS:,}, of any kind"
        )
    kdf = Argon2id(salt=os.urandom(SALT_BYTES), length=HASH_BYTES, iterations=PASSES, lanes=1, memory_cost=MEMORY_KIB)
    with _turns:
        return kdf.derive_phc_encoded(password.encode(errors="surrogatepass"))


def fits(password: str, kept: str | None) -> bool:
    """Whether `password` is the one that `kept` was made of; with None it takes as long, and is never."""
    given = password[: MAX_CHARS + 1].encode(errors="surrogatepass")
    with _turns:
        try:
            Argon2id.verify_phc_encoded(given, kept or _NOBODYS)
        except (InvalidKey, ValueError):
            return False
    return kept is not None


#: Compared with where there is no such person, so that the time tells nobody who is one. Nothing fits it.
_NOBODYS = f"$argon2id$v=19$m={MEMORY_KIB},t={PASSES},p=1$AAAAAAAAAAAAAAAAAAAAAA$" + "A" * 43
