"""The specification of an operation, and an order for it."""

from __future__ import annotations

import math
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict

from models.states import Reason

#: Seconds for which a result's URL is taken to live where a provider does not say: the shortest that one does state.
UNSTATED_LIFE_SECONDS: Final = 3600.0


class Via(StrEnum):
    """How a provider takes a picture."""

    URL = "url"
    BYTES = "bytes"
    UPLOAD = "upload"


#: The types of pictures that we take ourselves.
PICTURE_TYPES = ("image/jpeg", "image/png", "image/webp")


@dataclass(frozen=True, slots=True)
class Need:
    """One picture an operation needs: in which way, and whether one upload may serve many jobs."""

    via: Via
    shared: bool = True
    #: How long an upload serves further jobs; None for no end.
    life: timedelta | None = None
    #: Exact width:height the provider insists on, and its longest side in pixels.
    ratio: tuple[int, int] | None = None
    max_side: int | None = None
    #: What the provider is known to read; a picture of another type that passes through our hands becomes the first.
    media_types: tuple[str, ...] = PICTURE_TYPES
    #: The option that names the picture, for a role without a column of its own; such a picture may be left out.
    option: str | None = None

    @property
    def exact(self) -> bool:
        """Whether the provider insists on a shape, so that a picture must be checked before it is passed on."""
        return self.ratio is not None or self.max_side is not None


class Options(BaseModel):
    """Base of every operation's options: unknown names and wrong types are errors that name the field."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=False)


class Fit(StrEnum):
    """What becomes of a picture whose shape a provider does not take."""

    REJECT = "reject"
    CROP = "crop"
    PAD = "pad"


class FittedOptions(Options):
    """Base of the options of operations that insist on a picture's shape; `fit` is for us and is never sent."""

    fit: Fit = Fit.REJECT


def _number(value: object) -> int:
    """A model's input as a number of pictures; 1 where it is none."""
    text = str(value).strip()
    return int(text) if not isinstance(value, bool) and text.isascii() and text.isdigit() and len(text) < 4 else 1  # noqa: PLR2004 - digits


@dataclass(frozen=True, slots=True)
class Operation:
    """One thing a provider does, written ``provider.operation``."""

    name: str
    kind: Literal["swap", "generate"]
    options: type[Options]
    needs: Mapping[str, Need]
    prompt: Literal["required", "optional", "unused"] = "unused"
    #: False where the outcome is data and not a picture.
    pictures: bool = True
    #: Seconds until a first result usually appears, until the account has learned better.
    typical_seconds: float = 10.0
    #: Whether the submission may carry our callback URL.
    callback: bool = False
    #: Seconds after the submission for which a result can be fetched, or asked for again.
    results_live: float = UNSTATED_LIFE_SECONDS
    #: The option that says how many pictures are asked for (prices may be per picture).
    count: str | None = None
    #: The names by which a model's own inputs (the option ``input``) may say so.
    count_inputs: tuple[str, ...] = ()
    #: Without such an option, how many pictures one submission makes at most; the provider says how many they are.
    most: int = 1
    #: The option whose values only the provider knows, and lists (`Provider.choices`).
    listed: str | None = None
    summary: str = ""
    #: Reasons of failures that the provider does not bill, by its pages: only after those a repeat is free.
    free: frozenset[Reason] = frozenset()

    def pictures_for(self, options: Mapping[str, Any]) -> int:
        """How many pictures a job with `options` asks for, or may get."""
        if self.count_inputs:
            given = options.get("input") or {}
            return max([1, *(_number(given.get(name)) for name in self.count_inputs)])
        return int(options.get(self.count, 1) or 1) if self.count else self.most

    def option_pictures(self, options: Mapping[str, Any]) -> dict[str, str]:
        """The input pictures that checked `options` name, by role."""
        named = ((role, options.get(need.option)) for role, need in self.needs.items() if need.option)
        return {role: uri for role, uri in named if uri}


@dataclass(frozen=True, slots=True)
class Choice:
    """One value of an option whose values the provider lists, and what it says of it."""

    value: int
    about: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Input:
    """A prepared picture: the one of `url`, `data` and `handle` that the operation's `Need` asks for is set.

    Digest, type and size in pixels are known for pictures that we hold, not for a public URL that is passed on.
    """

    sha256: str = ""
    media_type: str = ""
    width: int = 0
    height: int = 0
    url: str | None = None
    data: bytes | None = None
    handle: str | None = None
    #: Whether `handle` is of an earlier upload, which the provider may have forgotten.
    reused: bool = False


@dataclass(frozen=True, slots=True)
class Order:
    """One submission: what an adapter needs to write the request."""

    reference: uuid.UUID
    operation: str
    options: Options
    inputs: Mapping[str, Input]
    prompt: str | None = None
    callback_url: str | None = None


@dataclass(frozen=True, slots=True)
class OpenAttempt:
    """An attempt the provider may know of: what poll and locate work with."""

    reference: uuid.UUID
    operation: str
    handle: str | None
    locator: str | None = None
    #: Seconds since the provider took it, or since it was sent where that is not known.
    age: float = 0.0
    #: Seconds until its deadline; negative once passed.
    left: float = math.inf
    #: The provider's names of the pictures that it makes, where its acceptance gave them.
    parts: tuple[str, ...] = ()
    #: Whether the provider said before that it is done: the address of its result is asked for anew.
    finished: bool = False
