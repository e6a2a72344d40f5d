"""Callbacks: where providers report that a job is done.

A callback's content is not trusted: it only makes the poll due now. If the provider signs its callbacks and the account
has the key, the signature must also be valid; a forged or old callback changes nothing. Nothing is read of a request
whose token nobody has.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from threading import Lock

import structlog
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session
from starlette.background import BackgroundTask
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from models.states import AttemptState
from models.transactions import Database
from providers import http
from providers.protocol import MAX_ANSWER_BYTES, Endpoint, NotSentError, Provider, Reply
from web.guesses import GuessLimiter
from web.together import Together
from workers.config.account_values import AccountsError
from workers.config.accounts import Account, load
from workers.engine.wake import poll_pump, wake
from workers.http.redaction import Redactor
from workers.http.urls import CallbackTokens, digest

MAX_BODY_BYTES = 256 * 1024  # a callback is a few KiB; a longer one is refused, and the attempt polled as usual
BODY_SECONDS = 15.0  # for all of it, which fits in a few packets
BODIES_KEPT = 16  # of one token: the provider's events, each repeated some times; further ones make the poll due, too
LENGTH_DIGITS = 18  # of the length of a body; a longer number is costly to read
SIGNING = ("webhook_secret",)  # the secrets of accounts that web needs: those that verify callbacks
_TOKEN = re.compile(r"[\w-]{1,64}", re.ASCII)  # as `secrets.token_urlsafe` makes them

#: Zhiqite requires a body whose code is 200, HiDream an HTTP 200 within five seconds: this is both.
TAKEN = {"code": "200", "msg": "success"}

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Told:
    """A callback to keep: its token's digest, and its redacted body."""

    token: str
    body: bytes


# Bodies help to find a submission whose answer was lost, so none is kept of an attempt that has ended.
_KEEP = text("""
    INSERT INTO callbacks (token, body)
    SELECT token, body FROM (
        SELECT *, row_number() OVER (PARTITION BY token ORDER BY place) AS nth
        FROM unnest(cast(:tokens AS text[]), cast(:bodies AS bytea[])) WITH ORDINALITY AS given (token, body, place)
    ) told
    WHERE EXISTS (
        SELECT 1 FROM attempts a
        WHERE a.callback_token = told.token AND a.state IN ('sending', 'running', 'unknown', 'expired'))
        AND nth + (SELECT count(*) FROM callbacks c WHERE c.token = told.token) <= :most
    ORDER BY place
""")
# A callback can overtake the answer to the submission, so `sending` attempts record it too, without a poll.
_MARK = text("""
    UPDATE attempts SET callback_at = clock_timestamp(),
        next_poll_at = CASE WHEN state = 'sending' THEN next_poll_at ELSE clock_timestamp() END
    WHERE id IN (
        SELECT id FROM attempts
        WHERE callback_token = ANY(:tokens) AND state IN ('sending', 'running', 'unknown', 'expired')
        ORDER BY id FOR UPDATE
    )
    RETURNING callback_token, state
""")
_ACCOUNTS = text("SELECT callback_token, account FROM attempts WHERE callback_token = ANY(:tokens)")


