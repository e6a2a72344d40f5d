"""HiDream (智象未来): `hidream.variation`, new scenes for a model's photo from a template ("模特套图").

From HiDream's pages "variation request", "variation templates" and "user token". The page of the results is not public;
the adapter asks where and how HiDream's own client does for the sibling operations
(github.com/HiDream-ai/hidream-api-gen).

Success is HTTP 200 with ``code`` 0. A task has sub tasks, one for each picture, and only those have a status:

    0 queued, 1 success, 2 processing, 3 failed, 4 rejected by the safety review,
    1004 to 1006 no result: change the input

0, 2 and -5 to -1 are not finished (HiDream's client), nor is a task while a sub task is missing that its acceptance
named; any other number is an end without a picture. A template decides how many pictures a task makes.

A lost submission cannot be found: results are asked for by `task_id` only, and nothing says that a repeated
`request_id` is one submission.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping, Sequence
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
from providers.protocol import Endpoint, Reply, UnclearError
from providers.replies import BAD_CREDENTIALS, DECIDING, OneByOne, poll_verdict, refusal, settings_of, submit_verdict
from providers.spec import Choice, FittedOptions, Need, OpenAttempt, Operation, Order, Via
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
#: What HiDream's client waits on for; it ends a task whose states are neither these nor success.
_UNFINISHED: Final = frozenset({*range(-5, 0), 0, 2})

#: "At most 2K" has no number on the page; sibling operations count a side of 2,048.
MAX_SIDE: Final = 2_048
#: A template decides how many pictures a task makes, and no page says how many these can be; sibling operations of the
#: same shop API ("model", "commercial") make four at most.
MAX_PICTURES: Final = 4
PAGE_SIZE: Final = 100  # templates, the most that the page allows
MAX_PAGES: Final = 50  # of templates: a longer list is taken as far as it was read
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
            most=MAX_PICTURES,
            listed="template_id",
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
        return self._read_results(reply, attempt)

    async def check(self) -> Credentials:
        """Ask for one template, which costs nothing."""
        reply = await self._templates("woman", 1, 1)
        answer = read(reply.body)
        message = f"HTTP {reply.status}, {_message(answer)}"
        if reply.status in BAD_CREDENTIALS or classify(answer["message"].text, table=TABLE) is Reason.AUTH:
            return Credentials(ok=False, message=f"HiDream refused the credentials: {message}")
        if reply.ok and answer["code"].integer == 0:
            return Credentials(ok=True, message="HiDream accepted the credentials")
        return Credentials(ok=None, message=f"HiDream's answer does not show whether they are valid: {message}")

    async def choices(self) -> Sequence[Choice]:
        """The templates for women and men ("variation templates")."""
        found: list[Choice] = []
        for gender in ("woman", "man"):
            page = pages = 1
            while page <= min(pages, MAX_PAGES):
                reply = await self._templates(gender, PAGE_SIZE, page)
                answer = read(reply.body)
                if not reply.ok or answer["code"].integer != 0:
                    raise UnclearError(f"HiDream did not list its templates: HTTP {reply.status}, {_message(answer)}")
                for item in answer["result"]["templates"]:
                    number, picture = item["id"].integer, item["show_image"].url
                    if number is not None:
                        found.append(
                            Choice(number, {"gender": item["gender"].text or gender, "picture": picture or ""})
                        )
                pages, page = answer["result"]["total_page"].integer or 1, page + 1
        return found

    async def _templates(self, gender: str, size: int, page: int) -> Reply:
        params: dict[str, str | int] = {"gender": gender, "page_size": size, "page_index": page}
        url = URL(self.endpoint.base_url + self.settings.templates_path, params=params)
        return await self.call(lambda token: Request("GET", url, headers=_bearer(token)))

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

    def _read_results(self, reply: Reply, attempt: OpenAttempt) -> PollOutcome:
        answer = read(reply.body)
        if not reply.ok or answer["code"].integer != 0:
            return poll_verdict(reply, _message(answer))
        tasks = list(answer["result"]["sub_task_results"])
        ended = [task for task in tasks if task["task_status"].integer not in {None, *_UNFINISHED}]
        whole = tasks and len(ended) == len(tasks) and _names_all(tasks, attempt.parts)
        successes = [task for task in ended if task["task_status"].integer == _SUCCESS]
        if not whole and not (successes and attempt.left <= 0):
            return Pending(reply.body)  # but the pictures that are there at the deadline were paid for
        outputs = tuple(
            Output(url, facts(sub_task_id=task["sub_task_id"].handle))
            for task in successes
            if (url := self._picture(task["image"])) is not None
        )
        if len(outputs) < len(successes):
            return Unanswered("HiDream reported success without a readable picture", raw=reply.body)
        made = max(len(tasks), len(attempt.parts))
        reason, words = _failure(ended) if len(successes) < len(ended) else (Reason.TIMED_OUT, "they are not finished")
        if outputs:
            missing = made - len(outputs)
            said = f"HiDream made {len(outputs)} of {made} pictures; of the others: {words}" if missing else None
            return Done(outputs, reply.body, facts(failed_pictures=missing or None), made=made, missing=said)
        return Failed(reason, f"HiDream: {words}", reason is Reason.PROVIDER_ERROR, reply.body)

    def _picture(self, image: Answer) -> str | None:
        """A picture's URL, which may have been answered as a bare id."""
        name = image.handle
        if name and _BARE_IMAGE.fullmatch(name):
            return self.settings.image_url.replace("{id}", name)
        return image.url


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}


def _names_all(tasks: Sequence[Answer], parts: Sequence[str]) -> bool:
    """Whether the results have every sub task of the acceptance; those without a name are counted."""
    names = {task["sub_task_id"].handle for task in tasks}
    return len(tasks) >= len(parts) if None in names else names.issuperset(parts)


def _failure(ended: Sequence[Answer]) -> tuple[Reason, str]:
    """Why sub tasks have no picture: the plainest reason, and what HiDream says to it."""
    states = {task["task_status"].integer for task in ended}
    known = next((failure for state, failure in _FAILURES.items() if state in states), None)
    unknown = sorted(str(state) for state in states - {_SUCCESS})
    reason, words = known or (Reason.PROVIDER_ERROR, f"the generation ended with the unknown status {unknown[0]}")
    said = next((text for task in ended if (text := task["description"].text)), None)
    return reason, f"{words}{f' ({said})' if said else ''}"


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
        parts = tuple(name for item in answer["result"]["sub_task_ids"] if (name := item.handle))
        return Accepted(handle, reply.body, parts)
    if code not in (None, 0):
        return refusal(reply, f"HiDream: {_message(answer)}", said, TABLE, code=str(code))
    return submit_verdict(reply, _message(answer), said, TABLE)


def _message(answer: Answer) -> str:
    """What HiDream said, with its code, in one line."""
    code, text = answer["code"].code, answer["message"].text
    if code is None and text is None:
        return answer.problem or "an answer without code and message"
    return f"{text or 'no message'} (code {code})"
