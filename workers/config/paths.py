"""Paths in settings, checked so far that the file system does not fail when it is asked for them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator

MAX_PART_BYTES = 255  # of a path, as file systems have them


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
