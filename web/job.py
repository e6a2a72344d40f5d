"""The page of one job: its pictures before and after, what people said of them, its request, attempts and versions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from desk.actors import Actor
from desk.loupe import Loupe, loupe
from models.checks import CheckName
from models.people import Role
from reports.job import JobDetail, job_detail
from reports.queries import whole
from web.access import Access
from web.desk import REASON_KEYS
from web.pages import Pages, is_text, link
from web.prefix import prefix
from web.redo import Quote, Redos
from web.visitors import Scope, actor_of
from workers.engine.copies import Copy, nearest
from workers.images.storage import Storage


@dataclass(frozen=True, slots=True)
class _Found:
    detail: JobDetail
    #: The same job as people review it.
    looked: Loupe
    quote: Quote | None
    #: Which job's picture a flagged result looks like, by the result's number.
    copies: Mapping[int, Copy]


class JobPage:
    """The pages of jobs.

    Args:
        pages: makes the pages, and reads the database.
        storage: where the results are.
        reasons: what can be wrong with a picture, as the deployment says.
        redos: tells what a redo costs.
    """

    def __init__(self, pages: Pages, storage: Storage, reasons: Sequence[str], redos: Redos) -> None:
        self._pages, self._storage, self._reasons, self._redos = pages, storage, tuple(reasons), redos

    def routes(self, access: Access, guests: Scope) -> list[Route]:
        """The page; guests see those of their batch."""
        return [Route("/jobs/{job_id:path}", access.guarded(self._pages.surely(self.show), guests=guests))]

    async def show(self, request: Request) -> Response:
        """One job; ``?picture=`` selects one of several pictures. Its forms go to the review desk and come back."""
        job_id, actor = request.path_params["job_id"], actor_of(request)
        found = await self._pages.read(self._found, actor, job_id) if is_text(job_id) else None
        if found is None:
            return self._pages.missing(request, "This job does not exist.")
        job = found.detail.job
        return self._pages.render(
            request, "job.html", detail=found.detail, job=job, looked=found.looked, quote=found.quote,
            copies=found.copies, picture=found.looked.shown(whole(request.query_params, "picture")),
            said_of={picture.id: picture for picture in found.looked.pictures}, judges=actor.may(Role.REVIEWER),
            wrong=list(zip(self._reasons, REASON_KEYS, strict=False)),
            action=link(prefix(request), "batches", job.batch_id, "review"),
        )  # fmt: skip

    def _found(self, session: Session, actor: Actor, job_id: str) -> _Found | None:
        detail = job_detail(session, job_id, self._storage)
        looked = None if detail is None else loupe(session, detail.job.batch_id, job_id)
        if detail is None or looked is None:
            return None
        return _Found(detail, looked, self._redos.quote(session, actor, job_id), _copies(session, actor, detail))


def _copies(session: Session, actor: Actor, detail: JobDetail) -> Mapping[int, Copy]:
    """The jobs that flags of near-duplicates mean; guests know of no other batch."""
    flagged = [
        result.id
        for result in detail.results
        if any(check["flagged"] and check["name"] == CheckName.NEAR_DUPLICATE for check in result.checks)
    ]
    found = {result_id: nearest(session, result_id) for result_id in flagged}
    return {
        result_id: copy
        for result_id, copy in found.items()
        if copy is not None and actor.guest_of in (None, copy.batch_id)
    }
