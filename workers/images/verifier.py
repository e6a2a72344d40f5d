"""What a verifier says of a picture's Content Credentials: whether they are valid, and who signed them.

It is c2pa-python, of the extra `c2pa`. Nothing is fetched, neither manifests kept elsewhere nor lists of authorities:
it is not said whether the one who signed can be trusted.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final

from workers.config.extras import missing

EXTRA: Final = ("c2pa",)
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
class Judged:
    """What is said of the credentials of one file."""

    valid: bool
    #: Whom the certificate names; None where no credentials could be read.
    signer: str | None = None
    #: What is wrong, in the codes of the specification.
    problems: tuple[str, ...] = ()


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
    return Judged(valid, ", ".join(names) or None, problems)
