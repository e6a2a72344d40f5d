"""The ASGI application that `recast web` serves."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.routing import Route

from models.transactions import Database
from web.access import Access
from web.before import Before
from web.callbacks import Callbacks
from web.gallery import Gallery
from web.health import Health
from web.media import Media
from web.metrics import Metrics
from workers.config.settings import Settings, SettingsError, settings
from workers.http.client import HttpClient, build_client
from workers.http.ssrf import Guard
from workers.http.urls import MEDIA
from workers.images.inputs import Inputs
from workers.images.signed_urls import MediaSigner
from workers.images.storage import Storage

FETCHES = 8  # inputs fetched side by side for the gallery
POOL_SIZE = 5  # connections to the database: every request here holds one for milliseconds


def build(chosen: Settings | None = None) -> Starlette:
    """The application for `chosen`, or for this process's settings.

    Raises:
        SettingsError: there is no database, or no key to check signatures with.
        StorageError: the storage cannot be used.
    """
    configured = chosen or settings()
    if configured.database_url is None:
        raise SettingsError("no database: set RECAST_DATABASE_URL, or start the embedded stack with `recast up`")
    database = Database(configured.database_url, POOL_SIZE)
    storage = Storage(configured.storage)
    # No account's `allow_hosts` counts here: what a job names by URL must be public to be shown.
    client = build_client(Guard(), max_connections=FETCHES)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        await client.aclose()
        database.close()

    return Starlette(routes=_routes(configured, database, storage, client), lifespan=lifespan)


def _routes(configured: Settings, database: Database, storage: Storage, client: HttpClient) -> list[Route]:
    callbacks = Callbacks(database, configured.accounts_file, configured.public_url)
    media = Media(MediaSigner(configured), storage)
    metrics = Metrics(database.sessions, configured.metrics_token, configured.currency)
    pages: list[Route] = []
    if configured.web_auth is not None:
        before = Before(Inputs(configured, storage), client)
        pages = Gallery(database.sessions, media, before, configured.currency).routes(Access(configured.web_auth))
    return [
        Route("/healthz", Health(database.engine).show),
        Route("/metrics", metrics.show),
        Route("/callbacks/{token}", callbacks.take, methods=["POST"]),
        Route(f"{MEDIA}/{{expires}}/{{signature}}/{{key:path}}", media.show),
        *pages,
    ]
