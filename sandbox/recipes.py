"""Recipes: what to make for a job, in provider-neutral terms; stored with the job, for a restart to continue it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from sandbox.pictures import Format


@dataclass(frozen=True, slots=True)
class Swap:
    """Put the face of the picture at `source` into the picture at `target`, whose size is kept.

    Both are addresses as `Studio.fetch` knows them. `face` counts the target's faces from 0 at the left, and None is
    the largest. With `second`, another source, `source` goes to the first face from the left, `second` to the next one.
    """

    source: str
    target: str
    face: int | None = None
    second: str | None = None
    #: The hair goes along.
    head: bool = False
    #: The ending of the file's address. Providers exist whose endings lie, so it says nothing of the content.
    ending: str = "png"

    @property
    def pictures(self) -> int:
        """How many files come out."""
        return 1

    @property
    def form(self) -> Format:
        """What the bytes of a file are."""
        return "png"

    @property
    def transparent(self) -> bool:
        """Whether the files have an alpha channel."""
        return False


@dataclass(frozen=True, slots=True)
class Portraits:
    """Generate `pictures` portraits of the person at `reference`, of exactly `width` x `height` pixels.

    `reference` is an address as `Studio.fetch` knows them. With `cutout` the background is removed: replaced by the
    colour `background` (3 or 6 hex digits), or transparent. With `cartoon` they are drawings rather than photos.
    """

    reference: str
    prompt: str
    width: int
    height: int
    pictures: int
    seed: int
    cutout: bool = False
    background: str | None = None
    cartoon: bool = False
    quality: int = 95
    ending: str = "webp"
    #: What the bytes of a file are that has no alpha.
    opaque: Format = "jpeg"

    @property
    def form(self) -> Format:
        """What the bytes of a file are."""
        return "png" if self.transparent else self.opaque

    @property
    def transparent(self) -> bool:
        """Whether the files have an alpha channel."""
        return self.cutout and self.background is None


Recipe = Swap | Portraits

KINDS: dict[str, type[Swap | Portraits]] = {"swap": Swap, "portraits": Portraits}
NAMES: dict[type[Swap | Portraits], Literal["swap", "portraits"]] = {Swap: "swap", Portraits: "portraits"}


def dump(recipe: Recipe) -> dict[str, Any]:
    """Return `recipe` as plain data for JSON."""
    return {"make": NAMES[type(recipe)], **asdict(recipe)}


def load(data: dict[str, Any]) -> Recipe:
    """Return the recipe that `dump` wrote."""
    return KINDS[data["make"]](**{name: value for name, value in data.items() if name != "make"})
