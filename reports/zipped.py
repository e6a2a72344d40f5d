"""Pictures as one ZIP archive, written while it is read: without a temporary file, and in little memory.

Pictures are stored as they are: they are compressed already. What is not there, and what a person has to know, is told
in a text file at the archive's end.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import PurePosixPath
from typing import IO, TYPE_CHECKING, Any, cast

from sqlalchemy import text
from sqlalchemy.orm import Session

from catalog.errors import CatalogError
from models.fragments import PLACE, has_picture, last_attempt, reviewed, used_attempt
from models.transactions import Database
from models.verdicts import Verdict
from reports.cards import file_of
from reports.pictures import TEMPLATE, Names
from reports.reviewed_copies import copy_of
from workers.images.originals import pieces
from workers.images.results import SigningError
from workers.images.storage import Storage, StorageError
from workers.jobs.filters import LOOK_SECONDS, Filter, Filtered, look
from workers.jobs.releases import refusal, says
from workers.jobs.request import CONSENT

if TYPE_CHECKING:
    from workers.images.signing import Signer

MOST_ZIPPED = 20_000  # jobs of one archive: the names of all of them are kept until its end, some 30 MB
PORTION = 200  # jobs whose pictures are looked up at a time
NOTES = "about-these-pictures.txt"

_CHOSEN = Filtered(
    lambda which: (
        "SELECT id FROM (SELECT j.id, j.seq"
        f" FROM {which.jobs} WHERE {which.where} AND {has_picture('j')} LIMIT :limit) fitting ORDER BY seq"
    )
)
_USED = f"r.attempt_id = {used_attempt('w.chosen', 'j.id')}"
_PICTURES = text(f"""
    SELECT j.id, coalesce(j.key, j.id) AS key, j.extra, j.erased_at, j.extra ->> '{CONSENT}' AS consent,
        {PLACE},
        {refusal("release", "j.kind", "b.label")} AS unreleased, found.results
    FROM unnest(cast(:ids AS text[])) WITH ORDINALITY AS wanted(id, place) JOIN jobs j ON j.id = wanted.id
    JOIN batches b ON b.id = j.batch_id
    LEFT JOIN reviews w ON w.job_id = j.id LEFT JOIN releases release ON release.reference = j.extra ->> '{CONSENT}'
    LEFT JOIN LATERAL {last_attempt("j.id", "account, operation")} last ON true
    LEFT JOIN LATERAL (
        SELECT jsonb_agg(to_jsonb(r) || jsonb_build_object('reviewed', {reviewed("r.id")}) ORDER BY r.index) AS results
        FROM results r
        WHERE {_USED} AND (NOT :chosen OR r.id = w.chosen)
    ) found ON true
    ORDER BY wanted.place
""")
_SIZE = text(f"""
    SELECT count(*) AS pictures, coalesce(sum(r.size), 0) AS size
    FROM jobs j LEFT JOIN reviews w ON w.job_id = j.id JOIN results r ON {_USED}
    WHERE j.id = ANY(:ids) AND (NOT :chosen OR r.id = w.chosen)
""")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What an archive has: the pictures of these jobs, in this order."""

    batch: str
    ids: Sequence[str]
    template: str = TEMPLATE
    #: The providers' own files, without our mark.
    original: bool = False
    #: Of each job only the picture that is used.
    chosen: bool = False
    #: Whether names may have accounts and operations.
    accounts: bool = True


@dataclass(frozen=True, slots=True)
class Size:
    """How much it is."""

    pictures: int
    size: int


def chosen_ids(session: Session, which: Filter, seconds: float = LOOK_SECONDS) -> list[str]:
    """The jobs with pictures that fit, in the order of the catalog; `MOST_ZIPPED` and one at most.

    Raises:
        InvalidJobError: a look for them takes longer than `seconds`.
    """
    return [row.id for row in look(session, which, _CHOSEN, seconds, limit=MOST_ZIPPED + 1)]


def is_chosen(which: Filter) -> bool:
    """Whether of each job only the picture is meant that is used, as `recast export --approved` does."""
    return which.verdict == Verdict.APPROVED


def size_of(session: Session, ids: Sequence[str], *, chosen: bool) -> Size:
    """How many pictures these jobs have, and their bytes."""
    return Size(**session.execute(_SIZE, {"ids": list(ids), "chosen": chosen}).one()._mapping)


def check_names(session: Session, wanted: Wanted) -> None:
    """Try the template on the first job, before anything is sent.

    Raises:
        CatalogError: it is not valid, or names a column that there is not.
    """
    names = Names(wanted.template, wanted.batch)
    for row in _rows(session, wanted, wanted.ids[:1]):
        for result in row.results or ():
            names.of(row.key, _columns(row, wanted), result)


