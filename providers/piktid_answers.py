"""PiktID's answers: events, tokens, uploads and errors, read without trust.

`providers.piktid` has the sources and the requests.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from models.states import Reason
from providers.answers import Answer, facts, read
from providers.classify import GENERAL
from providers.outcomes import Output, Refused, Throttled, Unclear
from providers.protocol import Reply, UploadError
from providers.replies import DECIDING, refusal, retry_after, submit_verdict
from providers.spec import OpenAttempt

ERROR_EVENT: Final = "error"
#: The endings of the files that are uploaded.
SUFFIXES: Final[Mapping[str, str]] = {"image/jpeg": "jpg", "image/png": "png", "image/webp": "webp"}


@dataclass(frozen=True, slots=True)
class Event:
    """One notification; `target` and `face` are None where it does not say which job it is about.

    `target` is the id of the image or the name of its file: the one page that prints a `swap` event has `target_name`
    and no more. `at` is its `timestamp`, in seconds as far as the pages show.
    """

    id: str | None
    name: str | None
    target: str | None
    face: int | None
    data: Answer
    at: float | None = None

    @classmethod
    def read(cls, item: Answer) -> Event:
        """The event in one item of the inbox."""
        data = item["data"]
        return cls(
            item["id"].handle,
            item["name"].text,
            data.first("id_image", "address", "image_id").handle or _stem(data["target_name"].handle),
            data.first("f", "id_face").integer,
            data,
            item["timestamp"].number,
        )

    @classmethod
    def of_error(cls, target: str, error: Answer) -> Event:
        """An item of an image's `errors_list`, as if the inbox had told of it."""
        said = error.text or message_of(error)
        return cls(None, ERROR_EVENT, target, None, Answer({"msg": said}))

    def output(self) -> Output | None:
        """The final picture, in its best form."""
        best = _link(self.data["link_hd"])
        if best:
            return Output(best, facts(quality="hd"))
        others = (self.data["link"], *self.data["links"])
        url = next((url for item in others if (url := _link(item))), None)
        return Output(url) if url else None


@dataclass(frozen=True, slots=True)
class Tokens:
    """The pair that a login or a refresh gives; both live for 30 days, and the refresh token is for one use."""

    access: str
    refresh: str
    #: What pair of the accounts file they followed on; empty for those that a login gave.
    origin: str = ""

    @classmethod
    def load(cls, stored: bytes | None, *, origin: str | None = None) -> Tokens | None:
        """The tokens in an answer, which follow on `origin`, or in the stored session; None without both."""
        answer = read(stored or b"")
        access, refresh = answer["access_token"].secret, answer["refresh_token"].secret
        whose = answer["origin"].text if origin is None else origin
        return cls(access, refresh, whose or "") if access and refresh else None

    def sent(self) -> bytes:
        """The tokens as a refresh sends them."""
        return json.dumps({"access_token": self.access, "refresh_token": self.refresh}).encode()

    def dump(self) -> bytes:
        """The tokens as the session keeps them."""
        return json.dumps({**json.loads(self.sent()), **({"origin": self.origin} if self.origin else {})}).encode()


def image_and_face(attempt: OpenAttempt) -> tuple[str | None, int | None]:
    """The image and the face that an attempt is about, from its handle or what was written down before the send."""
    image, _, face = (attempt.handle or attempt.locator or "").rpartition("/")
    return (image, int(face)) if image and face.isdigit() else (None, None)


def first_link(items: Answer) -> str | None:
    """The URL of the first of `items` that has one."""
    return next((url for item in items if (url := _link(item))), None)


def _stem(name: str | None) -> str | None:
    """A file's name without the ending that we gave it."""
    stem, dot, ending = (name or "").rpartition(".")
    return stem if dot and ending in SUFFIXES.values() else name


def _link(item: Answer) -> str | None:
    """A link's URL. A link is a text, or an object with the URL in `l`; a missing one is "" or {}."""
    return item.url or item["l"].url


def uploaded_handle(reply: Reply, name: str) -> str:
    """The handle that an upload's answer gives in the field `name`.

    Raises:
        UploadError: the upload was refused, or the answer has no handle.
    """
    answer = read(reply.body)
    handle = answer[name].handle
    if not reply.ok or handle is None:
        found = verdict(reply, answer)
        if isinstance(found, Unclear):
            found = Unclear(f"PiktID answered HTTP {reply.status} ({message_of(answer)})", reply.body)
        raise UploadError(found, retry_after(reply))
    return handle


def require_face(reply: Reply, face: int) -> None:
    """Refuse a target without a usable face before money is spent; an answer without a list of faces is accepted.

    Raises:
        UploadError: the target has no such face, or PiktID cannot edit it.
    """
    approved = read(reply.body)["faces"]["approved_faces"]
    if not approved.is_list:
        return
    usable = [item.integer for item in approved]
    if face < len(usable) and usable[face] != 0:
        return
    found = "which it cannot edit" if face < len(usable) else f"but found {len(usable)}"
    message = f"face {face} of the target was requested from PiktID, {found}"
    raise UploadError(Refused(Reason.NO_FACE, message, reply.body))


def is_error(answer: Answer) -> bool:
    """Whether an answer has the form of PiktID's errors, ``{code, message, description}`` with a code that is one."""
    code = answer["code"].integer
    return code is not None and code >= 400  # noqa: PLR2004 - their codes are those of HTTP


def verdict(reply: Reply, answer: Answer) -> Refused | Throttled | Unclear:
    """The outcome of a request that was not accepted, or perhaps was."""
    said = _said(answer)
    if reply.status not in DECIDING and reply.ok and is_error(answer):
        # Their codes are those of HTTP: 500 does not prove more here than as the status.
        return refusal(reply, f"PiktID: {message_of(answer)}", said, GENERAL, status=answer["code"].integer)
    return submit_verdict(reply, message_of(answer), said)


def message_of(answer: Answer) -> str:
    """The texts of an error, joined."""
    return ": ".join(_said(answer)) or answer.problem or "an answer without a message"


def _said(answer: Answer) -> list[str]:
    return [text for name in ("message", "description", "msg") if (text := answer[name].text)]
