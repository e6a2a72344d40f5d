from __future__ import annotations

import asyncio
import hashlib
import time
from pathlib import Path

import pytest
from sqlalchemy import create_engine
from sqlalchemy.pool import StaticPool
from starlette.applications import Starlette
from starlette.routing import Route

from tests.http import ASGITransport, AsyncClient, Response
from tests.words import names
from web.app import build
from web.health import Health
from workers.config.settings import Settings, SettingsError
from workers.http.urls import MEDIA
from workers.images.signed_urls import MediaSigner
from workers.images.storage import Storage, StorageError

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 4_000  # several chunks


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(
        _env_file=None,
        database_url="postgresql://127.0.0.1:1/none",
        broker_url="redis://127.0.0.1:1/0",
        storage_url=str(tmp_path),
        secret_key="a-key-of-the-tests",
    )


class Client:
    """Asks an application without a server between."""

    def __init__(self, app: Starlette) -> None:
        self._transport = ASGITransport(app, raise_app_exceptions=False)

    def ask(self, method: str, path: str) -> Response:
        async def send() -> Response:
            async with AsyncClient(
                transport=self._transport, base_url="http://recast", follow_redirects=True
            ) as client:
                return await client.request(method, path)

        return asyncio.run(send())

    def get(self, path: str) -> Response:
        return self.ask("GET", path)


@pytest.fixture
def client(settings: Settings) -> Client:
    return Client(build(settings))


@pytest.fixture
def key(settings: Settings) -> str:
    return Storage(settings.storage).put(PNG, sha256=hashlib.sha256(PNG).hexdigest(), suffix="png")


def link(settings: Settings, key: str, seconds: int = 60) -> str:
    return MediaSigner(settings).link(key, seconds)


def test_a_signed_link_brings_the_file(client: Client, settings: Settings, key: str) -> None:
    answer = client.get(link(settings, key))
    assert (answer.status_code, answer.content) == (200, PNG)
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["content-length"] == str(len(PNG))
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"].startswith("private, max-age=")


def test_head_tells_the_same_without_the_file(client: Client, settings: Settings, key: str) -> None:
    answer = client.ask("HEAD", link(settings, key))
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-length"] == str(len(PNG))
    assert answer.headers["content-type"] == "image/png"


@pytest.mark.parametrize("part", [0, 1, 2])
def test_a_changed_link_is_refused(client: Client, settings: Settings, key: str, part: int) -> None:
    parts = link(settings, key).removeprefix(f"{MEDIA}/").split("/", 2)
    parts[part] = ("9" if parts[part][0] != "9" else "8") + parts[part][1:]
    answer = client.get(f"{MEDIA}/{'/'.join(parts)}")
    assert answer.status_code == 403
    assert answer.headers["cache-control"] == "no-store"


def test_an_old_link_is_refused(client: Client, settings: Settings, key: str) -> None:
    assert "expired" in client.get(link(settings, key, -1)).text


def test_another_deployments_link_is_refused(client: Client, settings: Settings, key: str) -> None:
    other = settings.model_copy(update={"secret_key": Settings(secret_key="another-key-of-the-tests").secret_key})
    assert client.get(link(other, key)).status_code == 403


def test_a_file_that_is_gone_is_404(client: Client, settings: Settings) -> None:
    assert client.get(link(settings, f"aa/bb/aabb{'0' * 60}.png")).status_code == 404


@pytest.mark.parametrize("name", ["../../etc/passwd", "..%2f..%2fetc%2fpasswd", "/etc/passwd", "%2e%2e/x", "a\\..\\b"])
def test_no_path_leads_out_of_the_storage(client: Client, settings: Settings, name: str) -> None:
    expires = int(time.time()) + 60
    assert client.get(f"{MEDIA}/{expires}/{'A' * 32}/{name}").status_code in {403, 404}
    # Even a signature of ours opens nothing that the storage did not name itself.
    assert client.get(link(settings, name)).status_code in {403, 404, 503}


def test_storage_that_does_not_answer_is_503(
    client: Client, settings: Settings, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def silent(*_: object) -> bool:
        raise StorageError("no answer")

    monkeypatch.setattr(Storage, "exists", silent)
    assert client.get(link(settings, key)).status_code == 503


def test_only_reading_is_allowed(client: Client, settings: Settings, key: str) -> None:
    assert client.ask("PUT", link(settings, key)).status_code == 405


def test_health_names_what_is_missing(client: Client) -> None:
    answer = client.get("/healthz")
    assert (answer.status_code, answer.json()) == (503, {"status": "unavailable", "missing": ["database"]})


def test_health_is_ok_while_the_database_answers() -> None:
    # The look is taken in another thread, whose own connection nobody here would close.
    engine = create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})
    answer = Client(Starlette(routes=[Route("/healthz", Health(engine).show)])).get("/healthz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
    engine.dispose()


def test_an_app_without_database_or_key_does_not_start(settings: Settings) -> None:
    with pytest.raises(SettingsError, match="no database"):
        build(settings.model_copy(update={"database_url": None}))
    with pytest.raises(SettingsError, match=names("RECAST_SECRET_KEY")):
        build(settings.model_copy(update={"secret_key": None}))


@pytest.mark.parametrize("path", ["/healthz/", "/metrics/", "/callbacks/x/", "/"])
def test_no_answer_leads_to_the_host_that_a_request_names(settings: Settings, path: str) -> None:
    async def ask() -> Response:
        transport = ASGITransport(build(settings), raise_app_exceptions=False)
        async with AsyncClient(transport=transport, base_url="http://recast") as client:
            return await client.get(path, headers={"Host": "elsewhere.example"})

    answer = asyncio.run(ask())
    assert "elsewhere.example" not in answer.headers.get("location", "")