class Callbacks:
    """Answers ``POST /callbacks/<token>``; a token is a secret, like a password, and belongs to one attempt.

    Args:
        database: where bodies are stored and polls become due.
        tokens: recognizes the tokens that this deployment makes. All others, which may be older, are looked up as
            slowly as secrets are guessed, and none of the former waits for them.
        accounts_file: read for the keys that verify signatures.
        public_url: the prefix of our links; their secret parts are redacted if a body repeats them.
    """

    def __init__(
        self, database: Database, accounts_file: Path, tokens: CallbackTokens, public_url: str | None = None
    ) -> None:
        self._database, self._tokens, self._guesses = database, tokens, GuessLimiter()
        self._redactor = Redactor(public_url=public_url)
        self._verifiers = Verifiers(accounts_file)
        self._looks, self._taken, self._wakes = Together(self._accounts), Together(self._keep), Together(self._wake)

    async def take(self, request: Request) -> Response:
        """Store the redacted body and make the attempt's poll due.

        401 for a body without the provider's signature, 404 for an unknown token, 408 for a body that does not come,
        413 for one that is too long, 503 if the database or the accounts file cannot be read.
        """
        try:
            return await self._answer(request)
        except ClientDisconnect:
            return Response(status_code=HTTPStatus.BAD_REQUEST)
        except (SQLAlchemyError, AccountsError) as error:
            # The provider tries again; if it does not, the attempt is polled as usual.
            log.warning(
                "callback_not_kept", error=str(error) if isinstance(error, AccountsError) else type(error).__name__
            )
            return Response(status_code=HTTPStatus.SERVICE_UNAVAILABLE)

    async def _answer(self, request: Request) -> Response:
        token = request.path_params["token"]
        account = await self._account_of(request, token) if _TOKEN.fullmatch(token) else None
        if account is None:
            return Response(status_code=HTTPStatus.NOT_FOUND)
        known_as = digest(token)
        try:
            async with asyncio.timeout(BODY_SECONDS):
                body = await _body(request)
        except TimeoutError:
            return Response(status_code=HTTPStatus.REQUEST_TIMEOUT)
        if body is None:
            return Response(status_code=HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        if self._verifiers.of(account).verify_callback(dict(request.headers), body, now=time.time()) is False:
            log.warning("callback_forged", account=account)
            return Response(status_code=HTTPStatus.UNAUTHORIZED)
        due = await self._taken.ask(_Told(known_as, self._redactor.body(body)))
        return JSONResponse(TAKEN, background=BackgroundTask(self._wakes.ask, account) if due else None)

    async def _account_of(self, request: Request, token: str) -> str | None:
        known_as = digest(token)

        async def look() -> str | None:
            return await self._looks.ask(known_as)

        return await (look() if self._tokens.is_own(token) else self._guesses.find(request, token, look))

    def _keep(self, told: Sequence[_Told]) -> list[bool]:
        due = self._database.db(_keep, told)
        return [each.token in due for each in told]

    def _wake(self, accounts: Sequence[str]) -> list[None]:
        # After the answer, which a provider may wait for no longer than a broker that is away is tried.
        try:
            wake(self._database, *map(poll_pump, sorted(set(accounts))))
        except SQLAlchemyError as error:
            log.warning("not_woken", error=type(error).__name__)  # the sweep finds what is due
        return [None] * len(accounts)

    def _accounts(self, tokens: Sequence[str]) -> list[str | None]:
        found = self._database.db(_accounts, tokens)
        return [found.get(token) for token in tokens]


async def _body(request: Request) -> bytes | None:
    """A request's body; None for one that is too long, of which no more is read than shows it."""
    if _announced(request.headers.get("content-length", "")) > MAX_BODY_BYTES:
        return None
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            return None
    return bytes(body)


def _announced(length: str) -> int:
    """The length that a request's headers announce."""
    if not (length.isascii() and length.isdigit()):
        return 0
    return int(length) if len(length) <= LENGTH_DIGITS else MAX_BODY_BYTES + 1


def _keep(session: Session, told: Sequence[_Told]) -> set[str]:
    """Store bodies for which there is room; returns the tokens whose attempts are due for a poll now."""
    tokens = [each.token for each in told]
    session.execute(_KEEP, {"tokens": tokens, "bodies": [each.body for each in told], "most": BODIES_KEPT})
    marked = session.execute(_MARK, {"tokens": tokens})
    return {row.callback_token for row in marked if row.state != AttemptState.SENDING}


def _accounts(session: Session, tokens: Sequence[str]) -> dict[str, str]:
    return {row.callback_token: row.account for row in session.execute(_ACCOUNTS, {"tokens": list(tokens)})}


class Verifiers:
    """The accounts' adapters, used only to verify signatures; safe to use from several threads.

    The file is read at once, because its adapters are loaded with it, which takes seconds on a busy machine. One that
    cannot be used then is read again for each callback.
    """

    def __init__(self, accounts_file: Path) -> None:
        self._path = accounts_file
        self._accounts: Mapping[str, Account] | None = None
        self._lock = Lock()
        with suppress(AccountsError):
            self._read()

    def of(self, name: str) -> Provider:
        """The adapter of the account `name`.

        Raises:
            AccountsError: the accounts file cannot be used, or no longer has the account.
        """
        account = self._read().get(name)
        if account is None:
            raise AccountsError(f"account {name!r} is not in {self._path}")
        return account.adapter(Endpoint(name, account.base_url, _NoHttp(), account.own))  # type: ignore[call-arg]

    def _read(self) -> Mapping[str, Account]:
        with self._lock:
            if self._accounts is None:
                self._accounts = load(self._path, needed=SIGNING)
            return self._accounts


class _NoHttp:
    """An HTTP client that sends nothing: verifying a signature needs no request."""

    async def send(
        self,
        request: http.Request,
        *,
        timeout: float,  # noqa: ASYNC109 - part of the protocol: it runs from the hand-over, not from the call
        write_before: float | None = None,
        max_bytes: int = MAX_ANSWER_BYTES,
    ) -> Reply:
        """Reject every request."""
        del timeout, write_before, max_bytes
        raise NotSentError(f"the web process sends no requests to {request.url.host}")
