"""PiktID: `piktid.swap`, the consistent identities' "generate v2" (one face or head swap).

From PiktID's pages "Swap generate v2", "Swap", "Notification read", "Download history", "Images by id v2" and
"Authentication", and, where they differ or stop, from PiktID's own client (github.com/piktid/swapid).

A swap takes two uploads: the face becomes an identity that may serve any number of jobs, the target an image. The
target is uploaded for each job, because its `id_image` is all that distinguishes jobs: a submission has no job
id, and results arrive as events in one inbox for the whole account, mixed, for ten minutes. An attempt's handle is
therefore ``id_image/face``. An event is acknowledged only after its outcome is committed; one that was lost is made up
for by the history of the image. `error` events name no image in the pages, and an event without an image fails no
attempt: the image's own `errors_list` does.
"""

from __future__ import annotations

import json
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from http import HTTPStatus
from typing import Any, ClassVar, Final

from pydantic import BaseModel, Field, ValidationInfo, field_validator

from providers.answers import facts, read
from providers.classify import Table
from providers.http import Request
from providers.outcomes import (
    Absent,
    Accepted,
    Done,
    Found,
    LocateOutcome,
    NotYetKnown,
    Output,
    Pending,
    PollOutcome,
    SubmitOutcome,
    Unanswered,
)
from providers.piktid_account import PiktidAccount, PiktidSettings, bearer
from providers.piktid_answers import (
    ERROR_EVENT,
    SUFFIXES,
    Event,
    first_link,
    image_and_face,
    is_error,
    message_of,
    require_face,
    uploaded_handle,
    verdict,
)
from providers.protocol import Endpoint, Reply
from providers.replies import failure, locate_verdict, poll_verdict
from providers.spec import Need, OpenAttempt, Operation, Options, Order, Via

#: Neither codes nor names are documented: the codes are those of HTTP, and words decide.
TABLE: Final = Table()
_PROCESSING: Final = "processing"
#: A `swap` event counts only after this time: `download`, with the better picture, may follow, and no page says when.
#: PiktID's client looks every 30 s.
BETTER_SECONDS: Final = 15.0
#: An uploaded face is used again for this long. No page names an end; a week bounds how long we rely on an identity
#: that was removed at PiktID, and a new upload is free.
IDENTITY_LIFE: Final = timedelta(days=7)
#: The hair is taken over only by strengths above this (PiktID's client).
HAIR_ABOVE: Final = 0.5


class SwapOptions(Options):
    """Options of `piktid.swap`."""

    #: Which of the target's faces, counted from 0; thirty at most (PiktID's client).
    face: int = Field(default=0, ge=0, le=29)
    prompt_strength: float = Field(default=0.55, ge=0, le=1)
    seed: int | None = Field(default=None, ge=0)
    #: Swap the whole head, hair included.
    flag_hair: bool = False
    #: Take over the source's hair: only together with `flag_hair` and above a strength of 0.5 (PiktID's client).
    transfer_hair: bool = False
    watermark_url: str | None = Field(default=None, pattern=r"^https?://\S+$")

    @field_validator("transfer_hair")
    @classmethod
    def _takes_effect(cls, value: bool, info: ValidationInfo) -> bool:
        strength, head = info.data.get("prompt_strength"), info.data.get("flag_hair")
        if value and head is False:
            raise ValueError("true has an effect only with flag_hair = true; flag_hair is false")
        if value and strength is not None and strength <= HAIR_ABOVE:
            raise ValueError(
                f"true has an effect only with a prompt_strength over {HAIR_ABOVE}; prompt_strength is {strength}"
            )
        return value


