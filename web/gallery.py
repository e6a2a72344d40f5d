"""The gallery: read-only pages of batches, of a batch's pictures before and after, and of a job's details.

Keys, names, prompts and providers' answers are hostile text: the templates escape all of it, and pages run only the
scripts and load only the styles of `web/static`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import partial
from http import HTTPStatus
from importlib.resources import files
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar
from urllib.parse import quote, urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session, sessionmaker
from starlette.concurrency import run_in_threadpool
from starlette.convertors import IntegerConvertor, register_url_convertor
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from catalog.errors import UnknownBatchError
from models.jobs import ROLES
from models.states import JobState
from recast.hints import typed
from recast.money import Money
from reports import cards, timeline
from reports.batch import BatchReport, find, recent
from reports.job import input_uri, job_detail
from reports.obstacles import accounts_for_obstacles, obstacles
from reports.text import REASONS, duration, moment, paused, waiting_for_decision
from web import charts
from web.access import Access, Handler
from web.input_thumbnails import InputThumbnails, NoPictureError
from web.media import Media
from web.prefix import prefix
from web.result_thumbnails import ResultThumbnails
from workers.cache import Cache

P = ParamSpec("P")
T = TypeVar("T")

LISTED = 50  # batches on the first page
PICTURE_CACHE = "private, max-age=86400, immutable"  # a result never changes
INPUT_CACHE = "private, max-age=600"  # a local file can change
CHART_SECONDS = 15.0  # for which the figures of a batch's charts are cached
CHARTS_KEPT = 64

ID_DIGITS = 18  # of a row's number: all of these fit into a bigint


class _RowConvertor(IntegerConvertor):
    """A row's number in a path; a longer number belongs to no row, and fails in the database."""

    regex = rf"[0-9]{{1,{ID_DIGITS}}}"


register_url_convertor("row", _RowConvertor())

STATIC = {"recast.css": "text/css", "live.js": "text/javascript", "icon.svg": "image/svg+xml"}


