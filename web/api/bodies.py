"""Bodies of requests: JSON or a multipart form with one file, read up to a limit, with a digest of what they say."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from catalog.rows import parse_json
from web.api.problems import ProblemError, unprocessable

JSON = "application/json"
MULTIPART = "multipart/form-data"
MAX_BYTES = 64 * 1024  # of a body without a catalog, as for a page's forms
MAX_CATALOG_BYTES = (
    16 * 1024 * 1024
)  # a hundred thousand rows, sent within the time of a body; larger ones lie at s3://
MAX_PART_BYTES = 64 * 1024  # of a form's field beside the file
MAX_FIELDS = 10  # of a form; three are known
MAX_NAME_CHARS = 200  # of a file, as of a batch
LENGTH_DIGITS = 18  # of the length of a body; a longer number is costly to read


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that was sent."""

    name: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Body:
    """What a request said."""

    document: Any
    upload: Upload | None
    #: SHA-256 of its meaning: a multipart form sent again has another boundary.
    digest: str
    is_form: bool = False


async def read_body(request: Request, most: int, *, multipart: bool) -> Body:
    """The body of a request.

    Raises:
        ProblemError: it is too long, of another type, or cannot be read.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == MULTIPART and multipart:
        return await _form(request, most)
    if kind != JSON:
        allowed = f"{JSON}, {MULTIPART}" if multipart else JSON
        raise ProblemError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"Content-Type: {kind[:80]!r} is not read here; allowed: {allowed}",
            "Content-Type", kind, allowed,
        )  # fmt: skip
    raw = b"".join([chunk async for chunk in _limited(request, most)])
    document = json_of(raw)
    return Body(document, None, _digest(document))


def json_of(raw: bytes | str) -> Any:
    """JSON that the database can keep.

    Raises:
        ProblemError: it is not such JSON.
    """
    try:
        return parse_json(raw.decode() if isinstance(raw, bytes) else raw)
    except ValueError as error:  # which a wrong encoding is too
        raise ProblemError(HTTPStatus.BAD_REQUEST, f"body: {error}", "body", allowed="JSON in UTF-8") from None


async def _form(request: Request, most: int) -> Body:
    chunks = _closing(_limited(request, most))
    parser = MultiPartParser(
        request.headers, chunks, max_files=1, max_fields=MAX_FIELDS, max_part_size=MAX_PART_BYTES
    )  # fmt: skip
    try:
        form = await parser.parse()
    except (MultiPartException, KeyError, ValueError) as error:
        if isinstance(error.__cause__, ProblemError):
            raise error.__cause__ from None
        detail = getattr(error, "message", "") or "the form cannot be read"
        raise ProblemError(HTTPStatus.BAD_REQUEST, f"body: {detail}", "body") from None
    try:
        return await _said(form)
    finally:
        await form.close()


async def _closing(chunks: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    """The chunks, whose refusal is one for which the parser closes its files."""
    try:
        async for chunk in chunks:
            yield chunk
    except ProblemError as error:
        raise MultiPartException("too long") from error


async def _said(form: FormData) -> Body:
    fields: dict[str, Any] = {}
    upload = None
    for name, value in form.multi_items():
        if name in fields:
            raise unprocessable(f"{name}: it is there twice", name, allowed="once")
        if isinstance(value, UploadFile):
            upload = Upload(_named(value.filename or ""), await value.read())
            fields[name] = hashlib.sha256(upload.content).hexdigest()
        else:
            fields[name] = json_of(value) if name == "options" else value
    return Body(fields, upload, _digest([fields, upload and upload.name]), is_form=True)


def _named(path: str) -> str:
    """The name of a file that was sent; some send its whole path."""
    return "".join(filter(str.isprintable, path.replace("\\", "/").rpartition("/")[2]))[-MAX_NAME_CHARS:]


async def _limited(request: Request, most: int) -> AsyncGenerator[bytes, None]:
    """The body, of which no more is read than shows that it is too long."""
    too_long = ProblemError(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"body: it has more than {most:,} bytes", "body", allowed=f"{most:,} bytes"
    )
    length = request.headers.get("content-length", "")
    if length.isascii() and length.isdigit() and (len(length) > LENGTH_DIGITS or int(length) > most):
        raise too_long
    seen = 0
    async for chunk in request.stream():
        seen += len(chunk)
        if seen > most:
            raise too_long
        yield chunk


def _digest(document: Any) -> str:
    return hashlib.sha256(json.dumps(document, sort_keys=True, ensure_ascii=True).encode()).hexdigest()


def digest_of(method: str, path: str, query: Mapping[str, Any], body: Body) -> str:
    """SHA-256 of a whole request."""
    return _digest([method, path, dict(query), body.digest])
