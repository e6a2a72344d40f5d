"""The ASGI application that `recast web` serves."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial

from starlette.applications import Starlette
from starlette.convertors import StringConvertor, register_url_convertor
from starlette.middleware import Middleware
from starlette.routing import Route

from models.transactions import Database
from recast.hints import hint
from web.access import Access
from web.accounts import AccountsPage
from web.api.api import Api
from web.api.endpoints import Service
from web.api.table import BASE
from web.attempts import AttemptsPages
from web.batches import BatchesPage
from web.bulk import BulkPage
from web.callbacks import Callbacks
from web.decide import DecidePage
from web.desk import Desk
from web.downloads import Downloads
from web.gallery import Gallery
from web.guesses import GuessLimiter
from web.guest_links import GuestLinksPages
from web.guests import Guests
from web.health import Health
from web.here import Here
from web.input_thumbnails import InputThumbnails
from web.job import JobPage
from web.lists import Lists
from web.live import Live
from web.looks import Looks
from web.mcp_endpoint import PATH as MCP
from web.mcp_endpoint import McpEndpoint
from web.media import Media
from web.metrics import Metrics
from web.news import News
from web.operators import Operators
from web.pages import Pages
from web.pilot import PilotPage
from web.prefix import Prefixed, prefix_of
from web.proxied import Proxied
from web.redo import Redos
from web.redo_page import RedoPage
from web.releases import ReleasesPages
from web.result_files import ResultFiles
from web.selections import Selections
from web.sign_ins import SignIns
from web.signed import Signed
from web.singles import SinglesList
from web.today import TodayPage
from web.tokens import TokensPage
from web.webhooks import WebhooksPages
from web.you import YouPage
from workers.config.settings import Settings, SettingsError, settings
from workers.engine.runtime import Runtime
from workers.http.client import HttpClient, build_client
from workers.http.ssrf import Guard
from workers.http.urls import MEDIA
from workers.images.decoders import Decoders
from workers.images.inputs import Inputs
from workers.images.signed_urls import MediaSigner
from workers.images.storage import Storage

FETCHES = 8  # input pictures fetched at the same time for the gallery
API_CONNECTIONS = 8  # the same for programs, so that they leave the pages theirs
CONNECTIONS = 10  # to the database, at most: each request here holds one for milliseconds


class _Anything(StringConvertor):
    """The rest of a path, whatever signs it has: `path` ends at a line break."""

    regex = "(?s:.*)"


register_url_convertor("anything", _Anything())


def build(chosen: Settings | None = None) -> Starlette:
    """The application for `chosen`, or for this process's settings.

    Raises:
        SettingsError: there is no database, or no key to check signatures with.
        StorageError: the storage cannot be used.
    """
    configured = chosen or settings()
    if configured.database_url is None:
        raise SettingsError(f"no database: set RECAST_DATABASE_URL, or start the embedded stack with {hint('up')}")
    database = Database(configured.database_url, min(CONNECTIONS, configured.database_connections))
    signer, below = MediaSigner(configured), prefix_of(configured.public_url)
    media, decoders = Media(signer, Storage(configured.storage)), Decoders()
    # No account's `allow_hosts` applies here: a picture that a job names by URL must be public to be shown.
    client = build_client(Guard(), max_connections=FETCHES)
    runtime = Runtime(configured.model_copy(update={"database_connections": API_CONNECTIONS}), secrets=())

    guesses, news = GuessLimiter(), News(runtime)
    callbacks = Callbacks(database, configured.accounts_file, runtime.callback_tokens, configured.public_url)
    api = Api(Service(runtime, configured.quote_seconds), ResultFiles(runtime, media, decoders), guesses, news)
    mcp = McpEndpoint(api)
    routes = [
        *_program_routes(api, mcp),
        *_service_routes(configured, database, media, guesses, callbacks),
        *_gallery_routes(configured, database, media, decoders, client, guesses, runtime, news),
    ]
    app = Starlette(
        routes=routes,
        lifespan=_life(callbacks, news, mcp, client, runtime, database),
        middleware=[Middleware(Prefixed, prefix=below)],
    )
    #: Ends what never ends by itself, before the server waits for it.
    app.state.end = news.close
    app.state.is_signed = Signed(signer, runtime.callback_tokens, below)
    # They are made from the Host header, which is anybody's.
    app.router.redirect_slashes = False
    return app


def _life(
    callbacks: Callbacks, news: News, mcp: McpEndpoint, client: HttpClient, runtime: Runtime, database: Database
) -> Callable[[Starlette], AbstractAsyncContextManager[None]]:
    """What is closed when the application ends."""

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        news.close()
        await callbacks.close()
        await mcp.close()
        await client.aclose()
        news.shut()
        runtime.close()
        database.close()

    return lifespan


def _program_routes(api: Api, mcp: McpEndpoint) -> list[Route]:
    """What programs and assistants ask."""
    return [Route(MCP, mcp), *(Route(path, api) for path in (BASE, f"{BASE}/{{path:anything}}"))]


def _service_routes(
    configured: Settings, database: Database, media: Media, guesses: GuessLimiter, callbacks: Callbacks
) -> list[Route]:
    """What load balancers, Prometheus and providers request."""
    metrics = Metrics(database.sessions, configured.metrics_token, configured.currency, guesses=guesses)
    return [
        Route("/healthz", Health(database.engine).show),
        Route("/metrics", metrics.show),
        Route("/callbacks/{token}", callbacks.take, methods=["POST"]),
        Route(f"{MEDIA}/{{expires}}/{{signature}}/{{key:path}}", media.show),
    ]


def _gallery_routes(
    configured: Settings, database: Database, media: Media, decoders: Decoders, client: HttpClient,
    guesses: GuessLimiter, runtime: Runtime, news: News,
) -> list[Route]:  # fmt: skip
    """The pages for people: there are none as long as neither a password nor a person protects them."""
    inputs = InputThumbnails(Inputs(configured, media.storage), client, decoders)
    pages = Pages(database, configured.currency)
    sign_ins = SignIns(database, pages, guesses, Here(configured))
    guests, proxied = Guests(pages, guesses), Proxied(configured, pages)
    access = Access(configured.web_auth, guesses, sign_ins, guests, proxied)
    live, looks = Live(pages, news), Looks()
    selections = Selections(pages, configured.review_reasons, looks)
    redos = Redos(configured, media.storage)
    files = ResultFiles(database, media, decoders)
    gallery = Gallery(pages, inputs, files, configured.accounts_file, selections, guests.scopes, live)
    return [
        Route("/sign-in", access.guarded(sign_ins.page, everybody=True)),
        Route("/sign-in", access.guarded(sign_ins.enter, everybody=True), methods=["POST"]),
        Route("/sign-out", access.guarded(sign_ins.leave), methods=["POST"]),
        *YouPage(pages, database, sign_ins).routes(access),
        *live.routes(access),
        *_operator_routes(access, Operators(pages, runtime), live),
        *Desk(pages, configured.review_reasons, redos, live).routes(access),
        *RedoPage(pages, redos).routes(access),
        *Downloads(pages, database, media, lambda: runtime.signer, looks).routes(access, guests.of_result),
        *JobPage(pages, media.storage, configured.review_reasons, redos).routes(access, guests.of_job),
        *BatchesPage(pages, live).routes(access),
        *SinglesList(pages, selections).routes(access),
        *guests.routes(partial(access.guarded, everybody=True)),
        *selections.routes(access),
        *gallery.routes(access),
    ]


def _operator_routes(access: Access, operators: Operators, live: Live) -> list[Route]:
    """The pages of operators; reviewers see one of them, too."""
    return [
        *TodayPage(operators, live).routes(access),
        *DecidePage(operators).routes(access),
        *BulkPage(operators).routes(access),
        *PilotPage(operators, live).routes(access),
        *AccountsPage(operators).routes(access),
        *WebhooksPages(operators).routes(access),
        *Lists(operators).routes(access),
        *GuestLinksPages(operators).routes(access),
        *TokensPage(operators).routes(access),
        *ReleasesPages(operators).routes(access),
        *AttemptsPages(operators).routes(access),
    ]
