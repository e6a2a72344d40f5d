"""Paths and hosts in settings, checked so far that nothing fails, or repeats a secret, when they are asked for."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator

MAX_PART_BYTES = 255  # of a path, as file systems have them

#: An address or name of a machine; a zone may follow an IPv6 address.
_HOST = re.compile(r"[\w.-]{1,253}|[0-9A-Fa-f:.]{2,45}(%[\w.-]{1,32})?", re.ASCII)
#: Services' own form of an address, with its key, which would be a folder's name.
_CONNECTION_STRING = re.compile(r"(?:^|[;?&])\w*(?:key|secret|password|token|signature)\w*=", re.IGNORECASE | re.ASCII)


def _can_be(value: Path) -> Path:
    if any(len(os.fsencode(part)) > MAX_PART_BYTES for part in value.parts):
        raise ValueError(f"it has a name of more than {MAX_PART_BYTES} bytes, which no file can have")
    return value


#: A path, whether there is something or not.
SomePath = Annotated[Path, AfterValidator(_can_be)]


def _is_a_folder(value: Path) -> Path:
    # Those of `os.path` also answer for places below a folder that this user may not enter.
    there = next(place for place in (value.absolute(), *value.absolute().parents) if os.path.exists(place))  # noqa: PTH110
    if not os.path.isdir(there):  # noqa: PTH112
        raise ValueError("is, or lies below, something that is not a folder; name a folder")
    return value


#: A folder, or a place where one can be made.
SomeFolder = Annotated[SomePath, AfterValidator(_is_a_folder)]


def _is_a_host(value: str) -> str:
    if not _HOST.fullmatch(value):
        raise ValueError("must be an address or name of this machine, without a port, such as 127.0.0.1")
    return value


#: Where a process listens.
Host = Annotated[str, AfterValidator(_is_a_host)]


def is_connection_string(value: str) -> bool:
    """Whether `value` lists names and values, a key among them, where an address or a folder is meant."""
    return "://" not in value and _CONNECTION_STRING.search(value) is not None
