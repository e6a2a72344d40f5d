"""Downloads: of one picture, or of many as a ZIP, ticked ones or all of a filter; how much it is comes first.

Where this process has the certificate, credentials of what is handed out say the verdict.
"""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import quote

import structlog
from sqlalchemy.orm import Session
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from catalog.errors import CatalogError
from desk.actors import Actor
from desk.audit import note
from desk.verdicts import DeskError
from models.people import Role
from models.transactions import Database
from recast.errors import InvalidJobError
from recast.hints import hint
from reports import archives
from reports.pictures import TEMPLATE, Names
from reports.reviewed_copies import copy_of, handed_out
from reports.zipped import MOST_ZIPPED, Size, Wanted, check_names, chosen_ids, is_chosen, size_of, zipped
from web.access import Access
from web.grid import require_seen
from web.looks import Looks, seconds_for
from web.meant import Meant, given, meant
from web.media import Media
from web.pages import Pages
from web.streams import Lasting
from web.visitors import Form, Scope, actor_of, first, of_batch
from workers.config.settings import SettingsError
from workers.images.results import SigningError
from workers.images.storage import StorageError

if TYPE_CHECKING:
    from workers.images.signing import Signer

T = TypeVar("T")

log = structlog.get_logger()

AT_ONCE = 8  # archives that are sent side by side, each with a thread while it is read and signed
OF_ONE = 2  # of one visitor, or of all guests of a batch, so that nobody has all of these places
MAX_TEMPLATE_CHARS = 500  # of a template of names: a path with a dozen columns


class Downloads:
    """Where pictures are downloaded together.

    Args:
        pages: makes the pages, and reads the database.
        database: read while an archive is sent.
        media: has the storage.
        signs: gives what signs copies; None where there is no certificate.
        looks: gives visitors their turns.
    """

    def __init__(
        self, pages: Pages, database: Database, media: Media, signs: Callable[[], Signer | None], looks: Looks
    ) -> None:
        self._pages, self._database, self._media, self._signs, self._looks = pages, database, media, signs, looks
        self._sending: Counter[str] = Counter()
        # Of its own: a program that signs and hangs must not hold the threads in which providers are answered.
        self._threads = ThreadPoolExecutor(AT_ONCE, "downloads")

    def routes(self, access: Access, of_result: Scope) -> list[Route]:
        """The page, which guests see of their batch, and where its form goes; and a picture by itself."""
        guarded = access.guarded(self._pages.surely(self.answer), guests=of_batch)
        one = access.guarded(self._pages.surely(self.one), guests=of_result)
        return [
            Route("/batches/{batch_id:row}/download", guarded, methods=["GET", "POST"]),
            Route("/results/{result_id:row}/download", one),
        ]

    async def one(self, request: Request) -> Response:
        """One picture, as `recast export` writes it."""
        result = await self._pages.read(handed_out, request.path_params["result_id"])
        if result is None:
            return self._pages.missing(request, "This picture does not exist or was removed.")
        headers = {
            **_attachment(Names(TEMPLATE, "").of(result["name"], {}, result)),
            "X-Content-Type-Options": "nosniff",
        }
        if (copy := copy_of(result)) and (signer := await self._aside(self._signer)):
            try:
                data = await self._aside(partial(copy.made, self._media.storage, signer))
                return Response(data, media_type=copy.media_type, headers=headers)
            except SigningError as error:
                log.error("not_signed", result=request.path_params["result_id"], error=str(error))  # noqa: TRY400
            except StorageError:
                log.info("not_read", key=copy.key)  # and the answer says so
        return await self._media.serve(result["key"], "no-store", more=headers)

    def _signer(self) -> Signer | None:
        """What signs copies. Where it cannot now, files are handed out as they are stored: nobody here can mend it."""
        try:
            return self._signs()
        except SettingsError as error:
            log.error("not_signed", error=str(error))  # noqa: TRY400 - the cause is named
            return None

    async def answer(self, request: Request) -> Response:
        """How much it is; or, with ``do=zip``, the archive."""
        actor, form = actor_of(request), given(request)
        sends = request.method == "POST" and first(form, "do") == "zip"
        if sends and first(form, "original"):
            actor.need(Role.REVIEWER, "see a provider's own file")
        try:
            async with self._looks.turn(actor):
                found = await self._pages.read(_found, actor, request.path_params["batch_id"], form)
            if found is None:
                return self._pages.missing(request, "This batch does not exist.")
            asked, wanted, size = found
            if not sends:
                return self._pages.render(
                    request, "download.html", meant=asked, size=size, jobs=len(wanted.ids), pattern=wanted.template,
                    may_have_originals=actor.may(Role.REVIEWER) and actor.guest_of is None,
                )  # fmt: skip
            await self._pages.read(check_names, wanted)
            return await self._archive(actor, asked.of, wanted, size)
        except (CatalogError, DeskError, InvalidJobError) as error:
            return self._pages.missing(request, f"{error}.", HTTPStatus.UNPROCESSABLE_ENTITY, "Not possible")

    async def _archive(self, actor: Actor, of: str, wanted: Wanted, size: Size) -> Response:
        visitor = actor.seat
        if self._sending[visitor] >= OF_ONE or self._sending.total() >= AT_ONCE:
            raise DeskError(
                f"{self._sending[visitor]} downloads of yours, {self._sending.total()} in all, are under way; allowed: "
                f"{OF_ONE} of one person, or of all guests of a batch, {AT_ONCE} in all; try again when one has ended"
            )
        self._sending[visitor] += 1
        ended = partial(self._ended, visitor)
        try:
            original = wanted.original or None
            await self._pages.change(note, actor, "download", of, pictures=size.pictures, original=original)
        except BaseException:
            ended()
            raise
        name = f"{wanted.batch or 'single-jobs'}.zip"
        return Lasting(self._pieces(wanted), "application/zip", _attachment(name), ended)

    async def _pieces(self, wanted: Wanted) -> AsyncGenerator[bytes, None]:
        signer = await self._aside(self._signer)
        steps = _Steps(zipped(self._database, self._media.storage, wanted, signer))
        try:
            while (piece := await self._aside(steps.next)) is not None:
                if piece:
                    yield piece
        finally:
            # A client that is gone leaves the picture open that was being read.
            asyncio.get_running_loop().run_in_executor(None, steps.close)

    async def _aside(self, work: Callable[[], T]) -> T:
        """Run `work`, which reads or signs pictures, in one of the threads for it."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    def _ended(self, visitor: str) -> None:
        self._sending[visitor] -= 1
        if not self._sending[visitor]:
            del self._sending[visitor]


def _attachment(name: str) -> dict[str, str]:
    return {"Content-Disposition": f"attachment; filename*=UTF-8''{quote(name, safe='')}", "Cache-Control": "no-store"}


class _Steps:
    """Pieces that are made in one thread at a time, until they are wanted no more."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces, self._lock, self._closed = pieces, threading.Lock(), False

    def next(self) -> bytes | None:
        with self._lock:
            return None if self._closed else next(self._pieces, None)

    def close(self) -> None:
        with self._lock:
            self._closed = True
            self._pieces.close()  # type: ignore[attr-defined]


