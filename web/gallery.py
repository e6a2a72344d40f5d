"""The gallery: batches, the pictures of one before and after, the whole story of a job. Nothing here changes anything.

Keys, names, prompts and what providers say are hostile text: the templates escape all of it, and no page runs scripts
or loads styles but those of `web/static`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http import HTTPStatus
from importlib.resources import files
from typing import Any, Concatenate, ParamSpec, TypeVar
from urllib.parse import quote, urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session, sessionmaker
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from catalog.errors import UnknownBatchError
from models.jobs import ROLES
from models.states import JobState
from reports import cards, timeline
from reports.batch import BatchReport, find, recent
from reports.text import REASONS, amount, duration, moment
from web import charts
from web.access import Access, Handler
from web.before import Before, NoPictureError
from web.media import Media
from workers.cache import Cache

P = ParamSpec("P")
T = TypeVar("T")

LISTED = 50  # batches on the first page
PICTURE_CACHE = "private, max-age=86400, immutable"  # a result never changes
INPUT_CACHE = "private, max-age=600"  # a local file may
CHART_SECONDS = 15.0  # that the figures of a batch's charts are kept
CHARTS_KEPT = 64

STATIC = {"recast.css": "text/css", "live.js": "text/javascript", "icon.svg": "image/svg+xml"}


class Gallery:
    """Pages and pictures for people, behind a password.

    Args:
        sessions: of the database.
        media: serves files of the storage.
        before: makes small copies of inputs.
        currency: of the deployment.
    """

    def __init__(self, sessions: sessionmaker[Session], media: Media, before: Before, currency: str) -> None:
        self._sessions, self._media, self._before = sessions, media, before
        self._charts: Cache[int, list[timeline.Point] | None] = Cache(CHARTS_KEPT, CHART_SECONDS)
        self._templates = Environment(
            loader=PackageLoader("web"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.globals.update(currency=currency, reasons=REASONS, states=list(JobState), link=_link)
        self._templates.filters.update(amount=amount, duration=duration, moment=moment)

    def routes(self, access: Access) -> list[Route]:
        """Every page, guarded by `access`."""
        handlers: Mapping[str, Handler] = {
            "/": self.home,
            "/batches": self.batches,
            "/batches/{batch_id:int}": self.batch,
            "/results/{result_id:int}/{size:str}": self.result,
            "/inputs/{role:str}/{job_id:path}": self.input,
            "/jobs/{job_id:path}": self.job,
            "/static/{name:str}": self.static,
        }
        return [Route(path, access.guarded(self._surely(handler))) for path, handler in handlers.items()]

    async def home(self, _: Request) -> Response:
        """The batches are the first page."""
        return RedirectResponse("/batches")

    async def batches(self, _: Request) -> Response:
        """The latest batches, newest first."""
        return self._render("batches.html", batches=await self._read(recent, LISTED))

    async def batch(self, request: Request) -> Response:
        """A batch's progress, money and pictures; ``?state=failed`` narrows those, ``?after=SEQ`` turns the page."""
        batch_id = request.path_params["batch_id"]
        chosen = [state for state in JobState if state == request.query_params.get("state")]
        after, before = (_number(request.query_params.get(name)) for name in ("after", "before"))

        def read(session: Session) -> tuple[BatchReport, cards.Page] | None:
            name = cards.batch_name(session, batch_id)
            if name is None:
                return None
            shown = cards.page(session, batch_id, chosen or list(JobState), after=after, before=before)
            return find(session, name), shown

        found = await self._read(read)
        if found is None:
            return self._missing("There is no such batch.")
        report, page = found
        points = await self._points(batch_id)
        return self._render(
            "batch.html",
            report=report,
            page=page,
            chosen=chosen[0] if chosen else None,
            points=points,
            spent=_line(points, lambda point: float(point.spent)),
            median=_line(points, lambda point: point.median, lambda point: point.slow),
            slow=_line(points, lambda point: point.slow),
        )

    async def job(self, request: Request) -> Response:
        """One job: what was asked, each attempt, and what came out."""
        story = await self._read(cards.story, request.path_params["job_id"])
        if story is None:
            return self._missing("There is no such job.")
        return self._render("job.html", story=story, roles=[role for role in ROLES if story.job[role]])

    async def result(self, request: Request) -> Response:
        """A picture that came out (``full``), or its small copy (``small``)."""
        size = request.path_params["size"]
        if size not in {"full", "small"}:
            return self._missing("There is no such picture.")

        def read(session: Session) -> str | None:
            return cards.result_key(session, request.path_params["result_id"], small=size == "small")

        key = await self._read(read)
        if key is None:
            return self._missing("There is no such picture.")
        return await self._media.serve(key, PICTURE_CACHE)

    async def input(self, request: Request) -> Response:
        """The small copy of a picture that a job names."""
        role = request.path_params["role"]
        uri = await self._read(cards.input_uri, request.path_params["job_id"], role) if role in ROLES else None
        if uri is None:
            return self._missing("There is no such picture.")
        try:
            small = await self._before.small(role, uri)
        except NoPictureError as error:
            return PlainTextResponse(f"{error}\n", HTTPStatus.NOT_FOUND)
        media_type = "image/webp" if small.startswith(b"RIFF") else "image/jpeg"
        return Response(small, media_type=media_type, headers={"Cache-Control": INPUT_CACHE})

    async def static(self, request: Request) -> Response:
        """The stylesheet and the one script."""
        name = request.path_params["name"]
        if name not in STATIC:
            return self._missing("There is no such file.")
        content = files("web").joinpath("static", name).read_bytes()
        return Response(content, media_type=STATIC[name], headers={"Cache-Control": "private, max-age=300"})

    def _surely(self, handler: Handler) -> Handler:
        async def answer(request: Request) -> Response:
            try:
                return await handler(request)
            except (DBAPIError, UnknownBatchError):
                return self._missing("The database does not answer just now.", HTTPStatus.SERVICE_UNAVAILABLE)

        return answer

    async def _read(self, work: Callable[Concatenate[Session, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        def run() -> T:
            with self._sessions() as session:
                return work(session, *args, **kwargs)

        return await run_in_threadpool(run)

    async def _points(self, batch_id: int) -> list[timeline.Point] | None:
        return await self._charts.get_or_await(batch_id, lambda: self._read(timeline.series, batch_id))

    def _render(self, template: str, status: int = HTTPStatus.OK, **values: Any) -> Response:
        return HTMLResponse(self._templates.get_template(template).render(values), status)

    def _missing(self, message: str, status: int = HTTPStatus.NOT_FOUND) -> Response:
        return self._render("missing.html", status, message=message)


def _line(
    points: list[timeline.Point] | None,
    value: Callable[[timeline.Point], float | None],
    beside: Callable[[timeline.Point], float | None] | None = None,
) -> charts.Line | None:
    """A line of one figure, on the scale of another one beside it where there is one."""
    if not points:
        return None
    most = max((beside(point) or 0.0 for point in points), default=0.0) if beside else None
    return charts.line([point.at for point in points], [value(point) for point in points], most)


def _link(*parts: object, **query: object) -> str:
    """A path of ours, every part and parameter quoted; parameters that are None are left out."""
    path = "/" + "/".join(quote(str(part), safe="") for part in parts)
    given = {name: value for name, value in query.items() if value is not None}
    return f"{path}?{urlencode(given)}" if given else path


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 19 else None  # noqa: PLR2004 - bigint
