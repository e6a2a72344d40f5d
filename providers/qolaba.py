"""Qolaba (legacy API platform): `qolaba.consistency` and `qolaba.avatar`, portraits that keep a face.

From Qolaba's pages "Face consistency", "Face avatar" and "Task status", and, where those leave something open, from the
public source of the backend behind them (github.com/aumritThought/qolaba_modal_docs). The address of the API is nowhere
in the pages, so the account names it.

Submissions carry ``celery: true`` and are answered with a `task_id`. Three traps of the query are known: an unknown or
expired id answers PENDING for ever (the account's deadline ends that); the final answer's own `task_id` is null; and a
failure comes as HTTP 500 as well as HTTP 200, so that `status` in the body decides.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, ValidationError

from models.states import Reason
from providers.answers import Answer, facts, read
from providers.classify import Table, classify, ends_the_job
from providers.http import Request
from providers.outcomes import (
    Accepted,
    Credentials,
    Done,
    Failed,
    Output,
    Pending,
    PollOutcome,
    Refused,
    SubmitOutcome,
    Unanswered,
    Unclear,
)
from providers.protocol import Endpoint, Reply
from providers.replies import (
    BAD_CREDENTIALS,
    DECIDING,
    OneByOne,
    failure,
    poll_verdict,
    refusal,
    settings_of,
    submit_verdict,
)
from providers.spec import Need, OpenAttempt, Operation, Options, Order, Via

#: The backend keeps what a task came to for four hours (result_expires in its source); its files have no stated end.
RESULTS_LIVE_SECONDS: Final = 4 * 3600.0

CONSISTENCY: Final = "qolaba.consistency"
AVATAR: Final = "qolaba.avatar"

#: The backend rounds a side down to a multiple of this, without a word (its source).
SIDE_STEP: Final = 8

_FAILED: Final = frozenset({"FAILED", "FAILURE", "REVOKED"})  # Celery's own words leak through the backend

_NOTHING_PASSED: Final = "no picture passed Qolaba's content check"

#: The backend's `error` texts (its source) and what they mean. With "Image Generation Error" the second text decides.
#: All but "Internal Error" are raised before anything is made; that one is its answer to a wrong key, and to any crash.
TABLE: Final = Table(
    names={
        "face consistent error": Reason.NO_FACE,
        "image url error": Reason.BAD_INPUT,
        "input validation error": Reason.BAD_INPUT,
    },
    nothing_made=frozenset({"face consistent error", "image url error", "input validation error", "service not found"}),
)
_INTERNAL: Final = "internal error"


class QolabaSettings(BaseModel):
    """An account at Qolaba: its key, and what the pages and the backend's source spell in two ways."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    token: SecretStr = Field(min_length=1)
    #: Ids of the models, from the backend's source; the pages name none.
    consistency_app_id: str = "ap-SwsTOsD7STxJ0obCkskUHw"
    avatar_app_id: str = "ap-jL9u1wFpY5sRv2XmN3aQ44"
    #: The two pages differ in one letter's case, which routers may or may not mind.
    consistency_path: str = Field(default="/getImagetoImage", pattern="^/")
    avatar_path: str = Field(default="/getImageToImage", pattern="^/")
    status_path: str = Field(default="/getImage", pattern="^/")
    #: The pages call the picture's URL `image`, the backend's source `file_url`.
    image_field: Literal["image", "file_url", "both"] = "image"
    #: Whether only what all sources allow is sent: the pages, the runner's page and the backend differ in their ranges.
    strict: bool = False


def _whole_steps(side: int) -> int:
    """Refuse a side that would come back smaller than it was asked for."""
    if side % SIDE_STEP:
        below = side - side % SIDE_STEP
        raise ValueError(
            f"must be a multiple of {SIDE_STEP}, to which Qolaba rounds down: use {below} or {below + SIDE_STEP}"
        )
    return side


Side = Annotated[int, Field(ge=256, le=1536, json_schema_extra={"multipleOf": SIDE_STEP}), AfterValidator(_whole_steps)]


class _Portrait(Options):
    """What both operations take; ranges from their pages, defaults from the runner's page."""

    batch: int = Field(default=1, ge=1, le=8)
    height: Side = 512
    width: Side = 512
    num_inference_steps: int = Field(default=50, ge=1, le=50)
    guidance_scale: float = Field(default=7.5, ge=1, le=30)
    negative_prompt: str | None = Field(default=None, max_length=10_000)


class ConsistencyOptions(_Portrait):
    """Options of `qolaba.consistency`."""

    #: How closely the result follows the reference (the page, and the backend's face weight).
    strength: float = Field(default=0.7, gt=0, le=1)
    inference_type: Literal["a10g", "a100", "h100"] = "a10g"


class AvatarOptions(_Portrait):
    """Options of `qolaba.avatar`; its defaults for size and steps are the backend's."""

    height: Side = 1024
    width: Side = 1024
    num_inference_steps: int = Field(default=30, ge=1, le=50)
    #: Required by the backend; it only matters where no prompt is given.
    gender: Literal["male", "female"]
    remove_background: bool = False
    bg_color: str | None = Field(default=None, pattern=r"^#([0-9a-fA-F]{3}|[0-9a-fA-F]{6})$")


class _StrictPortrait(BaseModel):
    """Where the pages, the runner's page and the backend agree."""

    batch: int = Field(ge=1, le=4)
    height: int = Field(ge=512, le=1536, multiple_of=64)
    width: int = Field(ge=512, le=1536, multiple_of=64)
    num_inference_steps: int = Field(ge=10, le=50)
    guidance_scale: float = Field(ge=2, le=25)


class _StrictAvatar(_StrictPortrait):
    """The avatar's backend has narrower limits of its own."""

    height: int = Field(ge=512, le=1024, multiple_of=64)
    width: int = Field(ge=512, le=1024, multiple_of=64)
    num_inference_steps: int = Field(ge=10, le=40)


_STRICT: Final[Mapping[str, type[BaseModel]]] = {CONSISTENCY: _StrictPortrait, AVATAR: _StrictAvatar}


class Qolaba(OneByOne):
    """Qolaba's wire format, bound to one account."""

    NAME: ClassVar[str] = "qolaba"
    BASE_URL: ClassVar[str | None] = None
    OPERATIONS: ClassVar[Mapping[str, Operation]] = {
        CONSISTENCY: Operation(
            name=CONSISTENCY,
            kind="generate",
            options=ConsistencyOptions,
            needs={"image": Need(Via.URL)},
            prompt="required",
            typical_seconds=20.0,
            count="batch",
            results_live=RESULTS_LIVE_SECONDS,
            summary="makes pictures of the person on image, as the prompt says",
        ),
        AVATAR: Operation(
            name=AVATAR,
            kind="generate",
            options=AvatarOptions,
            needs={"image": Need(Via.URL)},
            prompt="optional",
            typical_seconds=20.0,
            count="batch",
            results_live=RESULTS_LIVE_SECONDS,
            summary="makes cartoon avatars of the person on image",
        ),
    }
    SETTINGS: ClassVar[type[BaseModel]] = QolabaSettings

    def __init__(self, endpoint: Endpoint) -> None:
        super().__init__(endpoint)
        self.settings = settings_of(endpoint, QolabaSettings)

    async def submit(self, order: Order, *, write_before: float) -> SubmitOutcome:
        """Send one generation; with `strict`, options that not all sources allow are refused here."""
        if self.settings.strict:
            try:
                _STRICT[order.operation].model_validate(order.options.model_dump())
            except ValidationError as error:
                found = error.errors(include_url=False)[0]
                return Refused(Reason.BAD_INPUT, f"options.{found['loc'][0]} (strict): {found['msg']}")
        avatar = order.operation == AVATAR
        path = self.settings.avatar_path if avatar else self.settings.consistency_path
        reply = await self.pay(self._request(path, self._body(order, avatar=avatar)), write_before)
        return _read_submission(reply)

    async def poll_one(self, attempt: OpenAttempt) -> PollOutcome:
        """Query the task by the id that its submission gave."""
        if attempt.handle is None:
            return Unanswered("Qolaba's tasks can be polled only by id, and the id is not known")
        return _read_query(await self.ask(self._request(self.settings.status_path, {"id": attempt.handle})))

    async def check(self) -> Credentials:
        """Query a task that cannot exist. The backend says PENDING of those, and of a wrong key "Internal Error"."""
        reply = await self.ask(self._request(self.settings.status_path, {"id": str(uuid.uuid4())}))
        answer = read(reply.body)
        message = f"HTTP {reply.status}, {_message(answer)}"
        if reply.status in BAD_CREDENTIALS or classify(*_said(answer), table=TABLE) is Reason.AUTH:
            return Credentials(ok=False, message=f"Qolaba refused the token: {message}")
        if reply.ok and _status(answer) == "PENDING":
            return Credentials(ok=True, message="Qolaba accepted the token")
        return Credentials(ok=None, message=f"Qolaba's answer does not show whether the token is valid: {message}")

    def _body(self, order: Order, *, avatar: bool) -> dict[str, Any]:
        url = order.inputs["image"].url
        fields = ("image", "file_url") if self.settings.image_field == "both" else (self.settings.image_field,)
        return {
            "app_id": self.settings.avatar_app_id if avatar else self.settings.consistency_app_id,
            **dict.fromkeys(fields, url),
            # Null asks for the avatar's own prompt ("simply pass None").
            "prompt": order.prompt,
            **{name: value for name, value in order.options.model_dump().items() if value is not None},
            "celery": True,
        }

    def _request(self, path: str, body: Mapping[str, Any]) -> Request:
        return Request(
            "POST",
            self.endpoint.base_url + path,
            headers={"Authorization": f"Bearer {self.settings.token.get_secret_value()}"},
            json=body,
        )


