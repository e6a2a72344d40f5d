"""URIs of pictures: a remote address, or a file of this machine.

They are in the one form that `workers.http.addresses.one_form` gives them when a job comes in.
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Literal
from urllib.parse import unquote

_Form = Literal["NFC", "NFD"]
_FORMS: tuple[_Form, ...] = ("NFC", "NFD")
_FILE = "file://"
_HERE = "file://localhost/"


def is_remote(uri: str) -> bool:
    """Whether `uri` is an address that a provider could fetch itself."""
    return uri.startswith(("https://", "http://"))


def local_path(uri: str) -> Path | None:
    """The file `uri` names on this machine, or None for an address elsewhere."""
    if uri.startswith(_HERE):
        return Path(uri.removeprefix(_HERE.removesuffix("/")))
    if uri.startswith(_FILE):
        return Path(uri.removeprefix(_FILE))  # as storage writes it: nothing in it is quoted
    return None if "://" in uri else Path(uri)


def file_of(uri: str, folder: Path = Path()) -> Path | None:
    """The file that `uri` means on this machine, below `folder` where it is relative; None for an address elsewhere.

    A name that does not exist as it is written may exist as another program wrote it: with the escapes of ``file://``
    resolved, with letters and their accents joined or apart (Unicode's NFC and NFD), or with slashes for backslashes.
    """
    path = local_path(uri)
    if path is None:
        return None
    path = folder / path
    if _is_plain(uri) or os.path.lexists(path):
        return path
    return next(
        (each for each in _written_otherwise(path, quoted=uri.startswith(_FILE)) if os.path.lexists(each)), path
    )


def _is_plain(uri: str) -> bool:
    """Whether there is only one way to write it."""
    return uri.isascii() and "%" not in uri and "\\" not in uri


def _written_otherwise(path: Path, *, quoted: bool) -> Iterator[Path]:
    written = [str(path)]
    if quoted:
        written.append(unquote(written[0]))
    written += [each.replace("\\", "/") for each in written if "\\" in each]
    for each in written:
        yield Path(each)
        for form in _FORMS:
            yield Path(unicodedata.normalize(form, each))
            yield _in_parts(Path(each), form)


def _in_parts(path: Path, form: _Form) -> Path:
    """`path` with only those parts in another form that do not exist as they are written."""
    found = Path()
    for part in path.parts:
        as_written = found / part
        found = as_written if os.path.lexists(as_written) else found / unicodedata.normalize(form, part)
    return found
