"""The gallery: pages of a batch's pictures before and after, and the pictures themselves.

Keys, names, prompts and providers' answers are hostile text: the templates escape all of it, and pages run only the
scripts and load only the styles of `web/static`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from importlib.resources import files
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session
from starlette.convertors import IntegerConvertor, register_url_convertor
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from catalog import pilot
from desk.actors import Actor
from models.jobs import ROLES
from models.states import JobState
from reports import cards, timeline
from reports.batch import BatchReport, find
from reports.batches import ends_of
from reports.flags import COUNTED, some_flags
from reports.grid_counts import said
from reports.grid_filter import DEAR_MOST, GridFilter, Sort
from reports.job import input_uri
from reports.obstacles import accounts_for_obstacles
from reports.queries import one_of, whole
from reports.reviews import verdicts_of
from web import charts
from web.access import Access
from web.bulk import Verb, offered
from web.grid import COOKIE as DENSITY
from web.grid import COOKIE_SECONDS as DENSITY_SECONDS
from web.grid import Density, GridRequest, choices
from web.input_thumbnails import LARGE_SIDE, InputThumbnails, NoPictureError
from web.live import Live
from web.media import storage_down
from web.pages import ID_DIGITS, Pages, is_text, member
from web.result_files import ResultFiles
from web.selections import Selections
from web.sign_ins import keep
from web.stops import Stops
from web.visitors import Handler, Scope, actor_of
from workers.cache import Cache
from workers.images.storage import StorageError
from workers.images.thumbnails import THUMBNAIL_SIDE

INPUT_SIZES = ("small", "large")
INPUT_CACHE = "private, max-age=600"  # a local file can change
CHART_SECONDS = 15.0  # for which the figures of a batch's charts are cached
CHARTS_KEPT = 64


class _RowConvertor(IntegerConvertor):
    """A row's number in a path; a longer number belongs to no row, and fails in the database."""

    regex = rf"[0-9]{{1,{ID_DIGITS}}}"


register_url_convertor("row", _RowConvertor())

STATIC = {
    "recast.css": "text/css", "desk.css": "text/css", "live.js": "text/javascript", "desk.js": "text/javascript",
    "news.js": "text/javascript", "stage.css": "text/css", "stage.js": "text/javascript",
    "times.js": "text/javascript", "grid.css": "text/css", "grid.js": "text/javascript",
    "selection.css": "text/css", "selection.js": "text/javascript", "tiles.js": "text/javascript",
    "operator.css": "text/css", "icon.svg": "image/svg+xml", "sign_in.js": "text/javascript",
}  # fmt: skip


