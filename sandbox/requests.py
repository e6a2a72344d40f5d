"""Request parts that several providers read in the same way."""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any

from starlette.datastructures import UploadFile
from starlette.requests import Request

from sandbox.config import CREDENTIAL
from sandbox.studio import UnusableInputError

SIGNATURES = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n")  # of JPEG and PNG


async def json_object(request: Request) -> dict[str, Any] | None:
    """Return the JSON object in the body of a request, or None if there is none."""
    try:
        body = json.loads(await request.body())
    except ValueError:
        return None
    return body if isinstance(body, dict) else None


def bearer(request: Request) -> str:
    """Return the bearer token of a request, or ""."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def basic(request: Request) -> tuple[str, str]:
    """Return user and password of HTTP Basic, or two empty texts."""
    scheme, _, encoded = request.headers.get("Authorization", "").partition(" ")
    try:
        user, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return "", ""
    return (user, password) if scheme.lower() == "basic" else ("", "")


def lasting(token: str) -> str | None:
    """Return `token`, which is also the account's name, if the sandbox accepts it as a permanent token."""
    return token if token.startswith(CREDENTIAL) else None


def base_of(request: Request) -> str:
    """Return the address that the client used, for links that lead back here."""
    return f"{request.url.scheme}://{request.url.netloc}"


def web_address(value: object) -> str | None:
    """Return `value` if it is an HTTP address."""
    return value if isinstance(value, str) and value.startswith(("http://", "https://")) else None


async def picture(request: Request, *names: str) -> tuple[bytes, dict[str, str]]:
    """Return the picture in a multipart form, under the first of `names` that there is, and the form's texts.

    Among the texts is the name of the picture's file, as "filename".

    Raises:
        UnusableInputError: there is no picture, or it is not a JPEG, PNG or WebP.
    """
    async with request.form() as form:
        texts = {name: value for name, value in form.items() if isinstance(value, str)}
        files = [file for name in names if isinstance(file := form.get(name), UploadFile)]
        data = await files[0].read() if files else b""
        texts["filename"] = (files[0].filename or "") if files else ""
    if not (data.startswith(SIGNATURES) or (data[:4] == b"RIFF" and data[8:12] == b"WEBP")):
        raise UnusableInputError("unreadable", f"{names[0]} must be a picture in JPEG, PNG or WebP")
    return data, texts
