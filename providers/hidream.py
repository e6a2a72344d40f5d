"""HiDream (智象未来): `hidream.variation`, new scenes for a model's photo from a template ("模特套图").

From HiDream's pages "variation request", "variation templates" and "user token". The page of the results is not public;
the adapter asks where and how HiDream's own client does for the sibling operations
(github.com/HiDream-ai/hidream-api-gen).

Success is HTTP 200 with ``code`` 0. A task has sub tasks, one for each picture, and only those have a status:

    0 queued, 1 success, 2 processing, 3 failed, 4 rejected by the safety review,
    1004 to 1006 no result: change the input

Anything else, and a task without sub tasks, is not finished. A lost submission cannot be found: results are asked for
by `task_id` only, and nothing says that a repeated `request_id` is one submission.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any, ClassVar, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from models.states import Reason
from providers.answers import Answer, facts, read
from providers.classify import Table, classify
from providers.http import URL, Request
from providers.outcomes import (
    Accepted,
    Credentials,
    Done,
    Failed,
    Output,
    Pending,
    PollOutcome,
    SubmitOutcome,
    Unanswered,
)
from providers.protocol import Endpoint, Reply
from providers.replies import BAD_CREDENTIALS, DECIDING, OneByOne, poll_verdict, refusal, settings_of, submit_verdict
from providers.spec import FittedOptions, Need, OpenAttempt, Operation, Order, Via
from providers.tokens import TokenAdapter, refused_login

_SUCCESS: Final = 1
#: What ends a sub task without a picture, the plainer reason first.
_FAILURES: Final[Mapping[int, tuple[Reason, str]]] = {
    4: (Reason.CONTENT, "the safety review rejected the picture"),
    1004: (Reason.BAD_INPUT, "the algorithm found no usable subject; use another picture"),
    1005: (Reason.BAD_INPUT, "the algorithm found no usable subject; use another picture"),
    1006: (Reason.BAD_INPUT, "the algorithm found no usable subject; use another picture"),
    3: (Reason.PROVIDER_ERROR, "the generation failed"),
}
#: 1051 is "ref_image is invalid" on the commercial page; no table of codes is public.
TABLE: Final = Table(codes={"1051": Reason.BAD_INPUT})

#: "At most 2K" has no number on the page; sibling operations count a side of 2,048.
MAX_SIDE: Final = 2_048
#: A token lives for one day ("user token" page), whatever `expire_time` says.
TOKEN_LIFE: Final = timedelta(days=1)
#: Renewed this long before its end, so that no submission meets an expired one.
RENEW_BEFORE: Final = timedelta(minutes=10)

_BARE_IMAGE: Final = re.compile(r"[\w-]{8,128}", re.ASCII)


class HidreamSettings(BaseModel):
    """An account at HiDream: a token that lasts, or an API key that is exchanged for one every day."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    token: SecretStr | None = None
    api_key: SecretStr | None = None
    token_url: str = Field(default="https://www.hidreamai.com/prod-api/user/apikey2token", pattern="^https?://")
    #: The page's header; a newer client of HiDream's sends `Refresh-Token` to the same URL.
    api_key_header: Literal["Api-Key", "Refresh-Token"] = "Api-Key"
    submit_path: str = Field(default="/api-pub/ec/v3/image/variation/async", pattern="^/")
    results_path: str = Field(default="/api-pub/ec/v3/image/variation/async/results", pattern="^/")
    templates_path: str = Field(default="/api-pub/ec/v3/template/variation", pattern="^/")
    #: The address of a picture that is answered as a bare id.
    image_url: str = Field(default="https://storage.vivago.ai/image/{id}.jpg", pattern=r"^https?://.*\{id\}")

    @model_validator(mode="after")
    def _one_credential(self) -> Self:
        if (self.token is None) == (self.api_key is None):
            raise ValueError("set exactly one of token and api_key")
        return self


class VariationOptions(FittedOptions):
    """Options of `hidream.variation`, which takes pictures of exactly 3:4 ("variation request")."""

    #: From HiDream's list of templates.
    template_id: int = Field(ge=1)