class Gallery:
    """Pages and pictures for people, behind a password.

    Args:
        pages: makes the pages, and reads the database.
        inputs: makes thumbnails of input pictures.
        results: serves the files of results.
        accounts_file: read for what keeps a batch from continuing.
        selections: what a batch's page offers to do with many pictures.
        scopes: of which batch each path is that guests may see.
        live: keeps pages up to date.
    """

    def __init__(
        self,
        pages: Pages,
        inputs: InputThumbnails,
        results: ResultFiles,
        accounts_file: Path,
        selections: Selections,
        scopes: Mapping[str, Scope],
        live: Live,
    ) -> None:
        self._pages, self._inputs, self._results = pages, inputs, results
        self._accounts_file, self._selections, self._scopes = accounts_file, selections, scopes
        self._live, self._stopping = live, Stops(pages.currency)
        self._charts: Cache[int, list[timeline.Point] | None] = Cache(CHARTS_KEPT, CHART_SECONDS)

    def routes(self, access: Access) -> list[Route]:
        """Every page, guarded by `access`."""
        handlers: Mapping[str, Handler] = {
            "/batches/{batch_id:row}": self._live.again(self.batch),
            "/results/{result_id:row}/{size:str}": self.result,
            "/inputs/{role:str}/{job_id:path}": self.input,
        }
        return [
            *(
                Route(path, access.guarded(self._pages.surely(handler), guests=self._scopes.get(path)))
                for path, handler in handlers.items()
            ),
            # The page for signing in has a stylesheet too.
            Route("/static/{name:str}", access.guarded(self.static, everybody=True)),
        ]

    async def batch(self, request: Request) -> Response:
        """A batch's progress, spend and pictures.

        `reports.grid_filter` names the parameters that filter and sort them; ``?after=`` selects the page, and
        ``?jump=KEY`` the one that begins with a key.
        """
        batch_id, asked, actor = request.path_params["batch_id"], GridRequest.of(request), actor_of(request)

        def read(session: Session) -> dict[str, Any] | None:
            name = cards.batch_name(session, batch_id)
            if name is None:
                return None
            report = find(session, name)
            asked.shown.require_sortable(report.total)
            picks = self._selections.offered(session, request, batch_id)
            reviewed, page = verdicts_of(session, report), asked.page(session, actor.name)
            counted = said(session, batch_id, reviewed.needs_work, reviewed.approved + reviewed.needs_work)
            return {
                "report": report,
                "page": page,
                "stops": self._stops(session, report) if actor.sees_money else [],
                "pilot": pilot.is_open(session, batch_id),
                "ends_at": ends_of(session, [report]).get(batch_id),
                "reviewed": reviewed,
                "flags": some_flags(session, batch_id),
                "choices": choices(asked.shown, page, counted, self._selections.reasons, actor),
                "picks": picks,
            }

        found = await self._pages.read(read)
        if found is None:
            return self._pages.missing(request, "This batch does not exist.")
        points = await self._points(batch_id) if actor.sees_money else []
        answer = self._pages.render(
            request, "batch.html", **found, **_lines(points), grid=asked, shown=asked.shown, counted=COUNTED,
            sorts=_sorts(found["report"], actor), sizes=Density, bulk=_bulk(asked.shown),
        )  # fmt: skip
        if "density" in request.query_params:
            keep(request, answer, DENSITY, asked.density, DENSITY_SECONDS)
        return answer

    def _stops(self, session: Session, report: BatchReport) -> list[str]:
        """What keeps the batch from continuing, in sentences."""
        accounts = accounts_for_obstacles(self._accounts_file) if report.counts[JobState.QUEUED] else None
        return self._stopping.of(session, report, accounts)

    async def result(self, request: Request) -> Response:
        """A file of a result, by a `cards.Rendition`."""
        result_id, which = request.path_params["result_id"], member(cards.Rendition, request.path_params["size"])
        try:
            with_body = request.method != "HEAD"
            found = which and await self._results.answer(actor_of(request), result_id, which, with_body=with_body)
        except NoPictureError as error:
            return _unshown(request, error)
        except StorageError:
            return storage_down()
        return found or self._pages.missing(request, "This picture does not exist or was removed.")

    async def input(self, request: Request) -> Response:
        """A copy of an input picture, small or ``?size=large``; ``?version=2`` is of a former version of the job."""
        role, job_id = request.path_params["role"], request.path_params["job_id"]
        version, size = whole(request.query_params, "version"), one_of(request.query_params, "size", INPUT_SIZES)
        uri = await self._pages.read(input_uri, job_id, role, version) if role in ROLES and is_text(job_id) else None
        if uri is None:
            return self._pages.missing(request, "This picture does not exist or was removed.")
        side = LARGE_SIDE if size == "large" else THUMBNAIL_SIDE
        try:
            thumbnail = await self._inputs.thumbnail(role, uri, side)
        except NoPictureError as error:
            return _unshown(request, error)
        media_type = "image/webp" if thumbnail.startswith(b"RIFF") else "image/jpeg"
        return Response(thumbnail, media_type=media_type, headers={"Cache-Control": INPUT_CACHE})

    async def static(self, request: Request) -> Response:
        """The stylesheets and the scripts."""
        name = request.path_params["name"]
        if name not in STATIC:
            return self._pages.missing(request, "This file does not exist.")
        content = files("web").joinpath("static", name).read_bytes()
        return Response(content, media_type=STATIC[name], headers={"Cache-Control": "private, max-age=300"})

    async def _points(self, batch_id: int) -> list[timeline.Point] | None:
        return await self._charts.get_or_await(batch_id, lambda: self._pages.read(timeline.series, batch_id))


def _unshown(request: Request, error: NoPictureError) -> Response:
    """Why a picture cannot be shown."""
    return PlainTextResponse(f"{error.said_to(actor_of(request))}\n", HTTPStatus.NOT_FOUND)


def _bulk(shown: GridFilter) -> Sequence[Verb]:
    """The bulk operations on what is shown."""
    return offered(member(JobState, shown.state), filtered=bool(shown.conditions.keys() - {"state"}))


def _lines(points: list[timeline.Point] | None) -> dict[str, Any]:
    """The figures of a batch's charts."""
    return {
        "points": points,
        "spent": _line(points, lambda point: float(point.spent)),
        "median": _line(points, lambda point: point.median, lambda point: point.slow),
        "slow": _line(points, lambda point: point.slow),
    }


def _sorts(report: BatchReport, actor: Actor) -> Sequence[Sort]:
    """The orders that a batch's grid can have for a person."""
    costs = actor.sees_money and report.total <= DEAR_MOST
    return [sort for sort in Sort if costs or sort is not Sort.COST]


def _line(
    points: list[timeline.Point] | None,
    value: Callable[[timeline.Point], float | None],
    beside: Callable[[timeline.Point], float | None] | None = None,
) -> charts.Line | None:
    """A line of one figure, on the scale of another figure if `beside` is given."""
    if not points:
        return None
    most = max((beside(point) or 0.0 for point in points), default=0.0) if beside else None
    return charts.line([point.at for point in points], [value(point) for point in points], most)
