"""Single sign-on: people whom a trusted proxy has signed in, named in a header of its requests.

Anybody can send such a header. So it is believed only of a connection that comes from a trusted proxy's own address,
whatever other headers say, and is ignored otherwise.
"""

from __future__ import annotations

import hmac
import secrets
from ipaddress import ip_address, ip_network

from pydantic import SecretStr
from starlette.requests import Request

from desk import people
from desk.actors import ForbiddenError
from desk.people import MAX_NAME_CHARS
from models.people import Role
from recast.values import unseen
from web.pages import Pages, is_text
from web.peers import peer_of
from web.visitors import Visitor
from workers.config.settings import Settings
from workers.http.keys import derived


class Proxied:
    """Knows who is signed in at a proxy.

    Args:
        settings: name the header, the role of people without a row, and the proxies.
        pages: reads the database.
    """

    def __init__(self, settings: Settings, pages: Pages) -> None:
        self._pages, self._header = pages, settings.web_proxy_user
        self._otherwise = None if settings.web_proxy_role is None else Role(settings.web_proxy_role)
        self._trusted = [ip_network(each) for each in settings.trusted_proxies]
        # Without the deployment's key, forms that were loaded before a restart are loaded again.
        self._key = derived(settings.secret_key or SecretStr(secrets.token_hex()), "proxy")

    async def visitor(self, request: Request) -> Visitor | None:
        """Whom the proxy names; None where there is no such header, or it is not to be believed.

        Raises:
            ForbiddenError: it names several, nobody that can be, or a person who may not.
        """
        if self._header is None or not self._is_trusted(peer_of(request.scope)):
            return None
        names = request.headers.getlist(self._header)
        if not names or names == [""]:
            return None
        name = _readable(names[0])
        if len(names) > 1 or not 0 < len(name) <= MAX_NAME_CHARS or unseen(name) or not is_text(name):
            raise ForbiddenError(f"the proxy's header {self._header} does not name one person")
        actor = await self._pages.read(people.known, name, self._otherwise)
        return Visitor(actor, hmac.digest(self._key, actor.name.encode(), "sha256").hex())

    def _is_trusted(self, peer: str | None) -> bool:
        try:
            address = ip_address((peer or "").partition("%")[0])
        except ValueError:
            return False
        plain = getattr(address, "ipv4_mapped", None) or address
        return any(plain in network for network in self._trusted)


def _readable(header: str) -> str:
    """A header's text, which proxies send as UTF-8 and HTTP hands on as Latin-1."""
    try:
        return " ".join(header.encode("latin-1").decode().split())
    except UnicodeError:
        return ""
