"""Replicate's predictions and signed webhooks, with two models: a face swap and a portrait generator.

From Replicate's pages "Create a prediction", "Get a prediction", "Prediction lifecycle", "Data retention", "Rate
limits", "Receive webhooks" and "Verify webhooks", and the pages of the models codeplugtech/face-swap and
bytedance/flux-pulid for their inputs and outputs:

- A prediction is starting, processing, then succeeded, failed or canceled.
- An output is one address (the swap) or a list of them (the generator); after an hour it is removed, which the
  prediction says by `data_removed`. Here that is so once `files_expire` is over.
- Errors are problem documents ``{title, detail, status}``. How long to wait after a 429 stands in its text.
- A webhook has the form of the prediction, and is signed as Standard Webhooks describes it. Without a filter it is sent
  for "output" and "completed". The last one is repeated where it was not answered by 2xx "within a few seconds", with
  growing delays, the last time about a minute after the end; the others are not.

What the sandbox chose: 2, 4, 8, 16 and 30 s of delay, 5 s for an answer, and that there are never any logs. A failed
prediction is one that was canceled where a fault rule's form is "canceled". Pictures that are withheld are missing in
the output, and without any the prediction fails, as the generator's own filter has it.
"""

from __future__ import annotations

import base64
import hmac
import json
import secrets
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Literal

from pydantic import BaseModel, Field, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sandbox.callbacks import COMPLETED, START, CallbackRequest, CallbackStyle, Notice
from sandbox.config import WEBHOOK_SECRET
from sandbox.desk import Desk
from sandbox.faults import Call, CallKind, Rule
from sandbox.files import urls
from sandbox.jobs import Job
from sandbox.recipes import Portraits, Recipe, Swap
from sandbox.requests import base_of, bearer, json_object, lasting, web_address

NAME = "replicate"

OUTPUT = "output"
EVENTS = frozenset({START, OUTPUT, "logs", COMPLETED})
BY_DEFAULT = (OUTPUT, COMPLETED)
REPEAT_AFTER = (2.0, 4.0, 8.0, 16.0, 30.0)  # seconds: the last one about a minute after the end
CALLBACK_SECONDS = 5.0  # "within a few seconds"

UNKNOWN = "unknown"  # the operation of a version that does not exist

STARTING_PART = 0.25  # of a prediction's time, in which it has not begun

ERRORS = {
    "no_face": "No face detected in the input image.",
    "unreadable": "The input image cannot be read.",
    "content": "NSFW content detected. Try running it again, or try a different prompt.",
    "internal": "Prediction interrupted; please retry (code: PA)",
}

ENDINGS: dict[str, Literal["jpeg", "png", "webp"]] = {"jpg": "jpeg", "png": "png", "webp": "webp"}


class _FaceSwap(BaseModel):
    """Inputs of codeplugtech/face-swap: `swap_image` gives the face."""

    input_image: str = Field(pattern="^(https?://|data:)")
    swap_image: str = Field(pattern="^(https?://|data:)")

    def recipe(self) -> Recipe:
        """Return what is to be made."""
        return Swap(self.swap_image, self.input_image)


class _Portrait(BaseModel):
    """Inputs of bytedance/flux-pulid that the sandbox knows what to do with; others are taken, and mean nothing."""

    main_face_image: str = Field(pattern="^(https?://|data:)")
    prompt: str = "portrait, color, cinematic"
    width: int = Field(default=896, ge=256, le=1536)
    height: int = Field(default=1152, ge=256, le=1536)
    num_outputs: int = Field(default=1, ge=1, le=4)
    output_format: Literal["webp", "jpg", "png"] = "webp"
    output_quality: int = Field(default=80, ge=1, le=100)
    seed: int | None = None

    def recipe(self) -> Recipe:
        """Return what is to be made."""
        return Portraits(
            self.main_face_image,
            self.prompt,
            self.width,
            self.height,
            self.num_outputs,
            secrets.randbits(31) if self.seed is None else self.seed,
            quality=self.output_quality,
            ending=self.output_format,
            opaque=ENDINGS[self.output_format],
        )


