"""Qolaba's Face Consistency and Face Avatar, and the task status.

From Qolaba's pages "Face Consistency", "Face Avatar" and "Task Status" for the requests and answers, and from the
public source of the backend behind them (its schemas, errors and Celery settings) for what the pages leave out:

- Paths are served in any spelling of upper and lower case, since the pages differ.
- The backend's own ranges hold, which are wider than the pages'; height and width are rounded down to multiples of 8.
- An unknown or expired task is PENDING, as Celery says of every task it does not know; a finished answer has
  `task_id` null.
- A failed task is told with HTTP 200 or 500, here in turn; a fault rule's form "http-200" or "http-500" picks one. A
  wrong key is HTTP 500 "Internal Error". No credit is HTTP 402, which is invented: the gateway is not public.
- An avatar is a drawing, as the page's default prompt asks for ("VECTOR CARTOON ILLUSTRATION").
- Results end in .webp and are JPEG, or PNG where they have alpha. Pictures the filter takes for NSFW are missing in
  `result` and flagged in `Has_NSFW_Content`: here all pictures of a prompt with the word "nsfw", every second one with
  "risky", and as many as a rule for the fault "withhold" says.
"""

from __future__ import annotations

import time
import uuid
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, Field, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sandbox.desk import Desk
from sandbox.faults import Call, Rule
from sandbox.files import urls
from sandbox.jobs import Job
from sandbox.recipes import Portraits
from sandbox.requests import base_of, bearer, json_object, lasting

NAME = "qolaba"

CONSISTENCY = "ap-SwsTOsD7STxJ0obCkskUHw"
AVATAR = "ap-jL9u1wFpY5sRv2XmN3aQ44"

STEP = 8  # pixels: what lengths are rounded down to

AVATAR_PROMPT = "portrait of a {gender}"
AVATAR_SEED = 30  # the avatar code used one fixed seed for all
AVATAR_QUALITY = 60  # and this JPEG quality

ERRORS = {
    "no_face": ("Face Consistent Error", "Unable to detect faces. Please provide a clear image."),
    "unreadable": ("Image URL Error", "Given image type is not supported. Please try with JPG or PNG."),
    "content": ("Image Generation Error", "Request cancelled due to detection of NSFW content."),
    "internal": ("Internal Error", "Internal Error"),
    "bad_colour": ("Internal Error", "bg_color is not a hex colour"),
}

#: HTTP status of a failed task by the form a rule asks for; without one they take turns.
HTTP_OF_FAILURE = {"http-200": 200, "http-500": 500}


def _eighths(value: int) -> int:
    """Round a length in pixels down to a multiple of 8, as the backend's schema does."""
    return max(value - value % STEP, min(value, STEP))


Length = Annotated[int, Field(ge=1, le=20480), AfterValidator(_eighths)]
AvatarLength = Annotated[int, Field(ge=1, le=1024), AfterValidator(_eighths)]


class _Common(BaseModel):
    """What both operations take."""

    file_url: str
    batch: int = Field(ge=1, le=8)
    guidance_scale: float = Field(ge=0, le=30)
    negative_prompt: str | None = " "
    strength: float = Field(gt=0, le=1)
    inference_type: Literal["a10g", "a100", "h100"] = "a10g"
    celery: bool = False
    ref_id: str | None = None


class Consistency(_Common):
    """The backend's schema of Face Consistency."""

    prompt: str
    height: Length
    width: Length
    num_inference_steps: int = Field(ge=1, le=50)

    def recipe(self, seed: int) -> Portraits:
        """Return what is to be made."""
        return Portraits(self.file_url, self.prompt, self.width, self.height, self.batch, seed)

    def fault(self) -> str | None:
        """Return why the task will fail although the request is in order."""
        return None


class Avatar(_Common):
    """The backend's schema of Face Avatar."""

    prompt: str | None = None
    gender: Literal["male", "female"]
    remove_background: bool
    bg_color: str | None = None
    batch: int = Field(default=1, ge=1, le=8)
    height: AvatarLength = 1024
    width: AvatarLength = 1024
    num_inference_steps: int = Field(default=30, ge=1, le=40)
    guidance_scale: float = Field(default=7.5, ge=0, le=30)
    strength: float = Field(default=1.0, gt=0, le=1)

    def recipe(self, seed: int) -> Portraits:
        """Return what is to be made; the seed is the avatar code's own."""
        del seed
        return Portraits(
            self.file_url,
            self.prompt or AVATAR_PROMPT.format(gender=self.gender),
            self.width,
            self.height,
            self.batch,
            AVATAR_SEED,
            cutout=self.remove_background,
            background=self.bg_color,
            cartoon=True,
            quality=AVATAR_QUALITY,
        )

    def fault(self) -> str | None:
        """Return why the task will fail although the request is in order: a background that is not a valid colour."""
        digits = (self.bg_color or "000").removeprefix("#")
        hexadecimal = len(digits) in (3, 6) and all(digit in "0123456789abcdefABCDEF" for digit in digits)
        return None if hexadecimal else "bad_colour"


