"""URIs of pictures: a remote address, or a file of this machine.

They are in the one form that `workers.http.addresses.one_form` gives them when a job comes in.
"""

from __future__ import annotations

from pathlib import Path


def is_remote(uri: str) -> bool:
    """Whether `uri` is an address that a provider could fetch itself."""
    return uri.startswith(("https://", "http://"))


def local_path(uri: str) -> Path | None:
    """The file `uri` names on this machine, or None for an address elsewhere."""
    if uri.startswith("file://"):
        return Path(uri.removeprefix("file://"))  # as storage writes it: nothing in it is quoted
    return None if "://" in uri else Path(uri)