@dataclass(frozen=True, slots=True)
class _Model:
    name: str
    operation: str
    inputs: type[_FaceSwap | _Portrait]
    lists: bool


MODELS = {
    "278a81e7ebb22db98bcba54de985d22cc1abeead2754eb1f2af717247be69b34": _Model(
        "codeplugtech/face-swap", "swap", _FaceSwap, lists=False
    ),
    "8baa7ef2255075b46f4d91cd238c21d31181b3e6a864463f967960bb0112525b": _Model(
        "bytedance/flux-pulid", "generate", _Portrait, lists=True
    ),
}


class Replicate:
    """Replicate's endpoints on top of `desk`."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        desk.callbacks.manners[NAME] = CallbackStyle(self._callback, _taken, REPEAT_AFTER, CALLBACK_SECONDS)

    def routes(self) -> list[Route]:
        """Return the endpoints, relative to the provider's base address."""
        return [
            Route("/v1/predictions", self.create, methods=["POST"]),
            Route("/v1/predictions/{id}", self.get),
            Route("/v1/account", self.account),
            Route("/v1/webhooks/default/secret", self.secret),
        ]

    async def create(self, request: Request) -> Response:
        """Take a prediction."""
        account, body = lasting(bearer(request)), await json_object(request) or {}
        version = str(body.get("version") or "").rpartition(":")[2]
        model = MODELS.get(version)
        handle = secrets.token_hex(13)
        call = _call("submit", model.operation if model else UNKNOWN, account, handle)

        async def work(rule: Rule | None) -> Response:
            if account is None:
                return _refuse("auth")
            if model is None:
                return _problem(422, "Invalid version or not permitted", "The specified version does not exist.")
            try:
                recipe = model.inputs.model_validate(body.get("input")).recipe()
            except ValidationError as error:
                places = [".".join(map(str, ("input", *item["loc"]))) for item in error.errors()]
                return _problem(422, "Input validation failed", "\n".join(f"- {place} is invalid" for place in places))
            url, events = body.get("webhook"), body.get("webhook_events_filter", list(BY_DEFAULT))
            if (
                (url and not web_address(url))
                or not isinstance(events, list)
                or not EVENTS.issuperset(map(str, events))
            ):
                return _problem(422, "Input validation failed", "- webhook or webhook_events_filter is invalid")
            notes = {"base": base_of(request), "version": version, "input": body["input"]}
            wanted = CallbackRequest(url, tuple(event for event in events if event != "logs")) if url else None
            job = await self._desk.accept(call, handle, recipe, rule=rule, notes=notes, callback=wanted)
            return JSONResponse(self._prediction(job, base_of(request)), 201)

        return await self._desk.serve(call, work, _refuse, _throttle)

    async def get(self, request: Request) -> Response:
        """Return a prediction."""
        account, handle = lasting(bearer(request)), request.path_params["id"]
        job = await self._desk.jobs.find(NAME, handle, account=account or "")
        call = _call("poll", job.operation if job else UNKNOWN, account, handle)

        async def work(_: Rule | None) -> Response:
            if account is None:
                return _refuse("auth")
            if job is None or job.lost:
                return _problem(404, "Not found", "The requested resource could not be found.")
            return JSONResponse(self._prediction(job, base_of(request)))

        return await self._desk.serve(call, work, _refuse, _throttle)

    async def account(self, request: Request) -> Response:
        """Return the account of the token."""
        account = lasting(bearer(request))

        async def work(_: Rule | None) -> Response:
            if account is None:
                return _refuse("auth")
            return JSONResponse({"type": "organization", "username": account, "name": account, "github_url": ""})

        return await self._desk.serve(_call("poll", "account", account), work, _refuse, _throttle)

    async def secret(self, request: Request) -> Response:
        """Return the key that signs webhooks."""
        account = lasting(bearer(request))

        async def work(_: Rule | None) -> Response:
            return _refuse("auth") if account is None else JSONResponse({"key": WEBHOOK_SECRET})

        return await self._desk.serve(_call("poll", "secret", account), work, _refuse, _throttle)

    def _prediction(self, job: Job, base: str) -> dict[str, Any]:
        """Return a prediction as it is now."""
        now, model = time.time(), MODELS[job.notes["version"]]
        begun_at = job.accepted_at + (job.ready_at - job.accepted_at) * STARTING_PART
        status, error = _ending(job) if job.state(now) != "pending" else ("processing", None)
        if now < begun_at:
            status = "starting"
        ended = status not in {"starting", "processing"}
        expire = self._desk.config.files_expire
        removed = ended and expire is not None and now >= job.ready_at + expire
        output: str | list[str] | None = None
        if status == "succeeded" and not removed:
            found = urls(base, job, range(int(job.notes.get("withheld", 0)), job.pictures))
            output = found if model.lists else found[0]
        url = f"{base}/{NAME}/v1/predictions/{job.handle}"
        return {
            "id": job.handle,
            "model": model.name,
            "version": job.notes["version"],
            "input": {} if removed else job.notes["input"],
            "logs": "",
            "output": output,
            "data_removed": removed,
            "error": error,
            "status": status,
            "created_at": _date(job.accepted_at),
            "started_at": None if now < begun_at else _date(begun_at),
            "completed_at": _date(job.ready_at) if ended else None,
            "metrics": {"predict_time": round(job.ready_at - begun_at, 6)} if ended else {},
            "urls": {"get": url, "cancel": f"{url}/cancel"},
        }

    def _callback(self, job: Job, event: str, forged: bool) -> Notice:
        """Write and sign one event; a forged one shows a picture that does not exist, signed by another."""
        base = job.notes["base"]
        prediction = self._prediction(job, base)
        if forged:
            wrong = f"{base}/_files/{NAME}/0-0.png"
            output = [wrong] if MODELS[job.notes["version"]].lists else wrong
            prediction |= {"status": "succeeded", "output": output, "error": None}
        body = json.dumps(prediction).encode()
        message, sent_at = f"msg_{job.handle}_{event}", str(int(time.time()))
        key = secrets.token_bytes(24) if forged else base64.b64decode(WEBHOOK_SECRET.removeprefix("whsec_"))
        signature = hmac.digest(key, f"{message}.{sent_at}.".encode() + body, "sha256")
        signed = f"v1,{base64.b64encode(signature).decode()}"
        return Notice(body, {"webhook-id": message, "webhook-timestamp": sent_at, "webhook-signature": signed})


def _call(kind: CallKind, operation: str, account: str | None, reference: str = "") -> Call:
    return Call(NAME, kind, operation, account or "", reference)


def _ending(job: Job) -> tuple[str, str | None]:
    """Return the last status of a job, and the error if it has one."""
    if job.error and job.notes.get("form") == "canceled":
        return "canceled", None
    if job.error:
        return "failed", ERRORS.get(job.error, job.detail)
    if int(job.notes.get("withheld", 0)) >= job.pictures:
        return "failed", ERRORS["content"]
    return "succeeded", None


def _taken(status: int, _: bytes) -> bool:
    return HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES


def _date(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")


def _problem(status: int, title: str, detail: str) -> Response:
    content = {"title": title, "detail": detail, "status": status}
    return JSONResponse(content, status, media_type="application/problem+json")


def _throttle(rule: Rule) -> Response:
    detail = f"Request was throttled. Your rate limit resets in ~{round(rule.retry_after)}s."
    return _problem(429, "Too many requests", detail)


def _refuse(why: str) -> Response:
    if why == "auth":
        return _problem(401, "Unauthenticated", "You did not pass a valid authentication token")
    return _problem(402, "Insufficient credit", "You have insufficient credit to run this model.")
