"""PiktID: `piktid.swap`, the consistent identities' "generate v2" (one face or head swap).

From PiktID's pages "Swap generate v2", "Swap", "Notification read", "Download history", "Images by id v2" and
"Authentication", and, where they differ or stop, from PiktID's own client (github.com/piktid/swapid).

A swap takes two uploads: the face becomes an identity that may serve any number of jobs, the target an image. The
target is uploaded for each job, because its `id_image` is all that distinguishes jobs: a submission has no job
id, and results arrive as events in one inbox for the whole account, mixed, for ten minutes. An attempt's handle is
therefore ``id_image/face``. An event is acknowledged only after its outcome is committed; one that was lost is made up
for by the history of the image. `error` events name no image in the pages, and an event without an image fails no
attempt: its job runs into its deadline.
"""

from __future__ import annotations

import json
import random
import uuid
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, ClassVar, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from models.states import Reason
from providers.answers import facts, read
from providers.http import BasicAuth, Request
from providers.outcomes import (
    Absent,
    Accepted,
    Credentials,
    Done,
    Failed,
    Found,
    LocateOutcome,
    NotYetKnown,
    Output,
    Pending,
    PollOutcome,
    SubmitOutcome,
    Unanswered,
)
from providers.piktid_answers import (
    Event,
    Tokens,
    first_link,
    image_and_face,
    is_error,
    message_of,
    require_face,
    uploaded_handle,
    verdict,
)
from providers.protocol import Endpoint, NotSentError, Reply, UnclearError
from providers.replies import (
    BAD_CREDENTIALS,
    locate_verdict,
    poll_verdict,
    settings_of,
)
from providers.spec import Need, OpenAttempt, Operation, Options, Order, Via
from providers.tokens import TokenAdapter, refused_login
from providers.words import reason_in

_ERROR_EVENT: Final = "error"
_PROCESSING: Final = "processing"
_JSON: Final[Mapping[str, str]] = {"Content-Type": "application/json"}
_SUFFIXES: Final[Mapping[str, str]] = {"image/jpeg": "jpg", "image/png": "png", "image/webp": "webp"}


