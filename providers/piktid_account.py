"""An account at PiktID: its settings, and its session, which every worker shares.

From PiktID's pages "Authentication" and "Tokens refresh": both tokens live for 30 days, and a refresh token is for one
use; a second use is treated as an attack and revokes every token of the user. The profile page shows a pair of tokens
for accounts that have no password (single sign-on), which PiktID's own client takes too.
"""

from __future__ import annotations

import json
from hashlib import sha256
from http import HTTPStatus
from typing import Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from providers.answers import read
from providers.http import BasicAuth, Request
from providers.outcomes import Credentials
from providers.piktid_answers import Tokens, message_of
from providers.protocol import Endpoint, NotSentError, Reply
from providers.replies import BAD_CREDENTIALS, settings_of
from providers.sessions import Renewal
from providers.tokens import TokenAdapter, refused_login

_JSON: Final = {"Content-Type": "application/json"}
_SPENT: Final = (
    "the tokens can be renewed no more: a renewal of them was refused or interrupted. Copy a new pair from PiktID's "
    "profile page to access_token and refresh_token, or set email and password"
)


class PiktidSettings(BaseModel):
    """An account at PiktID: its login or tokens, and what the pages and PiktID's own clients spell in two ways."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    email: str | None = Field(default=None, min_length=3)
    password: SecretStr | None = Field(default=None, min_length=1)
    #: The pair of tokens from the profile page, in place of email and password. What follows on it is kept in the
    #: shared session, because its refresh token is for one use.
    access_token: SecretStr | None = Field(default=None, min_length=1)
    refresh_token: SecretStr | None = Field(default=None, min_length=1)
    #: v2 is "only for enterprise customers"; ``/consistent_identities/generate`` takes the same body.
    generate_path: str = Field(default="/consistent_identities/generate/v2", pattern="^/")
    read_path: str = Field(default="/consistent_identities/notification/read", pattern="^/")
    delete_path: str = Field(default="/notification/delete_json", pattern="^/")
    history_path: str = Field(default="/history", pattern="^/")
    image_path: str = Field(default="/images_by_id/v2", pattern="^/")
    #: The multipart field of a face: PiktID's two example repositories differ.
    face_field: Literal["file", "face"] = "file"
    #: Which events carry a final picture, the better one first: the client waits for one, the page for the other.
    result_events: tuple[str, ...] = Field(default=("download", "swap"), min_length=1)
    #: Seconds after which an attempt without an event is looked up: twice the usual time of a swap. By then its event
    #: was lost, or it has failed, and an `error` event names nobody.
    history_after: float = Field(default=60.0, ge=0)

    @model_validator(mode="after")
    def _one_credential(self) -> Self:
        login = [self.email is not None, self.password is not None]
        tokens = [self.access_token is not None, self.refresh_token is not None]
        if not (all(login) and not any(tokens)) and not (all(tokens) and not any(login)):
            raise ValueError("set either email and password, or access_token and refresh_token")
        return self

    @property
    def pair(self) -> Tokens | None:
        """The pair of tokens from the profile page, marked as such."""
        if self.access_token is None or self.refresh_token is None:
            return None
        access, refresh = self.access_token.get_secret_value(), self.refresh_token.get_secret_value()
        return Tokens(access, refresh, origin=sha256(refresh.encode()).hexdigest()[:16])


class PiktidAccount(TokenAdapter):
    """Sends requests with the access token of the account's session."""

    def __init__(self, endpoint: Endpoint) -> None:
        super().__init__(endpoint)
        self.settings = settings_of(endpoint, PiktidSettings)

    async def token(self, *, rejected: str | None) -> str | Reply:
        """The access token of the shared session, renewed by one worker when it was rejected."""
        current = self._session(await self.endpoint.sessions.load())
        if current and current.access != rejected:
            return current.access
        async with self.endpoint.sessions.renewal() as renewal:
            current = self._session(renewal.session)
            if current and current.access != rejected:
                return current.access  # another worker was faster
            renewed = await self._refreshed(renewal, current) if current else None
            fresh = renewed or await self._logged_in()
            if isinstance(fresh, Reply):
                return refused_login(fresh)
            await renewal.save(fresh.dump())
            return fresh.access

    def _session(self, stored: bytes | None) -> Tokens | None:
        """The tokens in use: those that were saved last, unless the account was given other ones since."""
        tokens, pair = Tokens.load(stored), self.settings.pair
        origin = pair.origin if pair else ""
        return tokens if tokens and tokens.origin == origin else pair

    async def _refreshed(self, renewal: Renewal, current: Tokens) -> Tokens | None:
        """What PiktID gives for the tokens; None if their refresh token may be spent, or is not taken."""
        known = Tokens.load(renewal.session) == current
        if known and renewal.interrupted:
            return None
        if not known:
            await renewal.save(current.dump())  # so that a mark without a session after it is a mark on this pair
        await renewal.begin()
        request = Request("PUT", f"{self.endpoint.base_url}/tokens", content=current.sent(), headers=_JSON)
        try:
            reply = await self.ask(request)
        except NotSentError:
            await renewal.save(current.dump())  # not spent
            raise
        return Tokens.load(reply.body, origin=current.origin)

    async def _logged_in(self) -> Tokens | Reply:
        if self.settings.pair is not None:
            return Reply(HTTPStatus.UNAUTHORIZED, {}, json.dumps({"message": _SPENT}).encode())
        reply = await self.ask(self._login())
        return (Tokens.load(reply.body) if reply.ok else None) or reply

    async def check(self) -> Credentials:
        """Log in, with a session that is thrown away; or ask a question that is free, with the account's tokens."""
        if self.settings.pair is None:
            what, reply = "email and password", await self.ask(self._login())
            good = reply.ok and Tokens.load(reply.body) is not None
        else:
            url = self.endpoint.base_url + self.settings.history_path
            body = {"id_image": "", "app": "swap"}
            what, reply = (
                "the tokens",
                await self.call(lambda token: Request("POST", url, headers=bearer(token), json=body)),
            )
            # The page answers 405 to an image that is not there, and 401 to a token that it refuses.
            good = reply.ok or reply.status in {HTTPStatus.BAD_REQUEST, HTTPStatus.METHOD_NOT_ALLOWED}
        message = f"HTTP {reply.status}, {message_of(read(reply.body))}"
        if good:
            return Credentials(ok=True, message=f"PiktID accepted {what}")
        if reply.status in BAD_CREDENTIALS:
            return Credentials(ok=False, message=f"PiktID refused {what}: {message}")
        return Credentials(ok=None, message=f"PiktID's answer does not show whether {what} are valid: {message}")

    def _login(self) -> Request:
        password = self.settings.password.get_secret_value() if self.settings.password else ""
        login = BasicAuth(self.settings.email or "", password)
        return next(login.auth_flow(Request("POST", f"{self.endpoint.base_url}/tokens")))


def bearer(token: str) -> dict[str, str]:
    """The header that carries a token."""
    return {"Authorization": f"Bearer {token}"}
