"""People at this machine, whom a link of `desk.local_links` signs in. They are known until this process ends."""

from __future__ import annotations

import secrets
import time
from ipaddress import ip_address

from pydantic import SecretStr
from starlette.requests import Request

from desk.actors import Actor
from desk.local_links import LINK_SECONDS, BadKeyError, check, is_local
from desk.people import SIGN_IN_SECONDS, TOKEN_BYTES, digest_of
from models.people import Role
from web.peers import peer_of
from workers.cache import Cache
from workers.config.settings import Settings

MOST = 100  # browsers of one machine that are signed in; the one that was used least recently makes room
SPENT = 4096  # keys that were used lately: only programs with the secret key can make others


class Here:
    """Takes each key once, from connections of this machine, at the address that the key is for.

    Args:
        settings: have the secret key; without one, no link is good.
    """

    def __init__(self, settings: Settings) -> None:
        self._secret_key = settings.secret_key or SecretStr(secrets.token_hex())
        #: What was spent before is not known: keys of earlier are worth nothing.
        self._since = time.time_ns() // 1_000_000
        self._spent: Cache[str, bool] = Cache(SPENT, 2 * LINK_SECONDS)
        self._signed_in: Cache[str, Actor] = Cache(MOST, SIGN_IN_SECONDS)

    def is_here(self, request: Request) -> bool:
        """Whether a request comes from this machine, to an address that only this machine has."""
        return _is_own(peer_of(request.scope)) and is_local(request.headers.get("host", ""))

    def take(self, request: Request, key: str) -> Actor | None:
        """Who may enter by a key, which is worth nothing from now on; None if it is worth nothing already."""
        if not self.is_here(request):
            return None
        try:
            found = check(self._secret_key, request.headers["host"], key)
        except BadKeyError:
            return None
        if found.made_at < self._since or found.nonce in self._spent:
            return None
        self._spent.put(found.nonce, True)
        # Who reads the secret key may do everything, by commands.
        return Actor(found.name, Role.OPERATOR)

    def sign_in(self, actor: Actor) -> str:
        """The value of a cookie for this person."""
        token = secrets.token_urlsafe(TOKEN_BYTES)
        self._signed_in.put(digest_of(token), actor)
        return token

    def who(self, token: str) -> Actor | None:
        """Who is signed in with this cookie."""
        return self._signed_in.get(digest_of(token))

    def sign_out(self, token: str) -> None:
        """Let a cookie open nothing any more."""
        self._signed_in.drop(digest_of(token))


def _is_own(peer: str | None) -> bool:
    """Whether a connection comes from this machine."""
    try:
        address = ip_address((peer or "").partition("%")[0])
    except ValueError:
        return False
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback
