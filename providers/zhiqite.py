"""Zhiqite "Img Open" (api.zhiqite.com): `zhiqite.swap`, `zhiqite.swap_v2` and `zhiqite.swap_faces`.

These are their tools "Single Face Swap V1.0", "Single Face Swap V2.0" and "Multiple Face Swap", by the pages of these
names and "queryImageToolTaskInfo". Zhiqite fetches all pictures from a URL. A submission carries an id of ours
(`businessTaskId`), which is also the only key for queries, so that a submission whose answer was lost can be found
again. `data.taskId` is another number (1116 against 111612 in the example of the V1.0 page) and of no use.

What decides is the body and not the HTTP status. `code` is the text "200" for a request that was understood; then
`data.status` is 1 for a success, 2 for a failure, and whatever else it is means that the task is not finished: the page
calls its response "the asynchronous interface response" and leaves the values of a running task open.

Of these only the Multiple Face Swap calls back; other tools of Zhiqite do, too (instantID, detection, outpainting and
others have a `callbackUrl`). Nothing signs a callback, and one counts as delivered only if it is answered
with JSON whose `code` is 200.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from decimal import Decimal
from http import HTTPStatus
from typing import Any, ClassVar, Final

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from models.states import Reason
from providers.answers import Answer, facts, read
from providers.classify import Table, classify, ends_the_job
from providers.http import Request
from providers.outcomes import (
    Absent,
    Accepted,
    Credentials,
    Done,
    Found,
    LocateOutcome,
    Output,
    Pending,
    PollOutcome,
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
    locate_verdict,
    poll_verdict,
    refusal,
    retry_after,
    settings_of,
    submit_verdict,
)
from providers.spec import Need, OpenAttempt, Operation, Options, Order, Via

# Neither codes nor words are documented; these are how such interfaces say that they know no such task, and that they
# know the task already.
_UNKNOWN_TASK: Final = re.compile(
    r"\b(task|business\w*|record|data|id)\b.{0,24}(n't|not) (exist|found)"
    r"|\b(no such|unknown) (task|business|record)"
    r"|(任务|记录|数据)[^,。]{0,12}(不存在|未找到|找不到)|查无",
    re.IGNORECASE,
)
_KNOWN_ALREADY: Final = re.compile(
    r"\b(task|business\w*|id)\b.{0,24}(already|duplicate|exists|repeat|submitted)"
    r"|(duplicate|repeat)\w* .{0,12}(task|business|submi|request|\bid\b)"
    r"|(任务|业务|提交|请求)[^,。]{0,12}(重复|已存在)|重复(提交|请求|的?任务)",
    re.IGNORECASE,
)

#: No table of codes is public; "200" for a success suggests that the others are borrowed from HTTP as well.
TABLE: Final = Table(
    likely_codes={"401": Reason.AUTH, "402": Reason.CREDIT, "403": Reason.AUTH, "429": Reason.THROTTLED}
)

SWAP: Final = "zhiqite.swap"
SWAP_V2: Final = "zhiqite.swap_v2"
SWAP_FACES: Final = "zhiqite.swap_faces"

#: What the pages call toolCode: what follows ``tool/`` in the path of a submission. Its slashes are not escaped.
_TOOLS: Final[Mapping[str, str]] = {SWAP: "roop", SWAP_V2: "v2/roop", SWAP_FACES: "face/fusion"}

_SUCCESS, _FAILURE = 1, 2  # `data.status` of image tools (V1.0 page); other families of tools count differently


class ZhiqiteSettings(BaseModel):
    """An account at Zhiqite: its key pair, and where the pages leave the paths to a rule."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    access_key_id: SecretStr = Field(min_length=1)
    access_key_secret: SecretStr = Field(min_length=1)
    tool_path: str = Field(default="/AIGCImgOpenServ/saas/tool", pattern="^/.*[^/]$")
    #: The toolCode in ``tool/{toolCode}/queryTask``, for operations whose query wants another than their submission.
    query_tools: Mapping[str, str] = Field(default_factory=dict)

    @field_validator("query_tools")
    @classmethod
    def _are_of_operations(cls, value: Mapping[str, str]) -> Mapping[str, str]:
        known = [name.partition(".")[2] for name in _TOOLS]
        unknown = [name for name in value if name not in known]
        if unknown:
            raise ValueError(f"{unknown[0]!r} is not a valid operation; allowed: {', '.join(known)}")
        return value


class SwapOptions(Options):
    """V1.0 takes two pictures and nothing else."""


