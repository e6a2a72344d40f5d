"""PiktID: `piktid.swap`, the consistent identities' "generate v2" (one face or head swap).

From PiktID's pages "Swap generate v2", "Swap", "Notification read", "Download history", "Images by id v2" and
"Authentication", and, where they differ or stop, from PiktID's own client (github.com/piktid/swapid).

A swap takes two uploads: the face becomes an identity that may serve any number of jobs, the target an image. The
target is uploaded for each job, because its `id_image` is all that tells one job from another: a submission has no job
id, and results arrive as events in one inbox for the whole account, mixed, for ten minutes. An attempt's handle is
therefore ``id_image/face``. An event is acknowledged only after its outcome is committed; one that was lost is made up
for by the history of the image. `error` events name no image in the pages, and one that names none fails nobody: the
job that it was about runs into its deadline.
"""

from __future__ import annotations

import json
import random
import uuid
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from models.states import Reason
from providers.answers import Answer, facts, read
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
    Refused,
    SubmitOutcome,
    Throttled,
    Unanswered,
    Unclear,
)
from providers.protocol import Endpoint, NotSentError, Reply, UnclearError, UploadError
from providers.replies import (
    BAD_CREDENTIALS,
    DECIDING,
    locate_verdict,
    poll_verdict,
    refusal,
    settings_of,
    submit_verdict,
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


@dataclass(frozen=True, slots=True)
class _Event:
    """One notification; `image` and `face` are None where it does not say which job it is about."""

    id: str | None
    name: str | None
    image: str | None
    face: int | None
    data: Answer

    @classmethod
    def read(cls, item: Answer) -> _Event:
        data = item["data"]
        return cls(
            item["id"].handle,
            item["name"].text,
            data.first("id_image", "address", "image_id").handle,
            data.first("f", "id_face").integer,
            data,
        )

    def output(self) -> Output | None:
        """The final picture, in its best form."""
        best = _link(self.data["link_hd"])
        if best:
            return Output(best, facts(quality="hd"))
        others = (self.data["link"], *self.data["links"])
        url = next((url for item in others if (url := _link(item))), None)
        return Output(url) if url else None


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
            return _uploaded(reply, "identity_name")
        options = _swap_options(order)
        form = {"options": json.dumps({"flag_hair": True} if options.flag_hair else {})}
        reply = await self._upload("/consistent_identities/upload_target", {"file": file}, form)
        handle = _uploaded(reply, "image_id")
        _require_face(reply, options.face)
        return handle

    def locator(self, order: Order) -> str | None:
        """Name the uploaded target and its face, which is the handle as well."""
        target = order.inputs["target"].handle
        return f"{target}/{_swap_options(order).face}" if target else None

    async def submit(self, order: Order, *, write_before: float) -> SubmitOutcome:
        """Start one swap. Nothing in the answer is needed: a failure comes as an event, even after HTTP 200."""
        options = _swap_options(order)
        wishes: dict[str, Any] = {
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
            "options": json.dumps(wishes),
        }
        reply = await self.call(self._json("POST", self.settings.generate_path, body), write_before=write_before)
        answer = read(reply.body)
        handle = self.locator(order)
        if handle and reply.ok and answer.is_object and not _says_no(answer):
            return Accepted(handle, reply.body)
        return _verdict(reply, answer)

    # --- The inbox and the history -----------------------------------------------------------------------------------

    async def poll(self, attempts: Sequence[OpenAttempt]) -> Mapping[uuid.UUID, PollOutcome]:
        """Read the inbox once for all of `attempts`, and the history for one that should have had its event."""
        names = ",".join((*self.settings.result_events, _ERROR_EVENT))
        reply = await self.call(self._json("POST", self.settings.read_path, {"name_list": names}))
        answer = read(reply.body)
        inbox = answer["notifications_list"]
        if not reply.ok or not inbox.is_list:
            unanswered = poll_verdict(reply, _message(answer))
            return {attempt.reference: unanswered for attempt in attempts}
        events: defaultdict[str, list[_Event]] = defaultdict(list)
        for event in map(_Event.read, inbox):
            if event.image is not None:
                events[event.image].append(event)
        outcomes = {attempt.reference: self._outcome(attempt, events) for attempt in attempts}
        await self._make_up_for_a_lost_event(attempts, outcomes)
        return outcomes

    def _outcome(self, attempt: OpenAttempt, events: Mapping[str, Sequence[_Event]]) -> PollOutcome:
        """What the events of one attempt's image and face say."""
        image, face = _key(attempt)
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
        """Look one overdue attempt up: PiktID asks for few calls, and any of them comes up sooner or later."""
        overdue = [
            attempt
            for attempt in attempts
            if attempt.age >= self.settings.history_after and isinstance(outcomes[attempt.reference], Pending)
        ]
        if not overdue:
            return
        attempt = random.choice(overdue)  # noqa: S311 - fairness without state, not secrecy
        image, face = _key(attempt)
        with suppress(NotSentError, UnclearError):  # what the inbox said must not be lost with this call
            reply = await self._history(image)
            url = _first_link(read(reply.body)["history"]) if reply.ok else None
            if url:
                output = Output(url, facts(from_history=True))
                outcomes[attempt.reference] = Done((output,), reply.body, handle=f"{image}/{face}")

    async def acknowledge(self, receipts: Sequence[str]) -> None:
        """Delete events; one that stays is harmless and vanishes by itself."""
        for receipt in receipts:
            body = {"id": int(receipt) if receipt.isdigit() else receipt}
            await self.call(self._json("DELETE", self.settings.delete_path, body))

    async def locate(self, attempt: OpenAttempt) -> LocateOutcome:
        """Look the image up: a finished swap stands in the history, one that is under way or failed with the image."""
        image, face = _key(attempt)
        if image is None:
            return NotYetKnown("no image was uploaded for this attempt")
        reply = await self._history(image)
        answer = read(reply.body)
        if reply.ok and _first_link(answer["history"]):
            return Found(f"{image}/{face}")
        if reply.ok and answer["history"].value == []:
            reply = await self.call(self._json("POST", self.settings.image_path, {"id_image": image}))
            answer = read(reply.body)
            generations = answer["generations_per_face"]
            if reply.ok and generations.is_list:
                taken = answer["status"].text == _PROCESSING or any(item.integer for item in generations)
                return Found(f"{image}/{face}") if taken else Absent()
        return locate_verdict(reply, _message(answer))

    async def _history(self, image: str | None) -> Reply:
        return await self.call(self._json("POST", self.settings.history_path, {"id_image": image, "app": "swap"}))

    # --- The session -------------------------------------------------------------------------------------------------

    async def token(self, *, rejected: str | None) -> str | Reply:
        """The access token of the shared session, renewed by one worker when it was rejected."""
        current = _Tokens.load(await self.endpoint.sessions.load())
        if current and current.access != rejected:
            return current.access
        async with self.endpoint.sessions.renewal() as renewal:
            current = _Tokens.load(renewal.session)
            if current and current.access != rejected:
                return current.access  # another worker was faster
            fresh = None
            if current and not renewal.interrupted:
                await renewal.begin()
                fresh = _Tokens.load((await self.ask(self._refresh(current))).body)
            if fresh is None:
                reply = await self.ask(self._login())
                fresh = _Tokens.load(reply.body) if reply.ok else None
                if fresh is None:
                    return refused_login(reply)
            await renewal.save(fresh.dump())
            return fresh.access

    async def check(self) -> Credentials:
        """Log in; the session that this gives is thrown away."""
        reply = await self.ask(self._login())
        if reply.ok and _Tokens.load(reply.body):
            return Credentials(ok=True, message="PiktID took email and password")
        message = f"HTTP {reply.status}, {_message(read(reply.body))}"
        if reply.status in BAD_CREDENTIALS:
            return Credentials(ok=False, message=f"PiktID refused email and password: {message}")
        return Credentials(ok=None, message=f"PiktID's answer does not tell whether the login is good: {message}")

    def _login(self) -> Request:
        login = BasicAuth(self.settings.email, self.settings.password.get_secret_value())
        return next(login.auth_flow(Request("POST", f"{self.endpoint.base_url}/tokens")))

    def _refresh(self, tokens: _Tokens) -> Request:
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


@dataclass(frozen=True, slots=True)
class _Tokens:
    """The pair that a login or a refresh gives; both live for 30 days, and the refresh token is for one use."""

    access: str
    refresh: str

    @classmethod
    def load(cls, stored: bytes | None) -> _Tokens | None:
        answer = read(stored or b"")
        access, refresh = answer["access_token"].secret, answer["refresh_token"].secret
        return cls(access, refresh) if access and refresh else None

    def dump(self) -> bytes:
        return json.dumps({"access_token": self.access, "refresh_token": self.refresh}).encode()


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def _swap_options(order: Order) -> SwapOptions:
    return SwapOptions.model_validate(order.options.model_dump())


def _key(attempt: OpenAttempt) -> tuple[str | None, int | None]:
    """The image and the face that an attempt is about, from its handle or what was written down before the send."""
    image, _, face = (attempt.handle or attempt.locator or "").rpartition("/")
    return (image, int(face)) if image and face.isdigit() else (None, None)


def _link(item: Answer) -> str | None:
    """A link is a text, or an object with the URL in `l`; one that is not to be had is "" or {}."""
    return item.url or item["l"].url


def _first_link(items: Answer) -> str | None:
    return next((url for item in items if (url := _link(item))), None)


def _uploaded(reply: Reply, name: str) -> str:
    answer = read(reply.body)
    handle = answer[name].handle
    if not reply.ok or handle is None:
        raise UploadError(_verdict(reply, answer))
    return handle


def _require_face(reply: Reply, face: int) -> None:
    """Refuse a target without a usable face before money is spent; an answer that says nothing of faces may pass."""
    approved = read(reply.body)["faces"]["approved_faces"]
    if not approved.is_list:
        return
    usable = [item.integer for item in approved]
    if face < len(usable) and usable[face] != 0:
        return
    found = "which it cannot edit" if face < len(usable) else f"but found {len(usable)}"
    message = f"PiktID was asked for face {face} of the target, {found}"
    raise UploadError(Refused(Reason.NO_FACE, message, reply.body))


def _says_no(answer: Answer) -> bool:
    """Whether an answer has the form of PiktID's errors, ``{code, message, description}`` with a code that is one."""
    code = answer["code"].integer
    return code is not None and code >= 400  # noqa: PLR2004 - their codes are those of HTTP


def _verdict(reply: Reply, answer: Answer) -> Refused | Throttled | Unclear:
    """A request that was not taken, or nobody knows."""
    if reply.status not in DECIDING and reply.ok and _says_no(answer):
        return refusal(reply, f"PiktID: {_message(answer)}")
    return submit_verdict(reply, _message(answer))


def _message(answer: Answer) -> str:
    said = [text for name in ("message", "description", "msg") if (text := answer[name].text)]
    return ": ".join(said) or answer.problem or "an answer without a message"