def _found(session: Session, actor: Actor, batch_id: int, form: Form) -> tuple[Meant, Wanted, Size] | None:
    """What is meant, and how much it is.

    Raises:
        DeskError: nothing is meant, or more than one archive may have.
        InvalidJobError: a look for it takes too long.
        ForbiddenError: the filter asks by accounts for a person who may not see them.
        CatalogError: the batch is archived.
    """
    asked = meant(session, batch_id, form)
    if asked is None:
        return None
    archives.refuse(session, batch_id=batch_id)
    require_seen(actor, asked.grid)
    ids = chosen_ids(session, asked.which, seconds_for(actor))
    if len(ids) > MOST_ZIPPED:
        exports = asked.batch and actor.may(Role.OPERATOR)
        or_export = f", or use {hint('export', asked.batch, pictures='FOLDER')}" if exports else ""
        raise DeskError(
            f"filter: {asked.in_words or 'all'!r} means more than {MOST_ZIPPED:,} jobs with pictures; allowed: up to "
            f"{MOST_ZIPPED:,} in one download; narrow it{or_export}"
        )
    if not ids:
        if asked.ticked:
            raise DeskError("job: none that is ticked has a picture; allowed: jobs with pictures")
        raise DeskError(
            f"filter: no job of {asked.in_words or 'all'!r} has a picture; allowed: what fits some with one"
        )
    template = first(form, "template").strip() or TEMPLATE
    if len(template) > MAX_TEMPLATE_CHARS:
        raise DeskError(f"template: it has {len(template):,} characters; allowed: up to {MAX_TEMPLATE_CHARS}")
    chosen = is_chosen(asked.which)
    wanted = Wanted(
        asked.batch, ids, template, original=bool(first(form, "original")), chosen=chosen, accounts=actor.sees_money
    )
    return asked, wanted, size_of(session, ids, chosen=chosen)
