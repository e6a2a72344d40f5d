"""A batch's pictures as files: linked or copied, under names made from a template, into a folder or object storage.

A run that broke off is gone on with: what is there already, whole and the same, is left alone.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from string import Formatter

from catalog.errors import CatalogError
from reports.export import Exported
from reports.places import Folder, Objects, Picture
from workers.images.storage import Storage

TEMPLATE = "{key}_{index}.{ext}"
MAX_VALUE = 150  # bytes of a value in a file's name: file systems allow 255, and index and ending follow
PORTION = 500  # pictures copied side by side; so many at most are copied again after a kill

_UNSAFE = re.compile(r"[^\w.@+-]")
_DEVICE = re.compile(r"(?:con|prn|aux|nul|com\d|lpt\d)(?:\.|$)", re.IGNORECASE)  # names that Windows keeps for itself


@dataclass(frozen=True, slots=True)
class Pictures:
    """Where the pictures of a batch are: all of them, and how many of them were not there before."""

    folder: Path | str
    files: int
    written: int


def write_pictures(
    jobs: Iterable[Exported], storage: Storage, folder: Path | str, template: str = TEMPLATE, batch: str = ""
) -> Pictures:
    """Put every picture into `folder`, a path or an address such as ``s3://bucket/prefix``.

    Of pictures in local storage the files are hard links, read-only, where the file system allows it: they take no
    room.

    Args:
        jobs: whose pictures are meant.
        storage: where they are kept.
        folder: where they go.
        template: what they are called, as `names_of` reads it.
        batch: what ``{batch}`` stands for.

    Raises:
        CatalogError: the template makes no safe names, or one name for two pictures, or the folder cannot be written.
        StorageError: a picture cannot be read.
    """
    place = Objects(str(folder), storage) if "://" in str(folder) else Folder(Path(folder), storage)
    names = names_of(jobs, template, batch)
    files = written = 0
    try:
        place.prepare()
        while portion := list(islice(names, PORTION)):
            written += place.put(portion)
            files += len(portion)
    except OSError as error:
        raise CatalogError(f"{folder}: the pictures cannot be written there: {error.strerror or error}") from error
    return Pictures(folder, files, written)


def names_of(jobs: Iterable[Exported], template: str, batch: str) -> Iterator[Picture]:
    """The pictures of `jobs` under their names.

    ``{key}``, ``{index}``, ``{ext}``, ``{batch}``, ``{account}``, ``{operation}``, ``{sha256}`` and the names of
    metadata columns stand for what they say; a ``/`` between them makes folders. No value can leave its place: what
    is no letter, digit or one of ``_.@+-`` in it becomes ``_``, and a digest tells such values apart.

    Raises:
        CatalogError: the template is none, or makes one name for two pictures.
    """
    parts = _parts(template)
    taken: set[int] = set()
    for job in jobs:
        for result in job.results:
            values = {
                **job.extra, "key": job.key, "index": result["index"], "batch": batch, "account": job.account,
                "ext": Path(result["key"]).suffix.lstrip("."), "operation": job.operation, "sha256": result["sha256"],
            }  # fmt: skip
            name = "".join(literal + _value(values, field, job.key) for literal, field in parts)
            hashed = hash(name)
            if hashed in taken:
                raise CatalogError(
                    f"--template: {template!r} makes the name {name!r} for several pictures, one of them of "
                    f"{job.key!r}; add {{key}} and {{index}}"
                )
            taken.add(hashed)
            yield Picture(name, result["key"], result["sha256"], result["size"])


def safe_name(value: str) -> str:
    """`value` as a part of a file's name: itself where that is harmless, else changed and told apart by a digest."""
    name = _UNSAFE.sub("_", value).lstrip(".")
    if _DEVICE.match(name):
        name = f"_{name}"
    if len(name.encode()) > MAX_VALUE:
        name = name.encode()[:MAX_VALUE].decode(errors="ignore")
    return name if name and name == value else f"{name}-{hashlib.sha256(value.encode()).hexdigest()[:8]}"


def _parts(template: str) -> list[tuple[str, str | None]]:
    try:
        parsed = list(Formatter().parse(template))
    except ValueError as error:
        raise CatalogError(f"--template: {template!r}: {error}") from None
    if any(spec or conversion or field == "" for _, field, spec, conversion in parsed):
        raise CatalogError(f"--template: {template!r}: write plain names in braces, such as {TEMPLATE}")
    shape = "".join(literal + ("x" if field is not None else "") for literal, field, *_ in parsed)
    steps = shape.split("/")
    if "\x00" in shape or "\\" in shape or any(step in {"", ".", ".."} for step in steps):
        raise CatalogError(f"--template: {template!r} leads out of the folder, or names none in it")
    return [(literal, field) for literal, field, *_ in parsed]


def _value(values: dict[str, object], field: str | None, key: str) -> str:
    if field is None:
        return ""
    if field not in values:
        known = ", ".join(sorted(values))
        raise CatalogError(f"--template: {{{field}}}: row {key!r} has no such column; it has {known}")
    value = values[field]
    return safe_name(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