APPS: dict[str, tuple[str, type[Consistency | Avatar]]] = {
    CONSISTENCY: ("consistency", Consistency),
    AVATAR: ("avatar", Avatar),
}


class Qolaba:
    """Qolaba's endpoints on top of `desk`."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def routes(self) -> list[Route]:
        """Return the endpoints, relative to the provider's base address."""
        return [Route("/{path}", self.dispatch, methods=["POST"])]

    async def dispatch(self, request: Request) -> Response:
        """Find the endpoint by its path in any case, and read the body."""
        body = await json_object(request)
        if body is None:
            return _answer("FAILED", error=("Input Validation Error", "the body is not a JSON object"), http=500)
        match request.path_params["path"].lower():
            case "getimagetoimage":
                return await self._submit(request, body)
            case "getimage":
                return await self._poll(request, body)
        return JSONResponse({"message": "Not Found"}, 404)

    async def _submit(self, request: Request, body: dict[str, Any]) -> Response:
        account, app = lasting(bearer(request)), body.get("app_id")
        operation, schema = APPS.get(app, ("unknown", None)) if isinstance(app, str) else ("unknown", None)
        call = Call(NAME, "submit", operation, account or "", str(body.get("ref_id") or ""))

        async def work(rule: Rule | None) -> Response:
            if account is None:
                return _refuse("auth")
            if schema is None:
                return _answer("FAILED", error=("Service Not Found", f"no service {app}"), echo=body, http=500)
            try:
                # The pages call the picture `image`, the backend `file_url`: something in front of it renames it.
                asked = schema.model_validate({"file_url": body.get("image"), **body})
            except ValidationError as error:
                return _answer("FAILED", error=("Input Validation Error", str(error)), echo=body, http=500)
            recipe = asked.recipe(seed=uuid.uuid4().int % 2**31)
            notes = {"input": body, "app": app}
            handle = str(uuid.uuid4())
            job = await self._desk.accept(call, handle, recipe, rule=rule, notes=notes, error=asked.fault())
            if not asked.celery:
                return _final(request, await self._desk.finished(job))
            return _answer("PENDING", task=handle, echo=body)

        return await self._desk.serve(call, work, _refuse)

    async def _poll(self, request: Request, body: dict[str, Any]) -> Response:
        account, handle = lasting(bearer(request)), str(body.get("id") or "")
        job = await self._desk.jobs.find(NAME, handle, account=account or "")
        call = Call(NAME, "poll", job.operation if job else "unknown", account or "", handle)

        async def work(_: Rule | None) -> Response:
            if account is None:
                return _refuse("auth")
            now = time.time()
            gone = job is None or job.lost or now >= job.ready_at + self._desk.config.results_expire
            if job is None or gone or job.state(now) == "pending":
                return _answer("PENDING", task=handle)
            return _final(request, job)

        return await self._desk.serve(call, work, _refuse)


def _final(request: Request, job: Job) -> Response:
    """Return the answer for a job that is done or has failed."""
    echo, app = job.notes["input"], job.notes["app"]
    if job.error:
        http = HTTP_OF_FAILURE.get(job.notes.get("form") or "") or (500 if job.id % 2 else 200)
        return _answer("FAILED", error=ERRORS[job.error], echo=echo, app=app, http=http)
    flags = _flags(job)
    clean = [index for index, flagged in enumerate(flags) if not flagged]
    output = {
        "result": urls(base_of(request), job, clean),
        "Has_NSFW_Content": flags,
        "low_res_urls": urls(base_of(request), job, clean, low=True),
    }
    runtime = {"startup_time": 0, "runtime": round(job.ready_at - job.accepted_at, 3)}
    return _answer("SUCCESS", output=output, echo=echo, app=app, runtime=runtime)


def _flags(job: Job) -> list[bool]:
    """Return for each picture whether the content filter took it away."""
    words = str(job.recipe["prompt"]).lower()
    withheld = int(job.notes.get("withheld", 0))
    return [
        index < withheld or "nsfw" in words or ("risky" in words and index % 2 == 1) for index in range(job.pictures)
    ]


def _answer(
    status: Literal["PENDING", "SUCCESS", "FAILED"],
    *,
    task: str | None = None,
    error: tuple[str, str] | None = None,
    output: dict[str, Any] | None = None,
    echo: dict[str, Any] | None = None,
    app: str | None = None,
    runtime: dict[str, float] | None = None,
    http: int = 200,
) -> Response:
    """Return an answer in the one form all of Qolaba's endpoints have."""
    content = {
        "time_required": runtime or {},
        "error": error and error[0],
        "error_data": error and error[1],
        "input": echo or {},
        "output": output or {},
        "app_id": app,
        "task_id": task,
        "status": status,
    }
    return JSONResponse(content, http)


def _refuse(why: str) -> Response:
    if why == "auth":
        return _answer("FAILED", error=ERRORS["internal"], http=500)
    return JSONResponse({"message": "You do not have enough credits."}, 402)
