"""The API as an ASGI application: who asks, what they may, what they send, and the answer in JSON.

Only tokens open it, never cookies, so no other site can send a request in a person's name.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from http import HTTPStatus
from typing import Any, get_args, get_origin

import structlog
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from desk import replays, tokens
from desk.replays import MAX_KEY_CHARS, Answer
from desk.tokens import Program
from desk.verdicts import UnknownPictureError
from recast.hints import hint
from reports.written import written
from web import streams
from web.api.bodies import Body, digest_of, read_body
from web.api.endpoints import NO_PICTURE, Call, Endpoint, Service, result_of, seen_by
from web.api.feed import Feed
from web.api.mistyped import of_json, of_query
from web.api.openapi import text
from web.api.problems import ProblemError, of_path, problem_of, unprocessable
from web.api.table import BASE, ENDPOINTS
from web.guesses import GuessLimiter
from web.input_thumbnails import NoPictureError
from web.news import News
from web.pages import is_text, number
from web.prefix import prefix
from web.result_files import ResultFiles
from workers.images.storage import StorageError

WRONG_SECONDS = 0.3  # before a wrong token is rejected: slow for guessing, unnoticed after a mistake
HEAVY = 4  # catalogs that are read side by side, so that the pages have threads and connections left
DEFECT = f"this is a defect of Recast; the log of {hint('web')} has it"

log = structlog.get_logger()


class Api:
    """Answers everything below ``/api/v1``.

    Args:
        service: what endpoints work with.
        files: serves the files of results.
        guesses: where wrong tokens make others wait.
        news: what programs can listen to.
    """

    def __init__(self, service: Service, files: ResultFiles, guesses: GuessLimiter, news: News) -> None:
        self.service, self._files, self._guesses = service, files, guesses
        self._heavy = asyncio.Semaphore(HEAVY)
        self._feed = Feed(news, service.currency)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        request = Request(scope, receive)
        try:
            response = await self._answered(request)
        except ClientDisconnect:
            response = Response(status_code=HTTPStatus.BAD_REQUEST)
        except Exception as error:  # noqa: BLE001 - what is not expected is a problem too, and logged
            response = as_problem(error).response()
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers.setdefault("Cache-Control", "no-store")
        await response(scope, receive, send)

    async def _answered(self, request: Request) -> Response:
        path = request.url.path.removeprefix(prefix(request)).removeprefix(BASE)
        if path == "/openapi.json" and request.method in {"GET", "HEAD"}:
            return Response(text(prefix(request)), media_type="application/json")
        program = await self.program(request)
        endpoint, parameters = _endpoint(request.method, path)
        program.actor.need(endpoint.role, endpoint.summary[0].lower() + endpoint.summary[1:])
        query = _query(request, endpoint)
        call = Call(program.actor, program.token_id, parameters, query)
        if endpoint.stream:
            return await self._listening(request, call)
        if endpoint.answer is None:
            with of_path(call.path):
                return await self._picture(call, with_body=request.method != "HEAD")
        if endpoint.body is None:
            return await self._done(endpoint, call)
        body = await read_body(request, endpoint.most, multipart=endpoint.upload is not None)
        key = _key(request) if endpoint.method == "POST" else None
        make = partial(_with_body, call, endpoint, body)
        if key is None:
            return await self._done(endpoint, make())
        digest = digest_of(request.method, path, request.query_params, body)
        return await self._once(program, key, digest, endpoint, make)

    async def _listening(self, request: Request, call: Call) -> Response:
        last = request.headers.get("last-event-id")
        after = None if last is None else number(last)
        if last is not None and after is None:
            raise unprocessable("Last-Event-ID: it is not an id of an event", "Last-Event-ID", last, "1 to 18 digits")
        told = await self._feed.listen(call.actor, call.query.batch, after, streams.LONGEST_SECONDS)
        return streams.EventStream(told, partial(self._feed.leave, told))

    async def _picture(self, call: Call, *, with_body: bool) -> Response:
        try:
            found = await self._files.answer(call.actor, result_of(call), call.query.which, with_body=with_body)
        except NoPictureError as error:
            raise ProblemError(HTTPStatus.NOT_FOUND, error.said_to(call.actor)) from error
        except StorageError as error:
            # What it says of the place is not for everybody who may see the picture.
            raise ProblemError(
                HTTPStatus.SERVICE_UNAVAILABLE, "the storage does not answer; try again in a moment",
                headers={"Retry-After": "5"},
            ) from error  # fmt: skip
        if found is None:
            raise UnknownPictureError(NO_PICTURE)
        return found

    async def _once(
        self, program: Program, key: str, digest: str, endpoint: Endpoint, make: Callable[[], Call]
    ) -> Response:
        """The answer to a request with an Idempotency-Key: made once, and given again."""
        db = self.service.runtime.db
        kept = await run_in_threadpool(db, replays.begin, program.token_id, key, digest)
        if kept is not None:
            return _replayed(kept)
        try:
            response = await self._done(endpoint, replace(make(), once=f"{key} {digest}"))
        except Exception as error:  # noqa: BLE001 - kept if it is the request's fault
            response = as_problem(error).response()
        if response.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
            await run_in_threadpool(db, replays.drop, program.token_id, key)
        else:
            answer = Answer(response.status_code, {"type": response.media_type, "text": bytes(response.body).decode()})
            await run_in_threadpool(db, replays.keep, program.token_id, key, answer)
        return response

    async def _done(self, endpoint: Endpoint, call: Call) -> Response:
        with of_path(call.path):
            if endpoint.heavy:
                async with self._heavy:
                    made = await run_in_threadpool(endpoint.work, self.service, call)
            else:
                made = await run_in_threadpool(endpoint.work, self.service, call)
        return _json(seen_by(call.actor, made), endpoint.status)

    async def program(self, request: Request) -> Program:
        """Who asks.

        Raises:
            ProblemError: the request has no token that is known.
        """
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        given = token.strip() if scheme.lower() == "bearer" else ""
        if given:
            look = partial(run_in_threadpool, self.service.runtime.db, tokens.who, given)
            found = await self._guesses.find(request, given, look)
            if found is not None:
                return found
            await asyncio.sleep(WRONG_SECONDS)
        raise ProblemError(
            HTTPStatus.UNAUTHORIZED,
            "Authorization: send `Bearer` and a token that was not revoked; an operator adds one with "
            f"{hint('tokens add', 'NAME')}",
            "Authorization", headers={"WWW-Authenticate": 'Bearer realm="Recast"'},
        )  # fmt: skip


def _endpoint(method: str, path: str) -> tuple[Endpoint, dict[str, str]]:
    """The endpoint for a path and a method, with the path's parameters.

    Raises:
        ProblemError: there is no such path, or not with this method.
    """
    wanted = "GET" if method == "HEAD" else method
    fitting = [(each, found) for each in ENDPOINTS if (found := each.pattern.fullmatch(path)) is not None]
    for endpoint, found in fitting:
        if endpoint.method == wanted:
            if not all(map(is_text, found.groupdict().values())):
                break
            return endpoint, found.groupdict()
    methods = sorted({endpoint.method for endpoint, _ in fitting})
    if methods and wanted not in methods:
        allowed = ", ".join(methods)
        raise ProblemError(
            HTTPStatus.METHOD_NOT_ALLOWED, f"method: {method[:20]} is not possible here; allowed: {allowed}", "method",
            method, allowed, headers={"Allow": allowed},
        )  # fmt: skip
    raise ProblemError(
        HTTPStatus.NOT_FOUND, f"there is nothing here; {BASE}/openapi.json lists all paths", "path", path
    )


def _query(request: Request, endpoint: Endpoint) -> BaseModel:
    values: dict[str, Any] = {}
    for name in request.query_params:
        given = request.query_params.getlist(name)
        field = endpoint.query.model_fields.get(name)
        many = field is not None and any(get_origin(part) is list for part in get_args(field.annotation))
        if len(given) > 1 and not many:
            raise unprocessable(f"{name}: it is there {len(given)} times", name, given[1], "once")
        values[name] = given if many else given[0]
    return of_query(endpoint.query, values)


def _with_body(call: Call, endpoint: Endpoint, body: Body) -> Call:
    model = endpoint.upload if body.is_form else endpoint.body
    assert model is not None
    return replace(call, body=of_json(model, written(body.document)), upload=body.upload)


def _key(request: Request) -> str | None:
    key = request.headers.get("idempotency-key")
    if key is None:
        return None
    if not key or len(key) > MAX_KEY_CHARS or not all("!" <= sign <= "~" for sign in key):
        allowed = f"1 to {MAX_KEY_CHARS} visible ASCII signs"
        raise unprocessable(f"Idempotency-Key: it is not usable; allowed: {allowed}", "Idempotency-Key", key, allowed)
    return key


def _json(value: Any, status: HTTPStatus = HTTPStatus.OK) -> Response:
    return Response(written(value), status, media_type="application/json")


def _replayed(kept: Answer) -> Response:
    headers = {"Idempotency-Replayed": "true"}
    return Response(str(kept.body["text"]), kept.status, headers, str(kept.body["type"]))


def as_problem(error: Exception) -> ProblemError:
    """The problem that an error is; what is not expected is logged, and said to be a defect."""
    found = problem_of(error)
    if found is None:
        log.error("api_failed", exc_info=error)
        return ProblemError(HTTPStatus.INTERNAL_SERVER_ERROR, DEFECT)
    return found
