"""The export of a batch's pictures: linked or copied to a folder or object storage, with names from a template.

An interrupted export can be repeated: pictures that are already there, complete and identical, are skipped.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from string import Formatter
from typing import TYPE_CHECKING, Any

from catalog.errors import CatalogError
from reports.export import Exported
from reports.places import Folder, Objects, Picture
from reports.reviewed_copies import copy_of
from workers.failures import is_full
from workers.images.storage import Storage

if TYPE_CHECKING:
    from workers.images.signing import Signer

TEMPLATE = "{key}_{index}.{ext}"
MAX_VALUE = 150  # bytes of a value in a file's name: file systems allow 255, and index and extension follow
PORTION = 500  # pictures copied as one portion; after a kill, at most one portion is copied again

_UNSAFE = re.compile(r"[^\w.@+-]")
_DEVICE = re.compile(r"(?:con|prn|aux|nul|com\d|lpt\d)(?:\.|$)", re.IGNORECASE)  # names that Windows reserves


@dataclass(frozen=True, slots=True)
class Pictures:
    """The folder of a batch's pictures, the number of files there, and how many of them are new."""

    folder: Path | str
    files: int
    written: int


def write_pictures(
    jobs: Iterable[Exported],
    storage: Storage,
    folder: Path | str,
    template: str = TEMPLATE,
    batch: str = "",
    signer: Signer | None = None,
) -> Pictures:
    """Put every picture into `folder`, a path or an address such as ``s3://bucket/prefix``.

    The pictures have the permissions that the person's umask leaves. Where it leaves others none (077), pictures in
    local storage become read-only hard links, which take no space; elsewhere they are copies, which share the stored
    blocks on file systems that can do that.

    Args:
        jobs: the jobs whose pictures are exported.
        storage: the storage that has them.
        folder: the destination.
        template: the template of their names, as `names_of` reads it.
        batch: the value of ``{batch}``.
        signer: what signs copies that say what people decided; with None, every file is as it is stored.

    Raises:
        CatalogError: the template is not safe or gives two pictures the same name, or the folder cannot be written.
        StorageError: a picture cannot be read.
        SigningError: a copy cannot be signed now.
    """
    place = Objects(str(folder), storage) if "://" in str(folder) else Folder(Path(folder), storage)
    names = names_of(jobs, template, batch, signer)
    files = written = 0
    try:
        place.prepare()
        while portion := list(islice(names, PORTION)):
            written += place.put(portion)
            files += len(portion)
    except OSError as error:
        if is_full(error):
            raise
        raise CatalogError(f"{folder}: the pictures cannot be written there: {error.strerror or error}") from error
    return Pictures(folder, files, written)


def names_of(jobs: Iterable[Exported], template: str, batch: str, signer: Signer | None = None) -> Iterator[Picture]:
    """The pictures of `jobs` with their names.

    ``{key}``, ``{index}``, ``{ext}``, ``{batch}``, ``{account}``, ``{operation}``, ``{sha256}`` and the names of
    metadata columns are replaced by their values; a ``/`` between them creates folders. No value can leave the folder:
    characters other than letters, digits and ``_.@+-`` become ``_``, and a digest keeps such values distinct.

    Raises:
        CatalogError: the template is not valid, or gives two pictures the same name.
    """
    names = Names(template, batch)
    taken: set[int] = set()
    for job in jobs:
        for result in job.results:
            columns = {**job.extra, "account": job.account, "operation": job.operation}
            name = names.of(job.key, columns, result)
            hashed = hash(name)
            if hashed in taken:
                raise CatalogError(
                    f"--template: {template!r} gives the name {name!r} to several pictures, one of them of row "
                    f"{job.key!r}; add {{key}} and {{index}}"
                )
            taken.add(hashed)
            copy = copy_of(result) if signer else None
            signed = (copy, signer) if copy and signer else None
            yield Picture(name, result["key"], result["sha256"], result["size"], signed)


class Names:
    """A template of names, as `names_of` says.

    Raises:
        CatalogError: the template is not valid.
    """

    def __init__(self, template: str, batch: str) -> None:
        self._parts, self._batch = _parts(template), batch

    def of(self, key: str, columns: Mapping[str, Any], result: Mapping[str, Any]) -> str:
        """The name of one picture of the job `key`, which has these further columns.

        Raises:
            CatalogError: the template names a column that the job does not have.
        """
        values = {
            **columns, "key": key, "index": result["index"], "batch": self._batch,
            "ext": Path(result["key"]).suffix.lstrip("."), "sha256": result["sha256"],
        }  # fmt: skip
        return "".join(literal + _value(values, field, key) for literal, field in self._parts)


def safe_name(value: str) -> str:
    """`value` as a part of a file's name: unchanged if safe, otherwise changed and made distinct by a digest."""
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
        raise CatalogError(f"--template: {template!r} is not a valid template: {error}") from None
    if any(spec or conversion or field == "" for _, field, spec, conversion in parsed):
        raise CatalogError(
            f"--template: {template!r} is not a valid template; use plain names in braces, such as {TEMPLATE}"
        )
    shape = "".join(literal + ("x" if field is not None else "") for literal, field, *_ in parsed)
    steps = shape.split("/")
    if "\x00" in shape or "\\" in shape or any(step in {"", ".", ".."} for step in steps):
        raise CatalogError(
            f"--template: {template!r} names no file in the folder; use a relative path such as {TEMPLATE}"
        )
    return [(literal, field) for literal, field, *_ in parsed]


def _value(values: dict[str, object], field: str | None, key: str) -> str:
    if field is None:
        return ""
    if field not in values:
        known = ", ".join(sorted(values))
        raise CatalogError(f"--template: {{{field}}} is not a column of row {key!r}; allowed: {known}")
    value = values[field]
    return safe_name(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