class SwapV2Options(Options):
    """Options of `zhiqite.swap_v2`."""

    #: 0 for the better quality, 1 for the greater likeness to the face as it was (codeformer's weight).
    fidelity_weight: float | None = Field(default=None, ge=0, le=1)


class SwapFacesOptions(Options):
    """Options of `zhiqite.swap_faces`."""

    #: A picture with a second face, as a path or URL: `sourceUrl` has one or two items.
    second_source: str | None = Field(default=None, min_length=1)
    #: Which of the target's faces, counted from 1 at the left; the page does not say what is swapped without it.
    face_idx: int | None = Field(default=None, ge=1)


class Zhiqite(OneByOne):
    """Zhiqite's wire format, bound to one account."""

    NAME: ClassVar[str] = "zhiqite"
    BASE_URL: ClassVar[str | None] = "https://api.zhiqite.com"
    OPERATIONS: ClassVar[Mapping[str, Operation]] = {
        SWAP: Operation(
            name=SWAP,
            kind="swap",
            options=SwapOptions,
            needs={"source": Need(Via.URL), "target": Need(Via.URL)},
            typical_seconds=8.0,
            summary="puts the face of source onto target",
        ),
        SWAP_V2: Operation(
            name=SWAP_V2,
            kind="swap",
            options=SwapV2Options,
            needs={"source": Need(Via.URL), "target": Need(Via.URL)},
            typical_seconds=10.0,
            summary="puts the face of source onto target, then restores it with codeformer",
        ),
        SWAP_FACES: Operation(
            name=SWAP_FACES,
            kind="swap",
            options=SwapFacesOptions,
            needs={
                "source": Need(Via.URL),
                "target": Need(Via.URL),
                "second_source": Need(Via.URL, option="second_source"),
            },
            typical_seconds=10.0,
            callback=True,
            summary="puts one face, or two, onto the faces of target",
        ),
    }
    SETTINGS: ClassVar[type[BaseModel]] = ZhiqiteSettings
    CAN_LOCATE: ClassVar[bool] = True
    LOCATES_BY_REFERENCE: ClassVar[bool] = True

    def __init__(self, endpoint: Endpoint) -> None:
        super().__init__(endpoint)
        self.settings = settings_of(endpoint, ZhiqiteSettings)

    async def submit(self, order: Order, *, write_before: float) -> SubmitOutcome:
        """Send one swap; its `businessTaskId` is the attempt's reference."""
        reply = await self.pay(self._request(_TOOLS[order.operation], _body(order)), write_before)
        return _read_submission(reply, str(order.reference))

    async def poll_one(self, attempt: OpenAttempt) -> PollOutcome:
        """Query the task by our reference."""
        return _read_query(await self._query(attempt.operation, attempt.reference))

    async def locate(self, attempt: OpenAttempt) -> LocateOutcome:
        """Query the task by our reference: a lost answer does not matter to it."""
        reply = await self._query(attempt.operation, attempt.reference)
        answer = read(reply.body)
        if _understood(answer) and answer["data"].is_object:
            return Found(str(attempt.reference))
        if _knows_no_such_task(reply, answer):
            return Absent()
        return locate_verdict(reply, _message(answer))

    async def check(self) -> Credentials:
        """Query a task that cannot exist: a key that is refused is refused before that is noticed."""
        reply = await self._query(SWAP, uuid.uuid4())
        answer = read(reply.body)
        message = _message(answer)
        if reply.status in BAD_CREDENTIALS or _reason(answer) is Reason.AUTH:
            return Credentials(ok=False, message=f"Zhiqite refused the key pair: {message}")
        if _understood(answer) or _knows_no_such_task(reply, answer):
            return Credentials(ok=True, message="Zhiqite accepted the key pair")
        return Credentials(ok=None, message=f"Zhiqite's answer does not show whether the key pair is valid: {message}")

    async def _query(self, operation: str, reference: uuid.UUID) -> Reply:
        tool = self.settings.query_tools.get(operation.partition(".")[2], _TOOLS[operation])
        return await self.ask(self._request(f"{tool}/queryTask", {"businessTaskId": str(reference)}))

    def _request(self, tool: str, body: Mapping[str, Any]) -> Request:
        return Request(
            "POST",
            f"{self.endpoint.base_url}{self.settings.tool_path}/{tool}",
            headers={
                "X-Request-req-accessKeyId": self.settings.access_key_id.get_secret_value(),
                "X-Request-req-accessKeySecret": self.settings.access_key_secret.get_secret_value(),
            },
            json=body,
        )