class Gallery:
    """Pages and pictures for people, behind a password.

    Args:
        sessions: sessions of the database.
        media: serves the storage's files.
        inputs, results: make thumbnails of input pictures and of results.
        currency: the deployment's currency.
        accounts_file: read for what keeps a batch from continuing.
    """

    def __init__(
        self,
        sessions: sessionmaker[Session],
        media: Media,
        inputs: InputThumbnails,
        results: ResultThumbnails,
        currency: str,
        accounts_file: Path,
    ) -> None:
        self._sessions, self._media, self._inputs, self._results = sessions, media, inputs, results
        self._currency, self._accounts_file = currency, accounts_file
        self._charts: Cache[int, list[timeline.Point] | None] = Cache(CHARTS_KEPT, CHART_SECONDS)
        self._templates = Environment(
            loader=PackageLoader("web"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.globals.update(reasons=REASONS, states=list(JobState), typed=typed)
        self._templates.filters.update(
            money=lambda value: str(Money(Decimal(str(value)), currency)),
            duration=duration,
            moment=moment,
            paused=paused,
            waiting=waiting_for_decision,
        )

    def routes(self, access: Access) -> list[Route]:
        """Every page, guarded by `access`."""
        handlers: Mapping[str, Handler] = {
            "/": self.home,
            "/batches": self.batches,
            "/batches/{batch_id:row}": self.batch,
            "/results/{result_id:row}/{size:str}": self.result,
            "/inputs/{role:str}/{job_id:path}": self.input,
            "/jobs/{job_id:path}": self.job,
            "/static/{name:str}": self.static,
        }
        return [Route(path, access.guarded(self._surely(handler))) for path, handler in handlers.items()]

    async def home(self, request: Request) -> Response:
        """Redirect to the batches, which are the first page."""
        return RedirectResponse(f"{prefix(request)}/batches")

    async def batches(self, request: Request) -> Response:
        """The latest batches, newest first."""
        return self._render(request, "batches.html", batches=await self._read(recent, LISTED))

    async def batch(self, request: Request) -> Response:
        """A batch's progress, spend and pictures; ``?state=failed`` filters these, ``?after=SEQ`` selects the page."""
        batch_id = request.path_params["batch_id"]
        chosen = [state for state in JobState if state == request.query_params.get("state")]
        after, before = (_number(request.query_params.get(name)) for name in ("after", "before"))

        def read(session: Session) -> tuple[BatchReport, cards.Page, list[str]] | None:
            name = cards.batch_name(session, batch_id)
            if name is None:
                return None
            shown = cards.page(session, batch_id, chosen or list(JobState), after=after, before=before)
            report = find(session, name)
            accounts = accounts_for_obstacles(self._accounts_file) if report.counts[JobState.QUEUED] else None
            return report, shown, obstacles(session, report, accounts, self._currency)

        found = await self._read(read)
        if found is None:
            return self._missing(request, "This batch does not exist.")
        report, page, stops = found
        points = await self._points(batch_id)
        return self._render(
            request,
            "batch.html",
            report=report,
            page=page,
            stops=stops,
            chosen=chosen[0] if chosen else None,
            points=points,
            spent=_line(points, lambda point: float(point.spent)),
            median=_line(points, lambda point: point.median, lambda point: point.slow),
            slow=_line(points, lambda point: point.slow),
        )

    async def job(self, request: Request) -> Response:
        """One job: its request, attempts, former versions and results."""
        job_id = request.path_params["job_id"]
        detail = await self._read(job_detail, job_id, self._media.storage) if _is_text(job_id) else None
        if detail is None:
            return self._missing(request, "This job does not exist.")
        return self._render(request, "job.html", detail=detail, job=detail.job)

    async def result(self, request: Request) -> Response:
        """A result (``full``), its thumbnail (``small``), or the provider's own file (``original``)."""
        result_id, size = request.path_params["result_id"], request.path_params["size"]
        if size == "small":
            try:
                key = await self._results.key(result_id)
            except NoPictureError as error:
                return PlainTextResponse(f"{error}\n", HTTPStatus.NOT_FOUND)
            found = None if key is None else cards.File(key)
        else:
            found = await self._read(cards.result_file, result_id, size)
        if found is None:
            return self._missing(request, "This picture does not exist or was removed.")
        return await self._media.serve(found.key, PICTURE_CACHE, without=found.mark)

    async def input(self, request: Request) -> Response:
        """The thumbnail of an input picture; ``?version=2`` selects a former version of the job."""
        role, version = request.path_params["role"], _number(request.query_params.get("version"))
        job_id = request.path_params["job_id"]
        uri = await self._read(input_uri, job_id, role, version) if role in ROLES and _is_text(job_id) else None
        if uri is None:
            return self._missing(request, "This picture does not exist or was removed.")
        try:
            thumbnail = await self._inputs.thumbnail(role, uri)
        except NoPictureError as error:
            return PlainTextResponse(f"{error}\n", HTTPStatus.NOT_FOUND)
        media_type = "image/webp" if thumbnail.startswith(b"RIFF") else "image/jpeg"
        return Response(thumbnail, media_type=media_type, headers={"Cache-Control": INPUT_CACHE})

    async def static(self, request: Request) -> Response:
        """The stylesheet and the one script."""
        name = request.path_params["name"]
        if name not in STATIC:
            return self._missing(request, "This file does not exist.")
        content = files("web").joinpath("static", name).read_bytes()
        return Response(content, media_type=STATIC[name], headers={"Cache-Control": "private, max-age=300"})

    def _surely(self, handler: Handler) -> Handler:
        async def answer(request: Request) -> Response:
            try:
                return await handler(request)
            except (SQLAlchemyError, UnknownBatchError):
                return self._missing(
                    request, "The database does not answer. Try again in a moment.", HTTPStatus.SERVICE_UNAVAILABLE
                )

        return answer

    async def _read(self, work: Callable[Concatenate[Session, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        def run() -> T:
            with self._sessions() as session:
                return work(session, *args, **kwargs)

        return await run_in_threadpool(run)

    async def _points(self, batch_id: int) -> list[timeline.Point] | None:
        return await self._charts.get_or_await(batch_id, lambda: self._read(timeline.series, batch_id))

    def _render(self, request: Request, template: str, status: int = HTTPStatus.OK, **values: Any) -> Response:
        values["link"] = partial(_link, prefix(request))
        return HTMLResponse(self._templates.get_template(template).render(values), status)

    def _missing(self, request: Request, message: str, status: int = HTTPStatus.NOT_FOUND) -> Response:
        return self._render(request, "missing.html", status, message=message)


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


def _link(below: str, *parts: object, **query: object) -> str:
    """A path of this application with quoted parts and parameters; parameters that are None are left out."""
    path = f"{below}/" + "/".join(quote(str(part), safe="") for part in parts)
    given = {name: value for name, value in query.items() if value is not None}
    return f"{path}?{urlencode(given)}" if given else path


def _is_text(value: str) -> bool:
    """Whether the database can compare it: it knows no NUL."""
    return "\0" not in value


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) <= ID_DIGITS else None
