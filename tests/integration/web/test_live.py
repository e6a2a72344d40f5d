"""Pages that stay up to date: who hears of what, how places are shared, and that a page is made once for many."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from desk import people
from desk.actors import Actor
from desk.verdicts import Decision, judge
from models.people import Role
from models.transactions import Database as Way
from models.verdicts import Verdict
from tests.integration.desk.pictures import made, results
from tests.integration.web.test_desk import PASSWORD, ROOT, Browser
from tests.web.shop import settings
from web import live as lives
from web import news, streams
from web.app import build
from web.live import AGAIN, Live
from web.news import News
from web.pages import Pages
from web.streams import EventStream
from web.visitors import Visitor

if TYPE_CHECKING:
    from tests.integration.database import Database

pytest_plugins = ["tests.integration.database"]

OLGA, VERA = Actor("Olga", Role.OPERATOR), Actor("Vera", Role.VIEWER)
END = "UPDATE jobs SET state = 'failed', reason = 'timed_out', finished_at = clock_timestamp() WHERE id = :id"


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(news, "LOOK_SECONDS", 0.02)


@pytest.fixture
def way(database: Database) -> Iterator[Way]:
    with closing(Way(database.url)) as made:
        yield made


def living(way: Way, work: Callable[[Live], Coroutine[Any, Any, None]]) -> None:
    """Do `work` with pages that are kept up to date, which ends well."""

    async def run() -> None:
        told = News(way)
        try:
            await work(Live(Pages(way, "USD"), told))
        finally:
            told.close()
            told.shut()

    asyncio.run(run())


def request(actor: Actor = OLGA, batch: int | None = None, *, again: bool = False) -> Request:
    given = [(AGAIN.encode(), b"1")] if again else []
    return Request({
        "type": "http", "method": "GET", "path": "/x", "query_string": b"", "headers": given, "root_path": "",
        "path_params": {} if batch is None else {"batch_id": batch}, "state": {"visitor": Visitor(actor, "secret")},
    })  # fmt: skip


async def listen(live: Live, actor: Actor = OLGA, batch: int | None = None) -> EventStream:
    answer = await live.stream(request(actor, batch))
    assert isinstance(answer, EventStream), answer.status_code
    return answer


async def until(answer: EventStream, *topics: str) -> dict[str, Any]:
    """All that is told up to these topics."""
    found: dict[str, set[str]] = {"topics": set(), "jobs": set()}
    told: AsyncGenerator[bytes, None] = answer.body_iterator  # type: ignore[assignment]
    while not set(topics) <= found["topics"]:
        frame = (await asyncio.wait_for(anext(told), 30)).decode()
        if frame.startswith("event: changed"):
            for name, values in json.loads(frame.partition("data: ")[2]).items():
                found[name].update(values)
    return found


def test_a_page_hears_what_kind_of_thing_has_changed_and_no_more(database: Database, way: Way) -> None:
    batch = made(database, 1)
    one, other = database.jobs(1, batch=batch), database.jobs(1, batch=database.batch("autumn"))
    (picture,) = results(database, batch)

    async def work(live: Live) -> None:
        everything, spring = await listen(live), await listen(live, VERA, batch)
        database.sql(END, id=other[0])
        assert not (await until(everything, "jobs"))["jobs"], "a page of all batches needs no names"
        database.run(partial(judge, based_on=0, known_reasons=["hair"]), OLGA, picture, Decision(Verdict.APPROVED))
        database.sql(END, id=one[0])
        database.sql("UPDATE batches SET failed = 1, queued = 0 WHERE name = 'spring'")
        heard = await until(spring, "jobs", "verdicts", "numbers")
        assert heard["jobs"] == {"job-00000", one[0]}, "and nothing of the other batch"
        assert (await live.stream(request(OLGA, 999))).status_code == 404

    living(way, work)


def test_places_are_shared_fairly_and_given_back(way: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lives, "MOST_STREAMS", 6)
    greedy = Actor("gina", Role.VIEWER, "guest", 7)

    async def work(live: Live) -> None:
        many = [await listen(live, replaced(greedy, f"g{number}")) for number in range(6)]
        assert (await live.stream(request(greedy))).status_code == 503, "all guests of a batch count as one"
        people_there = [await listen(live, Actor(name, Role.VIEWER)) for name in ("Anna", "Ben", "Vera")]
        frames = [frame async for frame in many[0].body_iterator]
        assert b"changed" not in b"".join(map(bytes, frames)), "the oldest has ended"  # type: ignore[arg-type]
        people_there.append(await listen(live, Actor("Anna", Role.VIEWER)))
        assert (await live.stream(request(Actor("Anna", Role.VIEWER)))).status_code == 503, "nobody has more than she"
        # Clients that are gone before the first word, and those that leave, give their places back
        for answer in (*many, *people_there):
            answer._ended()
        assert len([await listen(live) for _ in range(6)]) == 6

    living(way, work)


def replaced(actor: Actor, name: str) -> Actor:
    return Actor(name, actor.role, actor.via, actor.guest_of)


def test_a_stream_whose_client_is_gone_at_once_leaves_nothing(way: Way) -> None:
    async def gone() -> Any:
        return {"type": "http.disconnect"}

    async def send(_: Any) -> None:
        await asyncio.sleep(0)

    async def work(live: Live) -> None:
        for _ in range(3):
            answer = await listen(live)
            await answer({"type": "http", "asgi": {"spec_version": "2.3"}}, gone, send)
        assert live._watches == {}
        assert live._news._listeners == set()

    living(way, work)


def test_a_page_is_made_once_for_all_in_the_same_role(way: Way) -> None:
    calls: list[Actor] = []

    async def page(asked: Request) -> Response:
        visitor = asked.state.visitor
        calls.append(visitor.actor)
        return HTMLResponse(f"{visitor.actor.role} {visitor.actor.name} {visitor.secret}")

    async def work(live: Live) -> None:
        handler = live.again(page)
        answers = await asyncio.gather(*(handler(request(Actor(f"p{n}", Role.VIEWER), again=True)) for n in range(20)))
        assert {bytes(answer.body) for answer in answers} == {b"viewer  "}, "made for nobody by name"
        assert len(calls) == 1
        assert (await handler(request(OLGA, again=True))).body == b"operator  "
        guest = await handler(request(Actor("Gina", Role.VIEWER, "guest", 7), again=True))
        assert (guest.body, calls[-1].guest_of) == (b"viewer  ", 7)
        assert (await handler(request(VERA))).body == b"viewer Vera secret", "the first time it is their own"

    living(way, work)


def test_who_may_not_see_the_page_hears_nothing_of_it(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "LONGEST_SECONDS", 0.05)
    batch = made(database, 1)
    database.run(people.add, ROOT, "Vera", Role.VIEWER, PASSWORD)
    with Browser(build(settings(database, tmp_path, web_auth=None))) as browser:
        for path in ("/live", f"/batches/{batch}/live"):
            assert browser.get(path, headers={"Accept": "text/event-stream"}).status_code == 401
        browser.sign_in("Vera")
        for path in ("/live", f"/batches/{batch}/live"):
            answer = browser.get(path, headers={"Accept": "text/event-stream"})
            assert answer.headers["content-type"].startswith("text/event-stream")
            assert "event: alive" in answer.text
        page = browser.get(f"/batches/{batch}", headers={"X-Recast-Again": "1"})
        assert 'data-part="cards"' in page.text
        assert "Vera" not in page.text
        assert browser.get("/today", headers={"X-Recast-Again": "1"}).status_code == 403
