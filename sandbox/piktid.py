"""PiktID's consistent identities: tokens, uploads, "generate v2", the inbox and the history.

From PiktID's pages "Swap generate v2", "Swap", "Authentication", "Tokens refresh", "Notification read", "Notifications
by name", "Download history image" and "Images by id v2", and from PiktID's own client (github.com/piktid/swapid):

- A submission is answered by the schema of an upload, as the page has it. There is no job id: results are events in one
  inbox for the whole account, and name the image.
- An `error` event names neither image nor face. It is how a job fails, also for a face that is not there or not
  approved: the submission was accepted, and is on the bill.
- A link is a text or an object ``{l, n, t}``, here in turn. `new_generation` is progress, and its link no result.
- A `swap` event names the target as `target_name` and the person as `face_name`, and nothing else. No page says what
  a target's name is: here in turn the image's id, the name of the uploaded file, and that name without its ending.
- The history lists finished swaps only, and answers 405 for an image it does not know.

What the pages leave open and the sandbox chose: a body that cannot be understood, or an unknown image or identity, is
400 and costs nothing. Calls of the inbox that come too soon get 429 without Retry-After. Deleting an unknown event is
405. Both results come where `flag_replace_and_download` is true, else only `swap`; `download` comes in turn with it and
some time later. A face under 40 pixels wide is not approved. Nothing is watermarked. Without real pictures every target
has one face, and it is approved.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable
from typing import Annotated, Any

from pydantic import BaseModel, Field, Json, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sandbox.config import CREDENTIAL
from sandbox.desk import Desk
from sandbox.faults import Call, CallKind, Rule
from sandbox.files import urls
from sandbox.inbox import Inbox
from sandbox.jobs import Job
from sandbox.piktid_answers import MESSAGES, date, described, event_data, faces_in, link_to, per_face, problem, refuse
from sandbox.recipes import Swap
from sandbox.requests import base_of, basic, bearer, json_object, lasting, picture
from sandbox.studio import Box, UnusableInputError
from sandbox.tokens import Tokens
from sandbox.uploads import Upload, Uploads

NAME = "piktid"
TARGET = "target"
FACE = "face"

#: What the schema of an upload's answer has and a submission's answer leaves empty.
UNUSED = ("faces", "coordinates_list", "thumbnails", "blurred_faces_list", "face_description_list")

KEPT_SECONDS = 30 * 86_400.0  # `store_until` of an image, from its last job; the page gives no figure

#: What a target's only face is taken for where no pictures are looked at.
SOME_FACE = Box(0.35, 0.2, 0.3, 0.4, large=True)


class _TargetOptions(BaseModel):
    """`options` of upload_target."""

    flag_hair: bool = False


class _SwapOptions(BaseModel):
    """`options` of generate v2, which come as JSON within a string."""

    flag_replace_and_download: bool = False
    prompt_strength: float = Field(default=0.55, ge=0, le=1)
    watermark_url: str | None = None
    seed: int | None = None
    transfer_hair: bool = False


class _Generate(BaseModel):
    """The body of generate v2: all is optional on the page, and these are needed all the same."""

    id_image: str
    id_face: Annotated[int, Field(ge=0)]
    identity_name: str
    options: Json[_SwapOptions] = _SwapOptions()


class Piktid:
    """PiktID's endpoints on top of `desk`."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._tokens = Tokens(desk.store, desk.config.tokens_expire)
        self._uploads = Uploads(desk.store)
        self._inbox = Inbox(desk.store, desk.config.inbox_expire)
        self._inbox.load(desk.jobs, NAME, time.time())
        self._last_read: dict[str, float] = {}
        desk.on_end[NAME] = self._inbox.put

    def routes(self) -> list[Route]:
        """Return the endpoints, relative to the provider's base address."""
        return [
            Route("/tokens", self.log_in, methods=["POST"]),
            Route("/tokens", self.refresh, methods=["PUT"]),
            Route("/consistent_identities/upload_target", self.upload_target, methods=["POST"]),
            Route("/consistent_identities/upload_face", self.upload_face, methods=["POST"]),
            Route("/consistent_identities/generate/v2", self.generate, methods=["POST"]),
            Route("/consistent_identities/generate", self.generate, methods=["POST"]),
            Route("/consistent_identities/notification/read", self.read, methods=["POST"]),
            Route("/notification_by_name_json", self.read_filtered, methods=["POST"]),
            Route("/notification/delete_json", self.delete, methods=["DELETE"]),
            Route("/history", self.history, methods=["POST"]),
            Route("/images_by_id/v2", self.image, methods=["POST"]),
        ]

    # --- Tokens ------------------------------------------------------------------------------------------------------

    async def log_in(self, request: Request) -> Response:
        """Give a pair of tokens for email and password (HTTP Basic)."""
        email, password = basic(request)
        account = lasting(email) if password == CREDENTIAL else None

        async def work(_: Rule | None) -> Response:
            if account is None:
                return refuse("auth")
            pair = await self._tokens.issue(account)
            return JSONResponse({"access_token": pair.access, "refresh_token": pair.refresh})

        return await self._desk.serve(_call("token", "login", account), work, refuse)

    async def refresh(self, request: Request) -> Response:
        """Give a pair of tokens for an older one, once."""
        body = await json_object(request) or {}
        access, refresh = str(body.get("access_token")), str(body.get("refresh_token"))

        async def work(_: Rule | None) -> Response:
            pair = await self._tokens.refresh(access, refresh)
            return refuse("auth") if pair is None else JSONResponse(described(pair))

        return await self._desk.serve(_call("token", "refresh", self._tokens.account(access)), work, refuse)

    # --- Uploads -----------------------------------------------------------------------------------------------------

    async def upload_target(self, request: Request) -> Response:
        """Take the picture that is to receive a face, and say which faces it has."""
        account = self._account(request)

        async def work(_: Rule | None) -> Response:
            if account is None:
                return refuse("auth")
            try:
                data, form = await picture(request, "file")
                options = _TargetOptions.model_validate_json(form.get("options") or "{}")
                boxes = await self._boxes(data)
            except (UnusableInputError, ValidationError) as error:
                return problem(400, "bad request", str(error))
            name = secrets.token_hex(12)
            faces = faces_in(boxes)
            notes = {"approved": faces["approved_faces"], "hair": options.flag_hair, "file": form["filename"]}
            await self._keep(account, TARGET, name, data, notes)
            return JSONResponse({"image_id": name, "faces": faces})

        return await self._desk.serve(_call("upload", "upload_target", account), work, refuse)

    async def upload_face(self, request: Request) -> Response:
        """Take the face of an identity, under the client's name for it or a new one."""
        account = self._account(request)

        async def work(_: Rule | None) -> Response:
            if account is None:
                return refuse("auth")
            try:
                data, form = await picture(request, "file", "face")
                boxes = await self._boxes(data)
            except UnusableInputError as error:
                return problem(400, "bad request", str(error))
            if not boxes:
                return problem(400, "no face detected", "the picture of an identity must show a face")
            name = form.get("identity_name") or secrets.token_urlsafe(9)
            await self._keep(account, FACE, name, data, {})
            return JSONResponse({"identity_name": name})

        return await self._desk.serve(_call("upload", "upload_face", account), work, refuse)

    async def _boxes(self, data: bytes) -> list[Box]:
        if self._desk.config.pictures == "cheap":
            return [SOME_FACE]
        return await asyncio.to_thread(self._desk.studio.boxes, data)

    async def _keep(self, account: str, kind: str, name: str, data: bytes, notes: dict[str, Any]) -> None:
        picture = await asyncio.to_thread(self._desk.studio.keep, data)
        await self._uploads.add(Upload(account, kind, name, picture, notes))

    # --- Jobs --------------------------------------------------------------------------------------------------------

    async def generate(self, request: Request) -> Response:
        """Take a swap of one face of an uploaded target."""
        account, body = self._account(request), await json_object(request) or {}
        reference = f"{body.get('id_image')}/{body.get('id_face')}"

        async def work(rule: Rule | None) -> Response:
            if account is None:
                return refuse("auth")
            try:
                asked = _Generate.model_validate(body)
            except ValidationError as error:
                return problem(400, "bad request", str(error))
            target = self._uploads.find(account, TARGET, asked.id_image)
            face = self._uploads.find(account, FACE, asked.identity_name)
            if target is None or face is None:
                return problem(400, "bad request", "unknown id_image" if target is None else "unknown identity_name")
            approved: list[int] = target.notes["approved"]
            usable = asked.id_face < len(approved) and approved[asked.id_face]
            head = target.notes["hair"] or asked.options.transfer_hair
            await self._desk.accept(
                call,
                reference,
                Swap(face.picture, target.picture, face=asked.id_face, head=head),
                rule=rule,
                notes={
                    "image": asked.id_image,
                    "file": target.notes.get("file") or asked.id_image,
                    "face": asked.id_face,
                    "identity": asked.identity_name,
                    "download": asked.options.flag_replace_and_download,
                },
                error=None if usable else "no_face",
            )
            return JSONResponse({"image_id": asked.id_image, **{name: [] for name in UNUSED}})

        call = Call(NAME, "submit", "swap", account or "", reference)
        return await self._desk.serve(call, work, refuse)

    # --- The inbox ---------------------------------------------------------------------------------------------------

    async def read(self, request: Request) -> Response:
        """Return the account's events that have one of the names in `name_list`, a text with commas."""
        body = await json_object(request) or {}
        names = body.get("name_list")
        if not isinstance(names, str):
            return problem(400, "bad request", "name_list is a string")
        return await self._read(request, names.split(","), image=None)

    async def read_filtered(self, request: Request) -> Response:
        """Return the account's events, those of one image where `id_image` is given."""
        body = await json_object(request) or {}
        names, image = body.get("name_list"), body.get("id_image")
        if isinstance(names, str):
            names = names.split(",")
        return await self._read(request, names if isinstance(names, list) else None, image=image)

    async def _read(self, request: Request, names: list[str] | None, *, image: str | None) -> Response:
        account = self._account(request)
        call = _call("poll", "inbox", account)
        wanted = None if names is None else {str(name).strip() for name in names}

        async def work(_: Rule | None) -> Response:
            if account is None:
                return refuse("auth")
            moment, last = time.monotonic(), self._last_read.get(account)
            if last is not None and moment < last + self._desk.config.inbox_gap:
                self._desk.stats.too_soon(call)
                return problem(429, "too many requests", "poll at most every 3 seconds")
            self._last_read[account] = moment
            base = base_of(request)
            events = [
                {"id": event.id, "name": event.name, "timestamp": int(event.at), "data": event_data(event, base)}
                for event in self._inbox.read(account, time.time())
                if (wanted is None or event.name in wanted) and image in (None, event.job.notes["image"])
            ]
            return JSONResponse({"notifications_list": events})

        return await self._desk.serve(call, work, refuse)

    async def delete(self, request: Request) -> Response:
        """Delete one event: a DELETE with a body."""
        account, body = self._account(request), await json_object(request) or {}

        async def work(_: Rule | None) -> Response:
            if account is None:
                return refuse("auth")
            number = body.get("id")
            if not isinstance(number, int) or not await self._inbox.delete(account, number, time.time()):
                return problem(405, "not allowed", "there is no such notification")
            return JSONResponse({"msg": "deleted"})

        return await self._desk.serve(_call("poll", "delete", account), work, refuse)

    # --- The history -------------------------------------------------------------------------------------------------

    async def history(self, request: Request) -> Response:
        """Return links to what is finished of an image."""

        def answer(jobs: list[Job]) -> dict[str, Any]:
            done = [job for job in jobs if job.state(time.time()) == "done"]
            info = [{"f": job.notes["face"], "t": int(job.ready_at)} for job in done]
            return {"history": [link_to(job, base_of(request)) for job in done], "info_list": info}

        return await self._about(request, "history", answer)

    async def image(self, request: Request) -> Response:
        """Return the state of an image."""

        def answer(jobs: list[Job]) -> dict[str, Any]:
            now = time.time()
            states = [job.state(now) for job in jobs]
            done = [job for job, state in zip(jobs, states, strict=True) if state == "done"]
            last = max((job.ready_at for job in jobs), default=now)
            return {
                "status": "processing" if "pending" in states else "done",
                "store_until": date(last + KEPT_SECONDS),
                "errors_list": [
                    MESSAGES[job.error or "internal"]
                    for job, state in zip(jobs, states, strict=True)
                    if state == "failed"
                ],
                "new": [
                    {"f": job.notes["face"], "l": urls(base_of(request), job, range(1))[0], "t": int(job.ready_at)}
                    for job in done
                ],
                "generations_per_face": per_face(jobs),
                "replace_per_face": per_face(done),
            }

        return await self._about(request, "image", answer)

    async def _about(self, request: Request, operation: str, answer: Callable[[list[Job]], dict[str, Any]]) -> Response:
        """Answer a question about one image by its jobs."""
        account, body = self._account(request), await json_object(request) or {}
        image = body.get("id_image")

        async def work(_: Rule | None) -> Response:
            if account is None:
                return refuse("auth")
            if not isinstance(image, str) or self._uploads.find(account, TARGET, image) is None:
                return problem(405, "not allowed", "id_image is missing, invalid or expired")
            jobs = await self._desk.jobs.under(NAME, f"{image}/", account=account)
            return JSONResponse(answer([job for job in jobs if not job.lost]))

        return await self._desk.serve(_call("poll", operation, account, str(image or "")), work, refuse)

    def _account(self, request: Request) -> str | None:
        return self._tokens.account(bearer(request))


def _call(kind: CallKind, operation: str, account: str | None, reference: str = "") -> Call:
    return Call(NAME, kind, operation, account or "", reference)
