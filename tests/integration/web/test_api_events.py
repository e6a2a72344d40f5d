"""Events of the API: what is told, to whom, again after a lost connection, and by one connection of the database."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import uvicorn
from sqlalchemy import event, text

from desk.actors import Actor
from desk.verdicts import Decision, judge
from models.people import Role
from models.verdicts import Verdict
from reports.events import settled
from tests.integration.desk.pictures import made, results
from tests.integration.web.asking import ROOT, Program, chosen, problem, token
from tests.stack import wait_for
from web import news, streams
from web.__main__ import _Server
from web.api import feed as feeds
from web.api.endpoints import HIDDEN, Service
from web.api.feed import Feed
from web.app import build
from web.front import Front
from web.news import News
from workers.engine.runtime import Runtime

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from tests.integration.database import Database

pytest_plugins = ["tests.integration.database"]

OLGA, VERA = Actor("Olga", Role.OPERATOR, "api"), Actor("Vera", Role.VIEWER, "api")
Told = tuple[str, str | None, Any]
END = "UPDATE jobs SET state = 'failed', reason = 'timed_out', finished_at = clock_timestamp() WHERE id = :id"


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(news, "LOOK_SECONDS", 0.02)


@pytest.fixture
def service(database: Database, tmp_path: Path) -> Iterator[Service]:
    with closing(Runtime(chosen(database, tmp_path), secrets=())) as runtime:
        yield Service(runtime, 60.0)


def in_feed(service: Service, work: Callable[[Feed], Coroutine[Any, Any, None]]) -> None:
    """Do `work` with a feed, which ends well."""

    async def run() -> None:
        told = News(service.runtime)
        try:
            await work(Feed(told, service.currency))
        finally:
            told.close()
            told.shut()

    asyncio.run(run())


async def listen(feed: Feed, actor: Actor = OLGA, batch: str | None = None, after: int | None = None) -> Any:
    """What somebody is told."""
    told = await feed.listen(actor, batch, after, 60.0)
    assert (await anext(told)).startswith(b"retry: ")
    return told


async def until(told: AsyncGenerator[bytes, None], wanted: Callable[[Told], bool]) -> list[Told]:
    """What is told up to the one that is wanted."""
    found: list[Told] = []
    while not found or not wanted(found[-1]):
        frame = await asyncio.wait_for(anext(told), 30)
        if not frame.startswith(b":"):
            lines = dict(line.split(": ", 1) for line in frame.decode().splitlines() if line)
            found.append((lines["event"], lines.get("id"), json.loads(lines["data"])))
    return found


def of(kind: str, job: str) -> Callable[[Told], bool]:
    return lambda told: told[0] == kind and told[2].get("job") == job


def test_ends_verdicts_and_numbers_are_told_to_whom_they_concern(database: Database, service: Service) -> None:
    batch = made(database, 1)
    one, other = database.jobs(1, batch=batch), database.jobs(1, batch=database.batch("autumn"))
    (picture,) = results(database, batch)

    async def work(feed: Feed) -> None:
        everything, spring = await listen(feed), await listen(feed, VERA, "spring")
        database.sql(END, id=other[0])
        database.run(partial(judge, based_on=0, known_reasons=["hair"]), OLGA, picture, Decision(Verdict.APPROVED))
        database.sql(END, id=one[0])
        database.sql("UPDATE batches SET failed = 1, queued = 0 WHERE name = 'spring'")
        heard = await until(everything, of("job", one[0]))
        kinds = [(kind, data["job"]) for kind, micros, data in heard if micros is not None]
        assert kinds == [("job", other[0]), ("verdict", "job-00000"), ("job", one[0])], "in the order of their times"
        said = await until(spring, lambda told: told[0] == "batch" and told[2]["needs_you"] == 1)
        assert said[0][0] == "batch", "the numbers come first"
        assert {data["batch"] for _, _, data in said} == {"spring"}
        assert [data["verdict"] for kind, _, data in said if kind == "verdict"] == ["approved"]
        assert not any(HIDDEN & data.keys() for _, _, data in said)

    in_feed(service, work)


def test_what_was_missed_is_told_first(database: Database, service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(news, "AT_ONCE", 3)
    monkeypatch.setattr(feeds, "AT_ONCE", 3)
    ids = database.jobs(12, batch=database.batch("spring"))

    async def work(feed: Feed) -> None:
        first = await listen(feed)
        database.sql(END, id=ids[0])
        ((_, micros, _),) = (each for each in await until(first, of("job", ids[0])) if each[0] == "job")
        await first.aclose()
        for each in ids[1:11]:
            database.sql(END, id=each)
        again = await listen(feed, after=int(micros or 0))
        database.sql(END, id=ids[11])
        told = [data["job"] for kind, _, data in await until(again, of("job", ids[11])) if kind == "job"]
        assert list(dict.fromkeys(told)) == ids, "each at least once, in order"
        monkeypatch.setattr(feeds, "MOST_MISSED", 4)
        short = await listen(feed, after=int(micros or 0))
        assert (await until(short, lambda told: told[0] == "gap"))[-1][2]["detail"]

    in_feed(service, work)


def test_a_transaction_that_commits_late_is_told_in_its_place(
    database: Database, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = database.jobs(2, batch=database.batch("spring"))
    looks = 0

    def look(session: Session) -> int:
        nonlocal looks
        looks += 1
        return settled(session)

    monkeypatch.setattr(news, "settled", look)

    async def work(feed: Feed) -> None:
        told = await listen(feed)
        with service.runtime.engine.connect() as late:
            late.execute(text(END), {"id": ids[0]})
            database.sql(END, id=ids[1])
            before = looks
            await asyncio.to_thread(wait_for, lambda: looks > before + 2, message="looks")
            late.commit()
        heard = [data["job"] for kind, _, data in await until(told, of("job", ids[1])) if kind == "job"]
        assert heard == ids

    in_feed(service, work)


def test_any_number_of_listeners_needs_one_connection(
    database: Database, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeds, "MOST_LISTENERS", 40)
    (job,) = database.jobs(1, batch=database.batch("spring"))
    at_work: list[int] = []
    pool = service.runtime.engine.pool
    event.listen(pool, "checkout", lambda *_: at_work.append(pool.checkedout()))  # type: ignore[attr-defined]

    async def work(feed: Feed) -> None:
        told = [await listen(feed, batch="spring", after=0) for _ in range(40)]
        with pytest.raises(Exception, match="40"):
            await listen(feed)
        database.sql(END, id=job)
        for each in told:
            await until(each, of("job", job))
        feed._news.close()
        for each in told:
            assert [frame async for frame in each if not frame.startswith(b":")] == [], "each has ended"

    in_feed(service, work)
    assert max(at_work) == 1


def test_a_server_that_stops_does_not_wait_for_who_listens(database: Database, tmp_path: Path) -> None:
    app = build(chosen(database, tmp_path))
    shown = token(database, "shop", ROOT.role)

    async def run() -> bytes:
        server = _Server(uvicorn.Config(Front(app), port=0, log_config=None, lifespan="on"), app.state.end)
        server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
        serving = asyncio.create_task(server._serve())
        await asyncio.to_thread(wait_for, lambda: server.started, message="a server")
        port = server.servers[0].sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(f"GET /api/v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {shown}\r\n\r\n".encode())
        head = await asyncio.wait_for(reader.readuntil(b"retry: "), 30)
        server.should_exit = True
        await asyncio.wait_for(serving, 30)
        writer.close()
        return head

    head = asyncio.run(run())
    assert b"200 OK" in head
    assert b"text/event-stream" in head


def test_who_asks_wrongly_is_told_why(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "LONGEST_SECONDS", 0.05)
    with Program(build(chosen(database, tmp_path)), token(database, "shop", Role.VIEWER)) as shop:
        problem(shop.ask("GET", "/events", headers={"Last-Event-ID": "x"}), 422, "Last-Event-ID", "x")
        problem(shop.ask("GET", "/events?batch=autumn"), 404, "autumn")
        answer = shop.ask("GET", "/events", headers={"Last-Event-ID": "9" * 18})
        assert (answer.status_code, answer.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