def zipped(database: Database, storage: Storage, wanted: Wanted, signer: Signer | None = None) -> Iterator[bytes]:
    """The archive, piece by piece; no transaction is open between two. With a `signer`, copies say their verdicts.

    Raises:
        StorageError: a picture broke off while it was read, so that the archive cannot be whole.
    """
    writing = _Writing(storage, wanted, signer)
    for start in range(0, len(wanted.ids), PORTION):
        for row in database.db(_rows, wanted, wanted.ids[start : start + PORTION]):
            yield from writing.job(row)
    yield from writing.end()


def _rows(session: Session, wanted: Wanted, ids: Sequence[str]) -> Sequence[Any]:
    return session.execute(_PICTURES, {"ids": list(ids), "chosen": wanted.chosen}).all()


def _columns(row: Any, wanted: Wanted) -> dict[str, Any]:
    """What a name may have of a job."""
    accounts = {"account": row.account, "operation": row.operation} if wanted.accounts else {}
    return {**(row.extra or {}), **accounts}


class _Sink(io.RawIOBase):
    """What the archive is written to: it is taken away as it comes, and cannot be sought in."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def write(self, data: Any) -> int:
        """Keep it until it is taken."""
        self._pieces.append(bytes(data))
        return len(data)

    def take(self) -> bytes:
        """All that was written since it was taken last."""
        taken = b"".join(self._pieces)
        self._pieces.clear()
        return taken


@dataclass(slots=True)
class _Writing:
    """An archive at work."""

    storage: Storage
    wanted: Wanted
    signer: Signer | None
    sink: _Sink = field(default_factory=_Sink)
    notes: list[str] = field(default_factory=list)
    taken: set[int] = field(default_factory=set)
    names: Names = field(init=False)
    archive: zipfile.ZipFile = field(init=False)

    def __post_init__(self) -> None:
        self.names = Names(self.wanted.template, self.wanted.batch)
        self.archive = zipfile.ZipFile(cast("IO[bytes]", self.sink), "w", zipfile.ZIP_STORED)

    def job(self, row: Any) -> Iterator[bytes]:
        """The pictures of one job."""
        if row.erased_at is not None or not row.results:
            when = f" on {row.erased_at:%Y-%m-%d}" if row.erased_at else ""
            self.notes.append(f"{row.key}: not here, its pictures were removed{when}")
            return
        if row.unreleased is not None:
            self.notes.append(f"{row.key}: do not use it, {says(row.consent, row.unreleased)}")
        for result in row.results:
            yield from self._picture(row, result)

    def end(self) -> Iterator[bytes]:
        """The notes, and the archive's directory."""
        if self.notes:
            self.archive.writestr(self._distinct(NOTES), "".join(f"{note}\n" for note in self.notes))
        self.archive.close()
        yield self.sink.take()

    def _picture(self, row: Any, result: Mapping[str, Any]) -> Iterator[bytes]:
        place = file_of(result, original=self.wanted.original)
        if place is None:
            self.notes.append(f"{row.key}: not here, the provider's own file was not kept")
            return
        with ExitStack() as opened:
            try:
                copy = self._copy(row, result)
                file = copy or opened.enter_context(self.storage.open(place.key))
            except StorageError:  # whose message is not for everybody
                self.notes.append(f"{row.key}: not here, its file cannot be read")
                return
            info = zipfile.ZipInfo(self._distinct(self._name(row, result)), _moment(result["created_at"]))
            info.file_size = result["size"]
            with self.archive.open(info, "w") as entry:
                try:
                    for piece in pieces(file, place.mark):
                        entry.write(piece)
                        yield self.sink.take()
                except OSError as error:
                    raise StorageError(f"a picture broke off: {error}") from error

    def _copy(self, row: Any, result: Mapping[str, Any]) -> IO[bytes] | None:
        """The copy that says the picture's verdict, if there is to be one."""
        copy = None if self.wanted.original else copy_of(result)
        if copy is None or self.signer is None:
            return None
        try:
            return io.BytesIO(copy.made(self.storage, self.signer))
        except SigningError:  # whose message is not for everybody
            self.notes.append(f"{row.key}: its credentials do not say its verdict, because it could not be signed")
            return None

    def _name(self, row: Any, result: Mapping[str, Any]) -> str:
        try:
            return self.names.of(row.key, _columns(row, self.wanted), result)
        except CatalogError:  # a row without that column
            return Names(TEMPLATE, self.wanted.batch).of(row.key, {}, result)

    def _distinct(self, name: str) -> str:
        """A name that no other file of the archive has, also where upper and lower case are the same."""
        path, number, found = PurePosixPath(name), 1, name
        while hash(found.casefold()) in self.taken:
            number += 1
            found = str(path.with_name(f"{path.stem}-{number}{path.suffix}"))
        self.taken.add(hash(found.casefold()))
        return found


def _moment(created_at: str | None) -> tuple[int, int, int, int, int, int]:
    """The time of an entry; ZIP knows none before 1980."""
    when = datetime.fromisoformat(created_at) if created_at else datetime(1980, 1, 1)  # noqa: DTZ001 - without a zone
    return (when.year, when.month, when.day, when.hour, when.minute, when.second)