def _read_submission(reply: Reply) -> SubmitOutcome:
    answer = read(reply.body)
    status, handle = _status(answer), answer["task_id"].handle
    said = _said(answer)
    if reply.status in DECIDING:
        return submit_verdict(reply, _message(answer), said, TABLE)
    outputs = _outputs(answer["output"]) if status == "SUCCESS" else ()
    if outputs:
        return Done(outputs, reply.body, _flags(answer["output"]), handle)
    if handle and status is not None:
        # Queued, under way or even over: a task with an id was accepted, and the poll reports its state.
        return Accepted(handle, reply.body)
    if status == "SUCCESS" and answer["output"]["result"].value == []:
        # The pictures were made, and are billed, before they were checked.
        return Failed(Reason.CONTENT, _NOTHING_PASSED, raw=reply.body)
    if status in _FAILED:
        # The backend answers exceptions as a FAILED body, whatever HTTP says.
        verdict = refusal(reply, f"Qolaba: {_message(answer)}", said, TABLE, name=_error(answer))
    else:
        verdict = submit_verdict(reply, _message(answer), said, TABLE)
    if isinstance(verdict, Unclear) and _error(answer) == _INTERNAL:
        return replace(verdict, as_of_a_wrong_key=True)
    return verdict


def _read_query(reply: Reply) -> PollOutcome:
    answer = read(reply.body)
    status = _status(answer)
    if status is None or reply.status in DECIDING:
        return poll_verdict(reply, _message(answer))
    if status == "SUCCESS":
        outputs = _outputs(answer["output"])
        if outputs:
            return Done(outputs, reply.body, _flags(answer["output"]))
        if answer["output"]["result"].value == []:
            # Pictures that did not pass the checks for nudity and copyright are left out: here, all of them.
            return Failed(Reason.CONTENT, _NOTHING_PASSED, raw=reply.body)
        return Unanswered("Qolaba reported SUCCESS without a readable result", raw=reply.body)
    if status in _FAILED:
        return _read_failure(reply, answer)
    return Pending(reply.body)


def _status(answer: Answer) -> str | None:
    text = answer["status"].text
    return text.upper() if text else None


def _outputs(output: Answer) -> tuple[Output, ...]:
    """The pictures, of which there may be fewer than were asked for."""
    urls = [url for item in output["result"] if (url := item.url)]
    previews = [item.url for item in output["low_res_urls"]]
    paired = previews if len(previews) == len(urls) else [None] * len(urls)
    return tuple(Output(url, facts(preview=preview)) for url, preview in zip(urls, paired, strict=True))


def _flags(output: Answer) -> Mapping[str, object]:
    """One flag for each picture that was generated, also for those that were left out: they cannot be paired."""
    flags = [flag for item in output["Has_NSFW_Content"] if (flag := item.flag) is not None]
    return facts(has_nsfw_content=flags or None)


def _read_failure(reply: Reply, answer: Answer) -> PollOutcome:
    """A FAILED body: of the task, or of the query alone.

    An exception of the task is answered with the task's own `input`, as HTTP 200 or 500. "Internal Error" without it is
    also what the query itself gets when it fails or has a wrong key (the backend's source).
    """
    error = _error(answer)
    echo = answer["input"]
    of_the_task = any(echo[field].value not in (None, "") for field in ("file_url", "image", "prompt", "app_id"))
    named = error in TABLE.names or ends_the_job(classify(*_said(answer), table=TABLE), _said(answer))
    if not (reply.ok or of_the_task or named):
        return poll_verdict(reply, _message(answer))
    found = failure(f"Qolaba: {_message(answer)}", _said(answer), TABLE, reply.body, name=error)
    # A missing model is missing next time as well; an internal error and words we do not know may pass.
    return replace(found, again=False) if error == "service not found" else found


def _error(answer: Answer) -> str:
    return (answer["error"].text or "").lower()


def _said(answer: Answer) -> list[str]:
    return [text for name in ("error", "error_data", "message") if (text := answer[name].text)]


def _message(answer: Answer) -> str:
    """What the backend said, in one line."""
    return ": ".join(_said(answer)) or answer.problem or f"status {answer['status'].text}"