class Piktid(PiktidAccount):
    """PiktID's wire format, bound to one account."""

    NAME: ClassVar[str] = "piktid"
    BASE_URL: ClassVar[str | None] = "https://api.piktid.com/api"
    OPERATIONS: ClassVar[Mapping[str, Operation]] = {
        "piktid.swap": Operation(
            name="piktid.swap",
            kind="swap",
            options=SwapOptions,
            needs={"source": Need(Via.UPLOAD, life=IDENTITY_LIFE), "target": Need(Via.UPLOAD, shared=False)},
            typical_seconds=30.0,
            summary="puts the face of source onto target",
        )
    }
    SETTINGS: ClassVar[type[BaseModel]] = PiktidSettings
    POLL_MANY: ClassVar[int] = 1_000
    CAN_LOCATE: ClassVar[bool] = True

    def __init__(self, endpoint: Endpoint) -> None:
        super().__init__(endpoint)
        #: When this process saw each event of the inbox first, by its id; where that is lost, a result comes later.
        self._seen: Mapping[str | None, float] = {}

    # --- Uploads and submission --------------------------------------------------------------------------------------

    async def upload(self, role: str, order: Order, data: bytes) -> str:
        """Upload the face (gives an `identity_name`) or the target (gives an `image_id`)."""
        media_type = order.inputs[role].media_type
        # By the name of its file, too, an event of the target can be told from those of others.
        name = order.reference if role == "target" else role
        file = (f"{name}.{SUFFIXES.get(media_type, 'jpg')}", data, media_type or "image/jpeg")
        if role == "source":
            reply = await self._upload("/consistent_identities/upload_face", {self.settings.face_field: file}, {})
            return uploaded_handle(reply, "identity_name")
        options = _swap_options(order)
        form = {"options": json.dumps({"flag_hair": True} if options.flag_hair else {})}
        reply = await self._upload("/consistent_identities/upload_target", {"file": file}, form)
        handle = uploaded_handle(reply, "image_id")
        require_face(reply, options.face)
        return handle

    def locator(self, order: Order) -> str | None:
        """Name the uploaded target and its face, which is the handle as well."""
        target = order.inputs["target"].handle
        return f"{target}/{_swap_options(order).face}" if target else None

    async def submit(self, order: Order, *, write_before: float) -> SubmitOutcome:
        """Start one swap. Nothing in the answer is needed: a failure comes as an event, even after HTTP 200."""
        options = _swap_options(order)
        wanted: dict[str, Any] = {
            "flag_replace_and_download": True,
            **({"watermark_url": options.watermark_url} if options.watermark_url else {}),
            "prompt_strength": options.prompt_strength,
            **({"seed": options.seed} if options.seed is not None else {}),
            **({"transfer_hair": True} if options.transfer_hair else {}),
        }
        body = {
            "identity_name": order.inputs["source"].handle,
            "id_image": order.inputs["target"].handle,
            "id_face": options.face,
            "options": json.dumps(wanted),
        }
        reply = await self.call(self._json("POST", self.settings.generate_path, body), write_before=write_before)
        answer = read(reply.body)
        handle = self.locator(order)
        if handle and reply.ok and answer.is_object and not is_error(answer):
            return Accepted(handle, reply.body)
        return verdict(reply, answer)

    # --- The inbox and the history -----------------------------------------------------------------------------------

    async def poll(self, attempts: Sequence[OpenAttempt]) -> Mapping[uuid.UUID, PollOutcome]:
        """Read the inbox once for all of `attempts`."""
        names = ", ".join((*self.settings.result_events, ERROR_EVENT))
        reply = await self.call(self._json("POST", self.settings.read_path, {"name_list": names}))
        answer = read(reply.body)
        inbox = answer["notifications_list"]
        if not reply.ok or not inbox.is_list:
            unanswered = poll_verdict(reply, message_of(answer))
            return {attempt.reference: unanswered for attempt in attempts}
        events, now = [Event.read(item) for item in inbox], time.time()
        self._seen = {event.id: self._seen.get(event.id, now) for event in events}
        by_target: defaultdict[str, list[Event]] = defaultdict(list)
        for event in events:
            if event.target is not None:
                by_target[event.target].append(event)
        return {attempt.reference: self._outcome(attempt, by_target) for attempt in attempts}

    def _outcome(self, attempt: OpenAttempt, events: Mapping[str, Sequence[Event]]) -> PollOutcome:
        """What the events of one attempt's target and face say."""
        image, face = image_and_face(attempt)
        if image is None:
            return Unanswered("PiktID's events can be matched only by the image that was uploaded")
        ours = [
            event
            for target in (image, str(attempt.reference))
            for event in events.get(target, ())
            if event.face in (None, face)
        ]
        receipts = tuple(event.id for event in ours if event.id is not None)
        for name in self.settings.result_events:
            for event in ours:
                output = event.output() if event.name == name else None
                if output:
                    wait = self._better_in(event)
                    if 0 < wait < attempt.left:
                        return Pending(look_in=wait)
                    return Done((output,), event.data.dump(), handle=f"{image}/{face}", receipts=receipts)
        for event in ours:
            if event.name == ERROR_EVENT:
                message = event.data["msg"].text or "no message"
                said = [event.data["msg"].text]
                return failure(f"PiktID: {message}", said, TABLE, event.data.dump(), receipts)
        return Pending()

    def _better_in(self, event: Event) -> float:
        """Seconds to wait for an event that carries a better picture; the event stays in the inbox meanwhile."""
        if event.name == self.settings.result_events[0]:
            return 0.0
        now = time.time()
        since = min(self._seen.get(event.id, now), now if event.at is None else event.at)
        return since + BETTER_SECONDS - now

    @property
    def look_up_after(self) -> float:
        """Events vanish, and a failed swap has none that names it."""
        return self.settings.history_after

    async def look_up(self, attempt: OpenAttempt) -> PollOutcome:
        """Ask the history for the swap of one attempt, and if it has none, its image for an error."""
        image, face = image_and_face(attempt)
        if image is None:
            return Unanswered("PiktID's history can be asked only for the image that was uploaded")
        reply = await self._history(image)
        history = read(reply.body)["history"]
        url = first_link(history) if reply.ok else None
        if url:
            output = Output(url, facts(from_history=True))
            return Done((output,), reply.body, handle=f"{image}/{face}")
        if reply.ok and history.value == []:
            reply = await self._image(image)
            answer = read(reply.body)
            errors = [] if answer["status"].text == _PROCESSING else list(answer["errors_list"])
            if reply.ok and answer.is_object:
                return self._outcome(attempt, {image: [Event.of_error(image, error) for error in errors]})
        if reply.status == HTTPStatus.METHOD_NOT_ALLOWED:
            return Pending(reply.body)  # the page's answer for an image that it does not, or no longer, know
        return poll_verdict(reply, message_of(read(reply.body)))

    async def acknowledge(self, receipts: Sequence[str]) -> None:
        """Delete events; one that stays is harmless and vanishes by itself."""
        for receipt in receipts:
            body = {"id": int(receipt) if receipt.isdigit() else receipt}
            await self.call(self._json("DELETE", self.settings.delete_path, body))

    async def locate(self, attempt: OpenAttempt) -> LocateOutcome:
        """Look the image up: the history has a finished swap, the image one that is under way or failed."""
        image, face = image_and_face(attempt)
        if image is None:
            return NotYetKnown("no image was uploaded for this attempt", asked=False)
        reply = await self._history(image)
        answer = read(reply.body)
        if reply.ok and first_link(answer["history"]):
            return Found(f"{image}/{face}")
        if reply.ok and answer["history"].value == []:
            reply = await self._image(image)
            answer = read(reply.body)
            generations, errors = answer["generations_per_face"], answer["errors_list"]
            if reply.ok and generations.is_list:
                begun = any(item.integer for item in generations) or any(errors)
                taken = answer["status"].text == _PROCESSING or begun
                return Found(f"{image}/{face}") if taken else Absent()
        return locate_verdict(reply, message_of(answer))

    async def _history(self, image: str | None) -> Reply:
        return await self.call(self._json("POST", self.settings.history_path, {"id_image": image, "app": "swap"}))

    async def _image(self, image: str) -> Reply:
        return await self.call(self._json("POST", self.settings.image_path, {"id_image": image}))

    # --- Requests ----------------------------------------------------------------------------------------------------

    def _json(self, method: str, path: str, body: Mapping[str, Any]) -> Callable[[str], Request]:
        url = self.endpoint.base_url + path
        return lambda token: Request(method, url, headers=bearer(token), json=body)

    async def _upload(self, path: str, files: Mapping[str, tuple[str, bytes, str]], form: Mapping[str, str]) -> Reply:
        def build(token: str) -> Request:
            url = self.endpoint.base_url + path
            request = Request("POST", url, headers=bearer(token), files=files, data=form)
            request.read()  # the multipart stream as plain bytes, which any transport can send
            return request

        return await self.call(build)


def _swap_options(order: Order) -> SwapOptions:
    return SwapOptions.model_validate(order.options.model_dump())
