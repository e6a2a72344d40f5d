"""What a verifier says of a picture's Content Credentials: whether they are valid, and who signed them.

It is c2pa-python, of the extra `c2pa`. Nothing is fetched, neither manifests kept elsewhere nor lists of authorities:
it is not said whether the one who signed can be trusted.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib import import_module
from typing import Any, Final

from workers.config.extras import missing

EXTRA: Final = ("c2pa",)
REVIEWED: Final = "recast.verdict"  # the assertion with the verdict about a picture
PICTURE: Final = "sha256:"  # what stands before the digest of the stored file
#: How files are read and signed: nothing is fetched from addresses in them, and no thumbnail is made.
CONTEXT: Final[Mapping[str, Any]] = {
    "version": 1,
    "verify": {
        "verify_after_reading": True,
        "verify_after_sign": False,
        "verify_trust": False,
        "remote_manifest_fetch": False,
        "ocsp_fetch": False,
    },
    "builder": {"thumbnail": {"enabled": False}},
}


@dataclass(frozen=True, slots=True)
class Reviewed:
    """What the credentials of a copy say of the verdict about its picture: in which role, and never by whom."""

    #: SHA-256 of the stored file, of which it is a copy.
    picture: str
    verdict: str
    #: ISO 8601, in UTC.
    at: str
    role: str | None

    def assertion(self) -> dict[str, Any]:
        """As it stands in a manifest; the digest can be found in a file without any reader of manifests."""
        return {"label": REVIEWED, "data": {**asdict(self), "picture": f"{PICTURE}{self.picture}"}}


#: What we write, by field: the files of others may say anything.
_PATTERNS: Final[Mapping[str, re.Pattern[str]]] = {
    "picture": re.compile(f"{PICTURE}[0-9a-f]{{64}}"),
    "verdict": re.compile("approved|needs_work"),
    "at": re.compile(r"[0-9]{4}(?:-[0-9]{2}){2}T[0-9]{2}(?::[0-9]{2}){2}\+00:00"),
    "role": re.compile("reviewer|operator|guest|program"),
}


@dataclass(frozen=True, slots=True)
class Judged:
    """What is said of the credentials of one file."""

    valid: bool
    #: Whom the certificate names; None where no credentials could be read.
    signer: str | None = None
    #: What is wrong, in the codes of the specification.
    problems: tuple[str, ...] = ()
    #: The verdict that they state.
    reviewed: Reviewed | None = None


def judged(data: bytes, media_type: str) -> Judged | None:
    """What a verifier says of a picture that has credentials; None where the extra is not installed."""
    if missing(EXTRA):
        return None
    c2pa = import_module("c2pa")
    try:
        with (
            c2pa.Context.from_dict(dict(CONTEXT)) as context,
            c2pa.Reader(media_type, io.BytesIO(data), context=context) as reader,
        ):
            said, state = json.loads(reader.json()), reader.get_validation_state()
    except c2pa.C2paError as error:
        return Judged(valid=False, problems=(str(error),))
    manifest = said["manifests"][said["active_manifest"]]
    about = manifest.get("signature_info") or {}
    names = [about[name] for name in ("common_name", "issuer") if about.get(name)]
    valid = state in {"Valid", "Trusted"}
    problems = () if valid else tuple(str(item["code"]) for item in said.get("validation_status", []))
    return Judged(valid, ", ".join(names) or None, problems, _reviewed(manifest))


def _reviewed(manifest: Mapping[str, Any]) -> Reviewed | None:
    """What a manifest says of a verdict; None where it says nothing that we would say."""
    found = [item.get("data") for item in manifest.get("assertions", ()) if item.get("label") == REVIEWED]
    if len(found) != 1 or not isinstance(found[0], dict) or found[0].keys() != _PATTERNS.keys():
        return None
    said = {name: value for name, value in found[0].items() if value is not None or name != "role"}
    if not all(isinstance(value, str) and _PATTERNS[name].fullmatch(value) for name, value in said.items()):
        return None
    return Reviewed(said["picture"].removeprefix(PICTURE), said["verdict"], said["at"], said.get("role"))