class PiktidSettings(BaseModel):
    """An account at PiktID: its login, and what the pages and PiktID's own clients spell in two ways."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    email: str = Field(min_length=3)
    password: SecretStr = Field(min_length=1)
    #: v2 is "only for enterprise customers"; ``/consistent_identities/generate`` takes the same body.
    generate_path: str = Field(default="/consistent_identities/generate/v2", pattern="^/")
    read_path: str = Field(default="/consistent_identities/notification/read", pattern="^/")
    delete_path: str = Field(default="/notification/delete_json", pattern="^/")
    history_path: str = Field(default="/history", pattern="^/")
    image_path: str = Field(default="/images_by_id/v2", pattern="^/")
    #: The multipart field of a face: PiktID's two example repositories differ.
    face_field: Literal["file", "face"] = "file"
    #: Which events carry a final picture, the better one first: the client waits for one, the page for the other.
    result_events: tuple[str, ...] = Field(default=("download", "swap"), min_length=1)
    #: Seconds after which an attempt without an event is looked up in the history. Events vanish after 600 s.
    history_after: float = Field(default=300.0, ge=0)


class SwapOptions(Options):
    """Options of `piktid.swap`."""

    #: Which of the target's faces, counted from 0; thirty at most (PiktID's client).
    face: int = Field(default=0, ge=0, le=29)
    prompt_strength: float = Field(default=0.55, ge=0, le=1)
    seed: int | None = Field(default=None, ge=0)
    #: Swap the whole head, hair included.
    flag_hair: bool = False
    transfer_hair: bool = False
    watermark_url: str | None = Field(default=None, pattern=r"^https?://\S+$")


class Piktid(TokenAdapter):
    """PiktID's wire format, bound to one account."""

    NAME: ClassVar[str] = "piktid"
    BASE_URL: ClassVar[str | None] = "https://api.piktid.com/api"
    OPERATIONS: ClassVar[Mapping[str, Operation]] = {
        "piktid.swap": Operation(
            name="piktid.swap",
            kind="swap",
            options=SwapOptions,
            needs={"source": Need(Via.UPLOAD), "target": Need(Via.UPLOAD, shared=False)},
            typical_seconds=30.0,
            summary="puts the face of source onto target",
        )
    }
    SETTINGS: ClassVar[type[BaseModel]] = PiktidSettings
    POLL_MANY: ClassVar[int] = 1_000
    CAN_LOCATE: ClassVar[bool] = True

    def __init__(self, endpoint: Endpoint) -> None:
        super().__init__(endpoint)
        self.settings = settings_of(endpoint, PiktidSettings)

    # --- Uploads and submission --------------------------------------------------------------------------------------

    async def upload(self, role: str, order: Order, data: bytes) -> str:
        """Upload the face (gives an `identity_name`) or the target (gives an `image_id`)."""
        media_type = order.inputs[role].media_type
        file = (f"{role}.{_SUFFIXES.get(media_type, 'jpg')}", data, media_type or "image/jpeg")
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
        """Read the inbox once for all of `attempts`, and the history for one that should have had its event."""
        names = ",".join((*self.settings.result_events, _ERROR_EVENT))
        reply = await self.call(self._json("POST", self.settings.read_path, {"name_list": names}))
        answer = read(reply.body)
        inbox = answer["notifications_list"]
        if not reply.ok or not inbox.is_list:
            unanswered = poll_verdict(reply, message_of(answer))
            return {attempt.reference: unanswered for attempt in attempts}
        events: defaultdict[str, list[Event]] = defaultdict(list)
        for event in map(Event.read, inbox):
            if event.image is not None:
                events[event.image].append(event)
        outcomes = {attempt.reference: self._outcome(attempt, events) for attempt in attempts}
        await self._make_up_for_a_lost_event(attempts, outcomes)
        return outcomes

    def _outcome(self, attempt: OpenAttempt, events: Mapping[str, Sequence[Event]]) -> PollOutcome:
        """What the events of one attempt's image and face say."""
        image, face = image_and_face(attempt)
        if image is None:
            return Unanswered("PiktID's events can be matched only by the image that was uploaded")
        ours = [event for event in events.get(image, ()) if event.face in (None, face)]
        receipts = tuple(event.id for event in ours if event.id is not None)
        for name in self.settings.result_events:
            for event in ours:
                output = event.output() if event.name == name else None
                if output:
                    return Done((output,), event.data.dump(), handle=f"{image}/{face}", receipts=receipts)
        for event in ours:
            if event.name == _ERROR_EVENT:
                message = event.data["msg"].text or "no message"
                reason = reason_in(message) or Reason.PROVIDER_ERROR
                again = reason is Reason.PROVIDER_ERROR
                return Failed(reason, f"PiktID: {message}", again, event.data.dump(), receipts)
        return Pending()

    async def _make_up_for_a_lost_event(
        self, attempts: Sequence[OpenAttempt], outcomes: dict[uuid.UUID, PollOutcome]
    ) -> None:
        """Look up one overdue attempt at random: PiktID asks for few calls, and each gets its turn."""
        overdue = [
            attempt
            for attempt in attempts
            if (attempt.finished or attempt.age >= self.settings.history_after)
            and isinstance(outcomes[attempt.reference], Pending)
        ]
        if not overdue:
            return
        # An event that was acknowledged does not come again, so those that are asked for anew have no other way.
        attempt = random.choice([each for each in overdue if each.finished] or overdue)  # noqa: S311 - fairness without state, not secrecy
        image, face = image_and_face(attempt)
        with suppress(NotSentError, UnclearError):  # what the inbox said must not be lost with this call
            reply = await self._history(image)
            url = first_link(read(reply.body)["history"]) if reply.ok else None
            if url:
                output = Output(url, facts(from_history=True))
                outcomes[attempt.reference] = Done((output,), reply.body, handle=f"{image}/{face}")

    async def acknowledge(self, receipts: Sequence[str]) -> None:
        """Delete events; one that stays is harmless and vanishes by itself."""
        for receipt in receipts:
            body = {"id": int(receipt) if receipt.isdigit() else receipt}
            await self.call(self._json("DELETE", self.settings.delete_path, body))

    async def locate(self, attempt: OpenAttempt) -> LocateOutcome:
        """Look the image up: the history has a finished swap, the image one that is under way or failed."""
        image, face = image_and_face(attempt)
        if image is None:
            return NotYetKnown("no image was uploaded for this attempt")
        reply = await self._history(image)
        answer = read(reply.body)
        if reply.ok and first_link(answer["history"]):
            return Found(f"{image}/{face}")
        if reply.ok and answer["history"].value == []:
            reply = await self.call(self._json("POST", self.settings.image_path, {"id_image": image}))
            answer = read(reply.body)
            generations = answer["generations_per_face"]
            if reply.ok and generations.is_list:
                taken = answer["status"].text == _PROCESSING or any(item.integer for item in generations)
                return Found(f"{image}/{face}") if taken else Absent()
        return locate_verdict(reply, message_of(answer))

    async def _history(self, image: str | None) -> Reply:
        return await self.call(self._json("POST", self.settings.history_path, {"id_image": image, "app": "swap"}))

    # --- The session -------------------------------------------------------------------------------------------------

    async def token(self, *, rejected: str | None) -> str | Reply:
        """The access token of the shared session, renewed by one worker when it was rejected."""
        current = Tokens.load(await self.endpoint.sessions.load())
        if current and current.access != rejected:
            return current.access
        async with self.endpoint.sessions.renewal() as renewal:
            current = Tokens.load(renewal.session)
            if current and current.access != rejected:
                return current.access  # another worker was faster
            fresh = None
            if current and not renewal.interrupted:
                await renewal.begin()
                fresh = Tokens.load((await self.ask(self._refresh(current))).body)
            if fresh is None:
                reply = await self.ask(self._login())
                fresh = Tokens.load(reply.body) if reply.ok else None
                if fresh is None:
                    return refused_login(reply)
            await renewal.save(fresh.dump())
            return fresh.access

    async def check(self) -> Credentials:
        """Log in; the session that this gives is thrown away."""
        reply = await self.ask(self._login())
        if reply.ok and Tokens.load(reply.body):
            return Credentials(ok=True, message="PiktID accepted email and password")
        message = f"HTTP {reply.status}, {message_of(read(reply.body))}"
        if reply.status in BAD_CREDENTIALS:
            return Credentials(ok=False, message=f"PiktID refused email and password: {message}")
        return Credentials(ok=None, message=f"PiktID's answer does not show whether the login is valid: {message}")

    def _login(self) -> Request:
        login = BasicAuth(self.settings.email, self.settings.password.get_secret_value())
        return next(login.auth_flow(Request("POST", f"{self.endpoint.base_url}/tokens")))

    def _refresh(self, tokens: Tokens) -> Request:
        return Request("PUT", f"{self.endpoint.base_url}/tokens", content=tokens.dump(), headers=_JSON)

    # --- Requests ----------------------------------------------------------------------------------------------------

    def _json(self, method: str, path: str, body: Mapping[str, Any]) -> Callable[[str], Request]:
        url = self.endpoint.base_url + path
        return lambda token: Request(method, url, headers=_bearer(token), json=body)

    async def _upload(self, path: str, files: Mapping[str, tuple[str, bytes, str]], form: Mapping[str, str]) -> Reply:
        def build(token: str) -> Request:
            url = self.endpoint.base_url + path
            request = Request("POST", url, headers=_bearer(token), files=files, data=form)
            request.read()  # the multipart stream as plain bytes, which any transport can send
            return request

        return await self.call(build)


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def _swap_options(order: Order) -> SwapOptions:
    return SwapOptions.model_validate(order.options.model_dump())
