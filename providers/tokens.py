"""The base of adapters whose requests carry a temporary token, shared by all workers of an account."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from http import HTTPStatus

from providers.http import Request
from providers.protocol import NotSentError, Reply, UnclearError
from providers.replies import Adapter


class TokenAdapter(Adapter, ABC):
    """Sends every request with a token, and once more with a new token when the first one was refused."""

    @abstractmethod
    async def token(self, *, rejected: str | None) -> str | Reply:
        """A token that is not `rejected`, or the answer that refused to give one."""

    async def call(self, build: Callable[[str], Request], *, write_before: float | None = None) -> Reply:
        """Send what `build` makes of a token: as a question, or before `write_before` as a submission that is paid.

        A refused login is the answer to the request that it was for. Whatever else keeps us from a token is a
        `NotSentError`, because the request itself was never written.
        """
        token = await self._obtain(rejected=None)
        if isinstance(token, Reply):
            return token
        reply = await self._send(build(token), write_before)
        if reply.status != HTTPStatus.UNAUTHORIZED:
            return reply
        # A 401 proves that nothing was taken, so sending a submission again is not a second submission.
        renewed = await self._obtain(rejected=token)
        return renewed if isinstance(renewed, Reply) else await self._send(build(renewed), write_before)

    async def _send(self, request: Request, write_before: float | None) -> Reply:
        return await (self.ask(request) if write_before is None else self.pay(request, write_before))

    async def _obtain(self, *, rejected: str | None) -> str | Reply:
        try:
            return await self.token(rejected=rejected)
        except UnclearError as error:
            raise NotSentError(f"no answer to the login: {error}") from error


def refused_login(reply: Reply) -> Reply:
    """What a login that gave no token answers to the request it was for.

    Whichever 4xx it is, the provider does not take our credentials; only "slow down" keeps its meaning.

    Raises:
        NotSentError: the login failed without a refusal, and may succeed later.
    """
    if reply.status == HTTPStatus.TOO_MANY_REQUESTS:
        return reply
    if HTTPStatus.BAD_REQUEST <= reply.status < HTTPStatus.INTERNAL_SERVER_ERROR:
        return Reply(HTTPStatus.UNAUTHORIZED, reply.headers, reply.body)
    raise NotSentError(f"the login failed: HTTP {reply.status} without a token")
