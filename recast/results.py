"""Typed results of jobs: what `.get()` of a `swap` or `generate` returns.

Workers write them as JSON, which other tasks (links, chains, chords) receive unchanged. A typed result becomes the same
JSON when it is passed on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Self

from recast.money import Money


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture that a job made, in the deployment's storage."""

    index: int
    #: Its address in the deployment's storage: ``file://``, ``s3://`` or another.
    uri: str
    media_type: str
    #: In pixels.
    width: int
    height: int
    #: In bytes.
    size: int
    sha256: str
    #: Its key in the storage; the key of its thumbnail, where a page has shown the picture already.
    key: str
    thumbnail_key: str | None = None
    #: Digest of the provider's original file, if that is stored too.
    original_sha256: str | None = None
    #: Further facts from the provider.
    facts: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> Self:
        """The picture that a worker wrote as `document`; fields that later workers add are ignored."""
        return cls(
            index=document["index"],
            uri=document["uri"],
            media_type=document["media_type"],
            width=document["width"],
            height=document["height"],
            size=document["size"],
            sha256=document["sha256"],
            key=document["key"],
            thumbnail_key=document.get("thumbnail_key"),
            original_sha256=document.get("original_sha256"),
            facts=document.get("facts") or {},
        )

    def __json__(self) -> dict[str, Any]:
        """The value in JSON; Celery's serializer calls this."""
        return {
            "index": self.index, "uri": self.uri, "media_type": self.media_type, "width": self.width,
            "height": self.height, "size": self.size, "sha256": self.sha256, "key": self.key,
            "thumbnail_key": self.thumbnail_key, "original_sha256": self.original_sha256, "facts": dict(self.facts),
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class JobResult:
    """The result of a job that succeeded."""

    #: The job's id; `recast show` accepts it.
    job: str
    state: str
    account: str
    #: For example ``zhiqite.swap``.
    operation: str
    cost: Money
    #: Seconds from the provider's acceptance to its result; None if the provider answered at once.
    seconds: float | None
    #: The pictures, in the provider's order.
    results: tuple[Picture, ...]

    @property
    def uri(self) -> str:
        """The address of the first picture."""
        return self.results[0].uri

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> Self:
        """The result that a worker wrote as `document`, also in an older format."""
        return cls(
            job=document["job"],
            state=document["state"],
            account=document["account"],
            operation=document["operation"],
            cost=_cost(document["cost"]),
            seconds=document["seconds"],
            results=tuple(Picture.read(each) for each in document["results"]),
        )

    def __json__(self) -> dict[str, Any]:
        """The value in JSON; Celery's serializer calls this."""
        return {
            "job": self.job, "state": self.state, "account": self.account, "operation": self.operation,
            "cost": self.cost.document(), "seconds": self.seconds,
            "results": [each.__json__() for each in self.results],
        }  # fmt: skip


class SwapResult(JobResult):
    """What a `swap` made."""

    __slots__ = ()


class GenerateResult(JobResult):
    """What a `generate` made."""

    __slots__ = ()


def _cost(written: Mapping[str, str] | str) -> Money:
    """The cost as workers write it, or as text (``0.02 USD``) from older workers."""
    if isinstance(written, str):
        amount, _, currency = written.partition(" ")
        return Money(Decimal(amount), currency)
    return Money.read(written)
