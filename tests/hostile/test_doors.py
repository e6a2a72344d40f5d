"""Hostile requests to `recast web`."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from starlette.applications import Starlette

from tests.hostile.cases import Fate
from tests.hostile.doors import CALLBACKS, LINKS, TOKEN, Call
from tests.hostile.pictures import JPEG
from tests.stack import write_accounts
from web.app import build
from web.callbacks import MAX_BODY_BYTES
from workers.config.settings import Settings
from workers.engine.callbacks import BODIES_KEPT
from workers.http.urls import digest
from workers.images.signed_urls import MediaSigner
from workers.images.storage import Storage

if TYPE_CHECKING:
    from tests.integration.database import Database, Messages

pytest_plugins = ["tests.integration.database"]


def settings(folder: Path, database_url: str) -> Settings:
    table = {"provider": "hidream", "base_url": "http://127.0.0.1:9", "token": "t"}
    write_accounts(folder / "accounts.toml", {"main": table})
    return Settings(
        _env_file=None, database_url=database_url, broker_url="redis://127.0.0.1:1/0", home=folder,
        accounts_file=folder / "accounts.toml", secret_key="a-key-of-the-tests",
    )  # fmt: skip


@dataclass
class Answer:
    status: int = 0
    headers: dict[bytes, bytes] = field(default_factory=dict)
    content: bytes = b""


def asked(app: Starlette, *calls: Call) -> list[Answer]:
    """What `app` answers. An HTTP client would tidy the paths; here they come as a server hands them on."""

    async def one(call: Call) -> Answer:
        answer, parts = Answer(), [{"type": "http.request", "body": call.body}]

        async def receive() -> Any:
            return parts.pop() if parts else await asyncio.Event().wait()

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                answer.status, answer.headers = message["status"], dict(message["headers"])
            else:
                answer.content += message.get("body", b"")

        headers = [(name.lower().encode(), value.encode()) for name, value in call.headers.items()]
        path, _, query = call.path.partition("?")
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": call.method, "scheme": "http",
            "path": unquote(path), "raw_path": path.encode(), "query_string": query.encode(), "root_path": "",
            "headers": headers, "client": ("127.0.0.1", 1), "server": ("recast", 80),
        }  # fmt: skip
        await app(scope, receive, send)
        return answer

    async def story() -> list[Answer]:
        async with app.router.lifespan_context(app):
            return [await one(call) for call in calls]

    return asyncio.run(story())


def test_hostile_callbacks_touch_nothing_but_their_own_attempt(
    database: Database, messages: Messages, tmp_path: Path
) -> None:
    database.account()
    jobs = database.jobs(len(CALLBACKS) + 2, state="running")
    tokens = {}
    for number, (job, name) in enumerate(
        zip(jobs, ["beside", "honest", *(case.name for case in CALLBACKS)], strict=True)
    ):
        tokens[name] = f"{TOKEN}-{number}"
        database.attempt(job, callback_token=f"'{digest(tokens[name])}'", handle=f"'{name.split()[0]}'")
    app = build(settings(tmp_path, database.url))

    def marked() -> dict[str, Any]:
        return {row.callback_token: row for row in database.sql("SELECT * FROM attempts WHERE callback_at IS NOT NULL")}

    for case in CALLBACKS:
        made: Call = case.make()
        before = set(marked())
        called = Call(made.path.replace(TOKEN, tokens[case.name]), made.body, made.method, made.headers)
        (answer,) = asked(app, called)
        touched = set(marked()) - before
        if case.fate is Fate.REFUSED:
            assert (str(answer.status), touched) == (case.says, set()), case.name
        else:
            own = digest(tokens[case.name])
            assert (answer.status, touched) == (200, {own}), case.name
            kept = database.one("SELECT body FROM callbacks WHERE token = :token", token=own)
            assert kept == made.body[:MAX_BODY_BYTES], case.name

    assert asked(app, Call(f"/callbacks/{tokens['honest']}"))[0].status == 200
    assert digest(tokens["beside"]) not in marked()
    assert {row.state for row in database.sql("SELECT state FROM attempts")} == {"running"}
    assert {row.state for row in database.sql("SELECT state FROM jobs")} == {"running"}
    assert set(messages.pumps) == {"poll:main"}


def test_a_token_keeps_few_bodies_and_none_of_an_attempt_that_has_ended(
    database: Database, messages: Messages, tmp_path: Path
) -> None:
    database.account()
    running, done = database.jobs(2, state="running")
    database.attempt(running, callback_token=f"'{digest('running')}'")
    database.attempt(done, "done", callback_token=f"'{digest('done')}'")
    app = build(settings(tmp_path, database.url))
    answers = asked(
        app, *[Call(f"/callbacks/{token}") for token in ("running", "done") for _ in range(BODIES_KEPT + 3)]
    )
    assert {answer.status for answer in answers} == {200}
    kept = {row.token: row.number for row in database.sql("SELECT token, count(*) AS number FROM callbacks GROUP BY 1")}
    assert kept == {digest("running"): BODIES_KEPT}


def test_hostile_links_bring_nothing(tmp_path: Path) -> None:
    configured = settings(tmp_path, "postgresql://127.0.0.1:1/none")
    app = build(configured)
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / ".recast-check-00").write_text("x")
    for case in LINKS:
        (answer,) = asked(app, case.make())
        assert str(answer.status) == case.says, case.name
        assert b"root:" not in answer.content
        assert answer.headers.get(b"cache-control", b"no-store") == b"no-store"

    key = Storage(configured.storage).put(JPEG, sha256=hashlib.sha256(JPEG).hexdigest(), suffix="jpg")
    (honest,) = asked(app, Call(MediaSigner(configured).link(key, 60), b"", "GET"))
    assert (honest.status, honest.content) == (200, JPEG)
