"""The ASGI application: ``uvicorn web.app:build --factory``, or `recast web`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.routing import Route

from models.session import make_engine, make_sessions
from web.callbacks import Callbacks
from web.health import Health
from web.media import Media
from workers.media import PREFIX, MediaSigner
from workers.settings import Settings, SettingsError, settings
from workers.storage import Storage

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
    engine = make_engine(configured.database_url, pool_size=POOL_SIZE)
    health = Health(engine)
    callbacks = Callbacks(make_sessions(engine), configured.accounts_file)
    media = Media(MediaSigner(configured), Storage(configured.storage))

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        engine.dispose()

    return Starlette(
        routes=[
            Route("/healthz", health.show),
            Route("/callbacks/{token}", callbacks.take, methods=["POST"]),
            Route(f"{PREFIX}/{{expires}}/{{signature}}/{{key:path}}", media.show),
        ],
        lifespan=lifespan,
    )
