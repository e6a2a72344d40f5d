"""The reasons of verdicts: what can be wrong with a picture, as a list that each deployment can change."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator
from pydantic_settings import NoDecode

#: What can be wrong, unless a deployment says otherwise.
REVIEW_REASONS = (
    "wrong person", "face distorted", "face unchanged", "skin or light does not match", "hair", "hands",
    "garment changed", "background changed", "crop or size", "blurred", "not allowed", "other",
)  # fmt: skip
MAX_REASONS = 32  # a longer list is not read before a verdict
MAX_REASON_CHARS = 60  # a button has one line


def _listed(value: object) -> object:
    if isinstance(value, str):
        value = tuple(dict.fromkeys(" ".join(part.split()) for part in value.split(",") if part.strip()))
    if isinstance(value, tuple | list):
        if not 1 <= len(value) <= MAX_REASONS:
            raise ValueError(f"has {len(value)} reasons; allowed: 1 to {MAX_REASONS}, with commas between")
        if any(len(str(reason)) > MAX_REASON_CHARS for reason in value):
            raise ValueError(f"has a reason of more than {MAX_REASON_CHARS} characters; write a shorter one")
    return value


#: The setting: reasons with commas between.
Reasons = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_listed)]