def _body(order: Order) -> dict[str, Any]:
    """A submission as the page of its tool has it."""
    source, target = order.inputs["source"].url, order.inputs["target"].url
    body: dict[str, Any] = {"sourceUrl": source, "targetUrl": target, "businessTaskId": str(order.reference)}
    options = order.options
    if isinstance(options, SwapV2Options) and options.fidelity_weight is not None:
        # A text, and never in a form like "1e-05".
        body["fidelityWeight"] = format(Decimal(str(options.fidelity_weight)), "f")
    if isinstance(options, SwapFacesOptions):
        second = order.inputs.get("second_source")
        body["sourceUrl"] = [source, second.url] if second else [source]
        if options.face_idx is not None:
            body["faceIdx"] = options.face_idx
        if order.callback_url:
            body["callbackUrl"] = order.callback_url
    return body


def _read_submission(reply: Reply, reference: str) -> SubmitOutcome:
    answer = read(reply.body)
    said = [answer["msg"].text]
    if reply.status in DECIDING:
        return submit_verdict(reply, _message(answer), said, TABLE)
    if _understood(answer):
        if not reply.ok:
            return Unclear(f"HTTP {reply.status} with a body that says 200", reply.body)
        output = _output(answer)
        if output:
            return Done((output,), reply.body, handle=reference)
        # A task that failed at once was accepted all the same, so it counts as such; the poll reports how it ended.
        return Accepted(reference, reply.body)
    if _says(answer, _KNOWN_ALREADY):
        # The reference is ours alone: if it is known, an earlier send of this very attempt arrived.
        return Accepted(reference, reply.body)
    if answer["code"].code is not None:
        return refusal(reply, f"Zhiqite: {_message(answer)}", said, TABLE, code=answer["code"].code)
    return submit_verdict(reply, answer.problem, said, TABLE)


def _read_query(reply: Reply) -> PollOutcome:
    answer = read(reply.body)
    message = _message(answer)
    if answer["code"].code is None or reply.status in DECIDING:
        return poll_verdict(reply, message)
    said = [answer["msg"].text]
    if _understood(answer):
        output = _output(answer)
        if output:
            return Done((output,), reply.body)
        if answer["data"]["status"].integer == _FAILURE:
            return failure(f"Zhiqite: {message}", said, TABLE, reply.body)
        return Pending(reply.body)
    # Another code is an error of the query, which says nothing of the task: that may still be running, and is paid for.
    reason = _reason(answer)
    if reply.ok and ends_the_job(reason, said):
        return failure(f"Zhiqite: {message}", said, TABLE, reply.body)
    unanswered = f"Zhiqite did not answer the query: {message}"
    return Unanswered(unanswered, retry_after(reply), reply.body, throttled=reason is Reason.THROTTLED)


def _understood(answer: Answer) -> bool:
    """Whether the request was carried out. `code` is the text "200"; a number is accepted as well."""
    return answer["code"].code == "200"


def _output(answer: Answer) -> Output | None:
    """The picture of a successful task; a success without a URL is one that is not finished."""
    data = answer["data"]
    url = data["outputImageUrl"].url
    if data["status"].integer != _SUCCESS or url is None:
        return None
    return Output(url, facts(task_id=data.first("taskId", "task_id").code, tool=data["toolTask"].text))


def _reason(answer: Answer) -> Reason | None:
    return classify(answer["msg"].text, table=TABLE, code=answer["code"].code)


def _knows_no_such_task(reply: Reply, answer: Answer) -> bool:
    """Whether the query was answered, and the task is unknown: a 5xx, or words about the account, do not prove that."""
    broke = reply.status >= HTTPStatus.INTERNAL_SERVER_ERROR or reply.status in DECIDING
    if broke or _reason(answer) in _NOT_OF_A_TASK:
        return False
    return bool(_UNKNOWN_TASK.search(answer["msg"].text or ""))


_NOT_OF_A_TASK: Final = frozenset({Reason.AUTH, Reason.CREDIT, Reason.THROTTLED, Reason.OUTAGE})


def _says(answer: Answer, words: re.Pattern[str]) -> bool:
    return bool(words.search(answer["msg"].text or ""))


def _message(answer: Answer) -> str:
    """What the provider said, with its code, in one line."""
    code, text = answer["code"].code, answer["msg"].text
    if code is None and text is None:
        return answer.problem or "an answer without code and msg"
    return f"{text or 'no message'} (code {code})"
