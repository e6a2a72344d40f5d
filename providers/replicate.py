"""Replicate: `replicate.swap` and `replicate.generate`, any model of a catalogue that takes the pictures by URL.

From Replicate's pages "Create a prediction", "Get a prediction", "Prediction lifecycle", "Rate limits", "Data
retention" and "Verify webhooks". Which model runs, and what it calls its inputs, is the account's choice; a job's
option `input` holds whatever else the model takes. Inputs and outputs of a prediction are removed an hour after it was
made.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar, Final
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field, JsonValue, SecretStr, field_validator

from models.states import Reason
from providers.answers import Answer, facts, read
from providers.classify import Table
from providers.http import Request
from providers.outcomes import (
    Accepted,
    Credentials,
    Done,
    Failed,
    Output,
    Pending,
    PollOutcome,
    SubmitOutcome,
    Throttled,
    Unanswered,
)
from providers.protocol import Endpoint, Reply
from providers.replies import BAD_CREDENTIALS, OneByOne, failure, poll_verdict, settings_of, submit_verdict
from providers.spec import Need, OpenAttempt, Operation, Options, Order, Via

#: "Data retention": inputs and outputs are removed an hour after the prediction was made.
RESULTS_LIVE_SECONDS: Final = 3600.0

SWAP: Final = "replicate.swap"
GENERATE: Final = "replicate.generate"

#: An aborted prediction never started ("Prediction lifecycle"), and the time that a model runs is what is billed. One
#: that failed did run: its repeat is paid again.
_FREE: Final = frozenset({Reason.TIMED_OUT})

#: A signed webhook older or newer than this is refused: it may be a replay ("Verify webhooks", Standard Webhooks).
WEBHOOK_WINDOW_SECONDS: Final = 300.0
MIN_SECRET_BYTES: Final = 16  # of a signing secret: Replicate gives 24, and a guessed one forges callbacks

#: "Your rate limit resets in ~30s.", which is in the body and in no header.
_RESETS_IN: Final = re.compile(r"resets in ~?(\d{1,5})s")


#: What a model's code raises at a picture that it cannot use, in Python's words (the sources of roop, insightface and
#: Pillow): `get(picture)[0]` of a picture without a face, `cv2.imread` of a file that it cannot read.
TABLE: Final = Table(
    sentences={
        "list index out of range": Reason.NO_FACE,
        "index 0 is out of bounds for axis 0 with size 0": Reason.NO_FACE,
        "'nonetype' object has no attribute 'shape'": Reason.BAD_INPUT,
        "'nonetype' object has no attribute 'normed_embedding'": Reason.NO_FACE,
        "'nonetype' object has no attribute 'bbox'": Reason.NO_FACE,
        "'nonetype' object is not subscriptable": Reason.BAD_INPUT,
        "broken data stream when reading image file": Reason.BAD_INPUT,
    }
)


class ReplicateSettings(BaseModel):
    """An account at Replicate: its token, and the models behind the two operations."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    token: SecretStr = Field(min_length=1)
    #: The account's signing secret (`GET /v1/webhooks/default/secret`), with which callbacks are verified.
    webhook_secret: SecretStr | None = None
    swap_model: str = Field(
        default="codeplugtech/face-swap:278a81e7ebb22db98bcba54de985d22cc1abeead2754eb1f2af717247be69b34", min_length=1
    )
    swap_source: str = "swap_image"
    swap_target: str = "input_image"
    generate_model: str = Field(
        default="bytedance/flux-pulid:8baa7ef2255075b46f4d91cd238c21d31181b3e6a864463f967960bb0112525b", min_length=1
    )
    generate_image: str = "main_face_image"
    generate_prompt: str = "prompt"

    @field_validator("webhook_secret")
    @classmethod
    def _is_a_signing_secret(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and _signing_key(value.get_secret_value()) is None:
            raise ValueError(
                f"is not a valid signing secret; use whsec_ followed by base64 of at least {MIN_SECRET_BYTES} bytes"
            )
        return value


#: The usual names by which models are told how many pictures to make; one with another name counts as one picture.
COUNT_INPUTS = (
    "num_outputs", "num_images", "num_samples", "number_of_images", "number_of_outputs", "batch_size", "n", "samples",
    "max_images",
)  # fmt: skip


class ModelOptions(Options):
    """Options of both operations."""

    #: The model's own inputs, besides the pictures and the prompt.
    input: dict[str, JsonValue] = Field(default_factory=dict)


class Replicate(OneByOne):
    """Replicate's wire format, bound to one account."""

    NAME: ClassVar[str] = "replicate"
    BASE_URL: ClassVar[str | None] = "https://api.replicate.com"
    OPERATIONS: ClassVar[Mapping[str, Operation]] = {
        SWAP: Operation(
            name=SWAP,
            kind="swap",
            options=ModelOptions,
            needs={"source": Need(Via.URL), "target": Need(Via.URL)},
            typical_seconds=15.0,
            callback=True,
            results_live=RESULTS_LIVE_SECONDS,
            summary="puts the face of source onto target, by a model that you choose",
            free=_FREE,
            count_inputs=COUNT_INPUTS,
        ),
        GENERATE: Operation(
            name=GENERATE,
            kind="generate",
            options=ModelOptions,
            needs={"image": Need(Via.URL)},
            prompt="required",
            typical_seconds=30.0,
            callback=True,
            results_live=RESULTS_LIVE_SECONDS,
            summary="makes pictures of the person on image, by a model that you choose",
            free=_FREE,
            count_inputs=COUNT_INPUTS,
        ),
    }
    SETTINGS: ClassVar[type[BaseModel]] = ReplicateSettings

    def __init__(self, endpoint: Endpoint) -> None:
        super().__init__(endpoint)
        self.settings = settings_of(endpoint, ReplicateSettings)

    async def submit(self, order: Order, *, write_before: float) -> SubmitOutcome:
        """Create one prediction."""
        body: dict[str, object] = {
            "version": self.settings.swap_model if order.operation == SWAP else self.settings.generate_model,
            "input": {**order.options.model_dump()["input"], **self._inputs(order)},
        }
        if order.callback_url:
            body |= {"webhook": order.callback_url, "webhook_events_filter": ["completed"]}
        reply = await self.pay(self._request("POST", "/v1/predictions", body), write_before)
        return _read_submission(reply)

    async def poll_one(self, attempt: OpenAttempt) -> PollOutcome:
        """Get the prediction."""
        if attempt.handle is None:
            return Unanswered("Replicate's predictions can be polled only by id, and the id is not known")
        return _read_prediction(
            await self.ask(self._request("GET", f"/v1/predictions/{quote(attempt.handle, safe='')}"))
        )

    async def check(self) -> Credentials:
        """Get the account that the token belongs to."""
        reply = await self.ask(self._request("GET", "/v1/account"))
        answer = read(reply.body)
        if reply.ok and answer["username"].text:
            return Credentials(ok=True, message=f"the token belongs to the Replicate account {answer['username'].text}")
        message = f"HTTP {reply.status}, {_message(answer)}"
        if reply.status in BAD_CREDENTIALS:
            return Credentials(ok=False, message=f"Replicate refused the token: {message}")
        return Credentials(ok=None, message=f"Replicate's answer does not show whether the token is valid: {message}")

    def verify_callback(self, headers: Mapping[str, str], body: bytes, *, now: float) -> bool | None:
        """Check a webhook's signature as Standard Webhooks describes it, and that it is not a replay."""
        if self.settings.webhook_secret is None:
            return None
        key = _signing_key(self.settings.webhook_secret.get_secret_value()) or b""
        sent_id, sent_at = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
        if not (sent_id and sent_at.isascii() and sent_at.isdigit() and len(sent_at) <= len("1234567890123")):
            return False
        if abs(now - int(sent_at)) > WEBHOOK_WINDOW_SECONDS:
            return False
        signature = hmac.digest(key, f"{sent_id}.{sent_at}.".encode() + body, "sha256")
        wanted = f"v1,{base64.b64encode(signature).decode()}".encode()
        # All of them are compared, in constant time each: while a key is rotated, several are sent.
        given = (candidate.encode() for candidate in headers.get("webhook-signature", "").split())
        return sum(hmac.compare_digest(wanted, candidate) for candidate in given) > 0

    def callback_handle(self, body: bytes) -> str | None:
        """The id: a webhook's body is the prediction ("Receive webhooks")."""
        return read(body)["id"].handle

    def _inputs(self, order: Order) -> dict[str, str | None]:
        settings = self.settings
        if order.operation == SWAP:
            return {
                settings.swap_source: order.inputs["source"].url,
                settings.swap_target: order.inputs["target"].url,
            }
        return {settings.generate_image: order.inputs["image"].url, settings.generate_prompt: order.prompt}

    def _request(self, method: str, path: str, body: Mapping[str, object] | None = None) -> Request:
        headers = {"Authorization": f"Bearer {self.settings.token.get_secret_value()}"}
        return Request(method, self.endpoint.base_url + path, headers=headers, json=body)


def _signing_key(secret: str) -> bytes | None:
    """The bytes behind a signing secret, or None for what is none."""
    prefix, _, encoded = secret.partition("_")
    try:
        key = base64.b64decode(encoded, validate=True) if prefix == "whsec" else b""
    except binascii.Error:
        return None
    return key if len(key) >= MIN_SECRET_BYTES else None


def _read_submission(reply: Reply) -> SubmitOutcome:
    answer = read(reply.body)
    handle, status = answer["id"].handle, answer["status"].text
    if reply.ok and handle and status:
        outputs = _outputs(answer) if status == "succeeded" else ()
        # One that failed at once was accepted all the same; the poll reports how it ended.
        return Done(outputs, reply.body, _facts(answer), handle) if outputs else Accepted(handle, reply.body)
    verdict = submit_verdict(reply, _message(answer), (answer["title"].text, answer["detail"].text), TABLE)
    if isinstance(verdict, Throttled) and verdict.retry_after is None:
        return Throttled(_resets_in(answer), verdict.message, reply.body)
    return verdict


def _read_prediction(reply: Reply) -> PollOutcome:
    answer = read(reply.body)
    status = answer["status"].text
    if not reply.ok or status is None:
        unanswered = poll_verdict(reply, _message(answer))
        wait = unanswered.retry_after
        return replace(unanswered, retry_after=_resets_in(answer) if wait is None else wait)
    if status == "succeeded":
        outputs = _outputs(answer)
        if outputs:
            return Done(outputs, reply.body, _facts(answer))
        if answer["data_removed"].flag:
            return Failed(Reason.LOST, "Replicate has removed the output, as it does after an hour", raw=reply.body)
        return Failed(Reason.BAD_OUTPUT, "the model succeeded without a picture; check its version", raw=reply.body)
    if status == "failed":
        message = answer["error"].text or "no error was given"
        return failure(f"Replicate: {message}", [answer["error"].text], TABLE, reply.body)
    if status == "canceled":
        return Failed(Reason.CANCELED, "the prediction was canceled at Replicate", raw=reply.body)
    if status == "aborted":
        return Failed(Reason.TIMED_OUT, "Replicate never started the prediction", again=True, raw=reply.body)
    return Pending(reply.body)


def _outputs(answer: Answer) -> tuple[Output, ...]:
    """A model's output: one URL or a list of them."""
    output = answer["output"]
    return tuple(Output(url) for item in (output, *output) if (url := item.url))


def _facts(answer: Answer) -> Mapping[str, object]:
    return facts(model=answer["model"].text, predict_seconds=answer["metrics"]["predict_time"].number)


def _resets_in(answer: Answer) -> float | None:
    found = _RESETS_IN.search(answer["detail"].text or "")
    return float(found[1]) if found else None


def _message(answer: Answer) -> str:
    """What Replicate's problem document says, in one line."""
    said = [text for name in ("title", "detail") if (text := answer[name].text)]
    return ": ".join(said) or answer.problem or "an answer without a message"