class Hidream(TokenAdapter, OneByOne):
    """HiDream's wire format, bound to one account."""

    NAME: ClassVar[str] = "hidream"
    BASE_URL: ClassVar[str | None] = "https://hidreamai.com"
    OPERATIONS: ClassVar[Mapping[str, Operation]] = {
        "hidream.variation": Operation(
            name="hidream.variation",
            kind="generate",
            options=VariationOptions,
            # The page names no types. Its example is a JPEG, which as base64 is also the shortest.
            needs={"image": Need(Via.BYTES, ratio=(3, 4), max_side=MAX_SIDE, media_types=("image/jpeg",))},
            typical_seconds=30.0,
            callback=True,
            summary="puts the model on image into a template's scene",
        )
    }
    SETTINGS: ClassVar[type[BaseModel]] = HidreamSettings

    def __init__(self, endpoint: Endpoint) -> None:
        super().__init__(endpoint)
        self.settings = settings_of(endpoint, HidreamSettings)

    async def submit(self, order: Order, *, write_before: float) -> SubmitOutcome:
        """Send one picture: as base64 without a prefix, or the URL of one that we do not hold."""
        picture = order.inputs["image"]
        body: dict[str, Any] = {
            "image": picture.url if picture.data is None else base64.b64encode(picture.data).decode(),
            **order.options.model_dump(exclude={"fit"}),
            "request_id": str(order.reference),
            **({"notify_url": order.callback_url} if order.callback_url else {}),
        }
        url = self.endpoint.base_url + self.settings.submit_path
        reply = await self.call(
            lambda token: Request("POST", url, headers=_bearer(token), json=body), write_before=write_before
        )
        return _read_submission(reply)

    async def poll_one(self, attempt: OpenAttempt) -> PollOutcome:
        """Ask for the results of the task."""
        if attempt.handle is None:
            return Unanswered("HiDream's tasks can be polled only by id, and the id is not known")
        url = URL(self.endpoint.base_url + self.settings.results_path, params={"task_id": attempt.handle})
        reply = await self.call(lambda token: Request("GET", url, headers=_bearer(token)))
        return self._read_results(reply)

    async def check(self) -> Credentials:
        """Ask for one template, which costs nothing."""
        params: dict[str, str | int] = {"gender": "woman", "page_size": 1, "page_index": 1}
        url = URL(self.endpoint.base_url + self.settings.templates_path, params=params)
        reply = await self.call(lambda token: Request("GET", url, headers=_bearer(token)))
        answer = read(reply.body)
        message = f"HTTP {reply.status}, {_message(answer)}"
        if reply.status in BAD_CREDENTIALS or classify(answer["message"].text, table=TABLE) is Reason.AUTH:
            return Credentials(ok=False, message=f"HiDream refused the credentials: {message}")
        if reply.ok and answer["code"].integer == 0:
            return Credentials(ok=True, message="HiDream accepted the credentials")
        return Credentials(ok=None, message=f"HiDream's answer does not show whether they are valid: {message}")

    def callback_handle(self, body: bytes) -> str | None:
        """The task's id, where the body has one: it is "consistent with the task result", whose page is not public."""
        answer = read(body)
        return answer["result"]["task_id"].handle or answer["task_id"].handle

    async def token(self, *, rejected: str | None) -> str | Reply:
        """The token that lasts, or the shared one that the API key was exchanged for."""
        if self.settings.token is not None:
            token = self.settings.token.get_secret_value()
            if token != rejected:
                return token
            return Reply(HTTPStatus.UNAUTHORIZED, {}, b"")
        current = _usable(await self.endpoint.sessions.load(), rejected)
        if current is not None:
            return current
        async with self.endpoint.sessions.renewal() as renewal:
            current = _usable(renewal.session, rejected)
            if current is not None:
                return current  # another worker was faster
            key = self.settings.api_key.get_secret_value() if self.settings.api_key else ""
            headers: dict[str, str] = {self.settings.api_key_header: key}
            reply = await self.ask(Request("GET", self.settings.token_url, headers=headers))
            answer = read(reply.body)
            fresh = answer["result"]["token"].secret if reply.ok and answer["code"].integer == 0 else None
            if fresh is None:
                # Business errors come with HTTP 200 here: a code that is not 0 says that the key is not taken.
                refused = reply.ok and answer["code"].integer not in (None, 0)
                return refused_login(Reply(HTTPStatus.UNAUTHORIZED, reply.headers, reply.body) if refused else reply)
            until = datetime.now(UTC) + TOKEN_LIFE - RENEW_BEFORE
            await renewal.save(json.dumps({"token": fresh, "until": until.timestamp()}).encode())
            return fresh

    def _read_results(self, reply: Reply) -> PollOutcome:
        answer = read(reply.body)
        if not reply.ok or answer["code"].integer != 0:
            return poll_verdict(reply, _message(answer))
        tasks = list(answer["result"]["sub_task_results"])
        states = [task["task_status"].integer for task in tasks]
        if not tasks or any(state != _SUCCESS and state not in _FAILURES for state in states):
            return Pending(reply.body)
        successes = [task for task, state in zip(tasks, states, strict=True) if state == _SUCCESS]
        outputs = tuple(
            Output(url, facts(sub_task_id=task["sub_task_id"].handle))
            for task in successes
            if (url := self._picture(task["image"])) is not None
        )
        if len(outputs) < len(successes):
            return Unanswered("HiDream reported success without a readable picture", raw=reply.body)
        if outputs:
            failed = len(tasks) - len(successes)
            return Done(outputs, reply.body, facts(failed_pictures=failed or None))
        reason, words = next(failure for state, failure in _FAILURES.items() if state in states)
        said = next((text for task in tasks if (text := task["description"].text)), None)
        message = f"HiDream: {words}{f' ({said})' if said else ''}"
        return Failed(reason, message, reason is Reason.PROVIDER_ERROR, reply.body)

    def _picture(self, image: Answer) -> str | None:
        """A picture's URL, which may have been answered as a bare id."""
        name = image.handle
        if name and _BARE_IMAGE.fullmatch(name):
            return self.settings.image_url.replace("{id}", name)
        return image.url


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}


def _usable(session: bytes | None, rejected: str | None) -> str | None:
    """The token of a stored session, unless it was rejected or is about to end."""
    stored = read(session or b"")
    token, until = stored["token"].secret, stored["until"].number
    fresh = until is not None and until > datetime.now(UTC).timestamp()
    return token if fresh and token != rejected else None


def _read_submission(reply: Reply) -> SubmitOutcome:
    answer = read(reply.body)
    code, handle = answer["code"].integer, answer["result"]["task_id"].handle
    said = [answer["message"].text]
    if reply.status in DECIDING:
        return submit_verdict(reply, _message(answer), said, TABLE)
    if reply.ok and code == 0 and handle:
        return Accepted(handle, reply.body)
    if code not in (None, 0):
        return refusal(reply, f"HiDream: {_message(answer)}", said, TABLE, code=str(code))
    return submit_verdict(reply, _message(answer), said, TABLE)


def _message(answer: Answer) -> str:
    """What HiDream said, with its code, in one line."""
    code, text = answer["code"].code, answer["message"].text
    if code is None and text is None:
        return answer.problem or "an answer without code and message"
    return f"{text or 'no message'} (code {code})"
