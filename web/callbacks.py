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
from http import HTTPStatus
from pathlib import Path
from threading import Lock

import structlog
from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from models.transactions import Database
from providers import http
from providers.protocol import MAX_ANSWER_BYTES, Endpoint, NotSentError, Provider, Reply
from web.guesses import GuessLimiter
from web.together import Together
from web.wakes import Wakes
from workers.config.account_values import AccountsError
from workers.config.accounts import Account, load
from workers.engine.callbacks import CallbackBody, accounts_of, keep
from workers.http.redaction import Redactor
from workers.http.urls import CallbackTokens, digest

MAX_BODY_BYTES = 256 * 1024  # a callback is a few KiB; a longer one is refused, and the attempt polled as usual
BODY_SECONDS = 15.0  # for all of it, which fits in a few packets
ANSWER_SECONDS = 4.0  # for a look, and for what is kept: HiDream waits for five
LOCKED_SECONDS = 0.1  # until a callback is kept whose attempt was locked: locks last for milliseconds
LENGTH_DIGITS = 18  # of the length of a body; a longer number is costly to read
SIGNING = ("webhook_secret",)  # the secrets of accounts that web needs: those that verify callbacks
_TOKEN = re.compile(r"[\w-]{1,64}", re.ASCII)  # as `secrets.token_urlsafe` makes them

#: Zhiqite requires a body whose code is 200, HiDream an HTTP 200 within five seconds: this is both.
TAKEN = {"code": "200", "msg": "success"}

log = structlog.get_logger()


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
        self._looks, self._taken = Together(self._accounts), Together(self._keep)
        self._wakes = Wakes(database)

    async def close(self) -> None:
        """Wait until the pumps that have work are woken."""
        await self._wakes.close()

    async def take(self, request: Request) -> Response:
        """Store the redacted body and make the attempt's poll due.

        401 for a body without the provider's signature, 404 for an unknown token, 408 for a body that does not come,
        413 for one that is too long, 503 if the database is away or busy, or the accounts file cannot be read.
        """
        try:
            return await self._answer(request)
        except ClientDisconnect:
            return Response(status_code=HTTPStatus.BAD_REQUEST)
        except (SQLAlchemyError, AccountsError, TimeoutError) as error:
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
        told = await run_in_threadpool(self._verified, account, known_as, dict(request.headers), body)
        if told is None:
            return Response(status_code=HTTPStatus.UNAUTHORIZED)
        if await self._kept(told):
            self._wakes.soon(account)
        return JSONResponse(TAKEN)

    def _verified(self, account: str, token: str, headers: Mapping[str, str], body: bytes) -> CallbackBody | None:
        """What to keep; None if it lacks the provider's signature."""
        if self._verifiers.of(account).verify_callback(headers, body, now=time.time()) is False:
            log.warning("callback_forged", account=account)
            return None
        return CallbackBody(token, self._redactor.body(body))

    async def _account_of(self, request: Request, token: str) -> str | None:
        known_as = digest(token)

        async def look() -> str | None:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await self._looks.ask(known_as)

        return await (look() if self._tokens.is_own(token) else self._guesses.find(request, token, look))

    def _keep(self, told: Sequence[CallbackBody]) -> list[bool | None]:
        """Whether each has made an attempt due; None for one that is not kept, as its attempt is locked."""
        kept = self._database.db(keep, told)
        return [None if each.token in kept.locked else each.token in kept.due for each in told]

    async def _kept(self, told: CallbackBody) -> bool:
        """Whether it has made its attempt due, once it is kept."""
        async with asyncio.timeout(ANSWER_SECONDS):
            while (due := await self._taken.ask(told)) is None:  # noqa: ASYNC110 - the lock is the database's
                await asyncio.sleep(LOCKED_SECONDS)
            return due

    def _accounts(self, tokens: Sequence[str]) -> list[str | None]:
        found = self._database.db(accounts_of, tokens)
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
