"""Catalogs at ``http(s)`` addresses: fetched through the guard of addresses, their format as the server tells it."""

from __future__ import annotations

import asyncio
import re
from base64 import b64encode
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from email.message import Message
from pathlib import PurePosixPath
from typing import BinaryIO
from urllib.parse import parse_qsl, unquote, urlsplit

from catalog.errors import CatalogError
from workers.http.client import TooLargeError, build_client
from workers.http.ssrf import BadUrlError, ForbiddenAddressError, Guard
from workers.images.download import DownloadError, save

MAX_BYTES = 1 << 30  # of a catalog elsewhere, packed or not; a million rows take about 300 MB
FETCH_SECONDS = 600.0  # for all of it: a gibibyte at 15 Mbit/s

_TYPES: Mapping[str, str] = {
    "text/csv": ".csv",
    "application/csv": ".csv",
    "application/x-csv": ".csv",
    "text/x-csv": ".csv",
    "text/comma-separated-values": ".csv",
    "text/tab-separated-values": ".tsv",
    "application/x-ndjson": ".jsonl",
    "application/ndjson": ".jsonl",
    "application/jsonl": ".jsonl",
    "application/x-jsonlines": ".jsonl",
    "application/jsonlines": ".jsonl",
    "application/vnd.apache.parquet": ".parquet",
    "application/x-parquet": ".parquet",
    "application/parquet": ".parquet",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": ".xlsx",
}
_PACKED = ".gz"
_BEGINNING = 512  # bytes, in which a web page shows that it is one
_WEB_PAGE = re.compile(rb"(?:\xef\xbb\xbf|\s)*<(?:!doctype|html|head|body|!--|\?xml)", re.IGNORECASE)


def ending_in(place: str) -> str:
    """The format that an address itself names, in its query (``?format=csv``), as an extension; or nothing."""
    for _, value in parse_qsl(urlsplit(place).query):
        ending = f".{value.lower().rpartition('.')[2]}"
        if ending in _TYPES.values():
            return ending
    return ""


def fetch(place: str, where: str, file: BinaryIO) -> str:
    """Fetch a catalog into `file`; returns the extension for the format that the server tells, or nothing.

    The host of `place` may be private, as a person named it; one that the server redirects to may not.

    Raises:
        CatalogError: it cannot be fetched, is too large, takes too long, or is a web page.
    """
    try:
        # In a thread of its own, because the caller's may have an event loop that runs.
        with ThreadPoolExecutor(1) as thread:
            headers = thread.submit(asyncio.run, _saved(place, file)).result()
    except TooLargeError:
        raise CatalogError(f"{where}: is longer than {MAX_BYTES:,} bytes, the limit for a catalog elsewhere") from None
    except BadUrlError as error:
        raise CatalogError(f"{where}: cannot be fetched: {error}") from None
    except ForbiddenAddressError as error:
        raise CatalogError(
            f"{where}: leads to {error.named}, which is not public, and is not followed; if the host is yours, name "
            "the address that this one leads to"
        ) from None
    except DownloadError as error:
        raise CatalogError(f"{where}: cannot be fetched: {error}") from None
    file.seek(0)
    media_type = _media_type(headers)
    if media_type in {"text/html", "application/xhtml+xml"} or _WEB_PAGE.match(file.read(_BEGINNING)):
        raise CatalogError(
            f"{where}: this address gives a web page, perhaps one to sign in, and not a catalog; use an address that"
            " gives the file itself"
        )
    return _ending_told(headers, media_type)


async def _saved(place: str, file: BinaryIO) -> Mapping[str, str]:
    parts = urlsplit(place)
    user, _, host = parts.netloc.rpartition("@")
    headers = {"Authorization": f"Basic {b64encode(unquote(user).encode()).decode()}"} if user else {}
    port = parts.port or (443 if parts.scheme == "https" else 80)
    named = f"[{parts.hostname}]:{port}" if ":" in (parts.hostname or "") else f"{parts.hostname}:{port}"
    url = parts._replace(netloc=host, fragment="").geturl()
    async with build_client(Guard([named]), max_connections=1) as client:
        return await save(client, url, file, headers=headers, max_bytes=MAX_BYTES, timeout=FETCH_SECONDS)


def _media_type(headers: Mapping[str, str]) -> str:
    return headers.get("content-type", "").partition(";")[0].strip().lower()


def _ending_told(headers: Mapping[str, str], media_type: str) -> str:
    """The extension of the file's name in Content-Disposition, or the one for its Content-Type."""
    message = Message()
    message["Content-Disposition"] = headers.get("content-disposition", "")
    name = PurePosixPath(str(message.get_filename("")).lower())
    ending = name.with_suffix("").suffix if name.suffix == _PACKED else name.suffix
    return ending if ending in _TYPES.values() else _TYPES.get(media_type, "")
