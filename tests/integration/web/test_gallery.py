"""The gallery's pages on a real database and storage: who may see them, what they show, what they let through."""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Iterator
from html import escape, unescape
from html.parser import HTMLParser
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image
from sqlalchemy import text
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse

from models.states import Reason
from reports import cards, timeline
from reports.batch import BatchReport, find
from reports.grid_filter import ALLOWED
from reports.obstacles import obstacles
from reports.text import REASONS, waiting_for_decision
from tests.http import Response
from tests.stack import write_accounts
from tests.web.client import Client
from tests.web.shop import AUTH, ENDS, HOSTILE, settings, stock
from tests.words import names, unsaid
from web import access, stops
from web.app import build
from web.input_thumbnails import LARGE_SIDE
from workers.config.settings import Settings, SettingsError
from workers.config.settings import read as read_settings
from workers.images.storage import Storage
from workers.images.thumbnails import THUMBNAIL_SIDE

if TYPE_CHECKING:
    from tests.integration.database import Database

pytest_plugins = ["tests.integration.database"]


@pytest.fixture
def chosen(database: Database, tmp_path: Path) -> Settings:
    return settings(database, tmp_path)


@pytest.fixture
def client(chosen: Settings) -> Iterator[Client]:
    with Client(build(chosen), AUTH) as made:
        yield made


@pytest.fixture
def batch(database: Database, chosen: Settings) -> int:
    return stock(database, Storage(chosen.storage))


def links(page: Response) -> list[str]:
    """Every address that a page names."""
    found: list[str] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            found.extend(value for name, value in attrs if name in {"href", "src"} and value)

    Reader().feed(page.text)
    return found


def plain(page: Response) -> str:
    """What a person reads on the page."""
    return unescape(re.sub(r"<[^>]*>", " ", page.text))


def turns(page: Response, where: str) -> list[str]:
    """The address of the next page or the previous one, if there is one."""
    return [unescape(address) for address in re.findall(rf'rel="{where}" href="([^"]*)"', page.text)]


ACCOUNT = {"provider": "zhiqite", "base_url": "http://127.0.0.1:9", "access_key_id": "id", "access_key_secret": "x"}
#: What the paths of our pages begin with.
KNOWN = {"batches", "singles", "static", "today", "decide", "accounts", "schedules", "webhooks", "people", "audit",
    "attempts", "pumps", "releases", "tokens", "guests"}  # fmt: skip


def keys(page: Response) -> list[str]:
    """The keys of the jobs that a page shows."""
    return [unescape(key) for key in re.findall(r"<h3[^>]*>([^<]*)</h3>", page.text)]


# --- Who may look --------------------------------------------------------------------------------------------------


def test_without_a_password_set_there_is_no_gallery(chosen: Settings, batch: int) -> None:
    with Client(build(chosen.model_copy(update={"web_auth": None}))) as client:
        for path in ("/", "/batches", f"/batches/{batch}", "/jobs/job-00000", "/static/recast.css", "/results/1/full"):
            assert client.get(path).status_code == 404


def test_nothing_is_shown_without_the_password(chosen: Settings, batch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "WRONG_SECONDS", 0.0)
    wrong = ["", "Basic", "Basic !!!", "Basic cmVjYXN0Ondyb25n", "Bearer x", "Basic cmVjYXN0", "Basic \xe9"]
    paths = ("/", "/batches", f"/batches/{batch}", "/jobs/job-00000", "/inputs/target/job-00000", "/results/1/full")
    with Client(build(chosen)) as stranger:
        answers = [stranger.get(path) for path in paths]
        answers += [
            stranger.get(path, headers={"Authorization": value.encode("latin-1")}) for value in wrong for path in paths
        ]
    for answer in answers:
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith("Basic")
        assert "row-0" not in answer.text


@pytest.mark.parametrize("value", ["recast-only", "recast:", ":a-long-one", "recast:short"])
def test_a_password_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("RECAST_WEB_AUTH", value)
    with pytest.raises(SettingsError, match=names("RECAST_WEB_AUTH", "user:password")) as caught:
        read_settings()
    assert value not in str(caught.value)


def test_every_answer_tells_the_browser_to_trust_nothing(client: Client, batch: int) -> None:
    for path in ("/batches", f"/batches/{batch}", "/jobs/job-00000", "/results/1/full", "/nothing", "/batches/99"):
        answer = client.get(path)
        if path != "/nothing":
            assert "default-src 'none'" in answer.headers["content-security-policy"]
            assert "unsafe" not in answer.headers["content-security-policy"]
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert "referrer-policy" in answer.headers
        else:
            assert answer.status_code == 404
    assert client.get("/batches").headers["cache-control"] == "no-store"


# --- Below a path ---------------------------------------------------------------------------------------------------


class ReverseProxy:
    """Serves `app` below a path, as nginx (with and without a slash behind its proxy_pass) and Traefik do."""

    def __init__(self, app: Starlette, path: str, *, removes: bool, says: bool) -> None:
        self.router = app.router
        self._app, self._path, self._removes, self._says = app, path, removes, says

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if not scope["path"].startswith(f"{self._path}/"):
            await PlainTextResponse("another application", HTTPStatus.GONE)(scope, receive, send)
            return
        scope = dict(scope)
        if self._removes:
            scope["path"] = scope["path"].removeprefix(self._path)
            scope["raw_path"] = scope["raw_path"].removeprefix(self._path.encode())
        if self._says:
            scope["headers"] = [*scope["headers"], (b"x-forwarded-prefix", self._path.encode())]
        await self._app(scope, receive, send)


@pytest.mark.parametrize(
    ("public_url", "removes", "says"),
    [
        ("https://shop.example/tools/recast/", True, False),
        ("https://shop.example/tools/recast", False, False),
        ("https://api.example", True, True),
        (None, True, True),
    ],
)
def test_below_a_path_every_link_of_every_page_leads_somewhere(
    chosen: Settings, batch: int, public_url: str | None, removes: bool, says: bool
) -> None:
    write_accounts(chosen.accounts_file, {"main": ACCOUNT})
    app = build(Settings(_env_file=None, **{**chosen.model_dump(), "public_url": public_url}))
    path = "/tools/recast"
    proxied: Any = ReverseProxy(app, path, removes=removes, says=says)
    with Client(proxied, AUTH) as browser:
        seen: dict[str, int] = {}
        left = [f"{path}/", f"{path}/batches/{batch}", f"{path}/batches/99", f"{path}/jobs/nothing"]
        while left:
            place = left.pop()
            page = browser.get(place)
            seen[place] = page.status_code
            if page.headers["content-type"].startswith("text/html"):
                # Choices combine: one at a time is enough here.
                found = [link for link in links(page) if not link.startswith("#") and link.count("=") < 2]
                assert found
                # Of choices that combine, each is followed alone: all combinations would never end.
                left += [link for link in found if "&" not in link and link not in seen and link not in left]
    assert all(place.startswith(f"{path}/") for place in seen)
    assert {f"{path}/static/recast.css", f"{path}/batches", f"{path}/jobs/job-00000"} <= seen.keys()
    wrong = {place: code for place, code in seen.items() if code != HTTPStatus.OK and "/inputs/" not in place}
    assert set(wrong) <= {f"{path}/batches/99", f"{path}/jobs/nothing"}, wrong


@pytest.mark.parametrize(
    "said", ["//evil.example", "https://evil.example", '/a"onload="x', "/a/../b c", "\\\\evil", "/"]
)
def test_a_path_that_is_none_is_not_put_into_links(client: Client, batch: int, said: str) -> None:
    page = client.get("/batches", headers={"X-Forwarded-Prefix": said})
    assert all(link.startswith("#") or re.split("[/?]", link)[1] in KNOWN for link in links(page)), links(page)


# --- What is shown -------------------------------------------------------------------------------------------------


def test_hostile_text_stays_text(client: Client, batch: int) -> None:
    paths = [
        "/batches",
        f"/batches/{batch}",
        "/attempts",
        f"/attempts?batch={batch}",
        *(f"/jobs/job-{number:05}" for number in range(3 + len(ENDS))),
    ]
    for path in paths:
        page = client.get(path)
        assert page.status_code == 200
        assert HOSTILE not in page.text
        assert "<script>window" not in page.text
        assert "onerror='" not in page.text
        assert "49" not in re.findall(r"amp;([^<]{4})", page.text)  # {{7*7}} was not worked out
        assert all(link.startswith(("/", "#")) and not link.startswith("//") for link in links(page)), links(page)
    assert escape(HOSTILE, quote=False)[:20] in client.get("/batches").text


def test_the_page_of_batches_lists_them(client: Client, batch: int) -> None:
    page = client.get("/batches")
    assert unsaid(plain(page), "3 made", "2 need you", "2 rejected", "3 waiting") == []
    assert f"/batches/{batch}" in links(page)


def test_a_batch_shows_progress_money_and_every_job(client: Client, database: Database, batch: int) -> None:
    database.sql("INSERT INTO spend (scope, period, amount) VALUES (:scope, 'all', 0.26)", scope=f"batch:{batch}")
    page = client.get(f"/batches/{batch}")
    assert len(keys(page)) == 10
    assert keys(page)[:3] == ["row-0", "row-1", "row-2"]
    assert unsaid(plain(page), "0.26 USD", "5.00 USD") == []
    assert unsaid(plain(page), REASONS[Reason.TIMED_OUT]) == []
    assert page.text.count("<figure") == 2  # money and waiting over time


def test_a_batch_is_filtered_by_state(client: Client, batch: int) -> None:
    for state, _ in ENDS:
        page = client.get(f"/batches/{batch}", params={"state": state})
        assert [key.partition("-")[0] for key in keys(page)] == [state]


def test_pages_go_forward_and_back(client: Client, database: Database, batch: int) -> None:
    database.jobs(3 * cards.PAGE, batch=batch, state="queued")
    every = [row.key for row in database.sql("SELECT key FROM jobs WHERE batch_id = :id ORDER BY seq", id=batch)]

    seen, forward = [], [f"/batches/{batch}"]
    while forward:
        page = client.get(forward[0])
        seen.append(keys(page))
        forward = turns(page, "next")
    back = turns(page, "prev")
    again = [seen[-1]]
    while back:
        page = client.get(back[0])
        again.append(keys(page))
        back = turns(page, "prev")

    assert [key for part in seen for key in part] == every
    assert [len(part) for part in seen] == [cards.PAGE, cards.PAGE, cards.PAGE, 10]
    assert again == list(reversed(seen))


def test_a_search_for_a_part_of_a_key_goes_on_with_further_keys(client: Client, batch: int) -> None:
    place = '-1~0.0~0~["row-0", "row-1"]'
    page = client.get(f"/batches/{batch}", params={"key": "OW-", "after": place})
    assert keys(page) == ["row-1"], "of the keys that the page before did not look through, as far as it was read"
    (further,) = turns(page, "next")
    again = client.get(further)
    assert (keys(again), turns(again, "next")) == (["row-2"], [])
    (back,) = turns(again, "prev")
    assert keys(client.get(turns(client.get(back), "prev")[0])) == ["row-0", "row-1"]


def test_a_job_is_shown_with_its_attempts(client: Client, batch: int) -> None:
    page = client.get("/jobs/job-00003")
    assert 'id="attempts"' in page.text
    assert unsaid(plain(page), "zhiqite.swap", "main", "failed", "0.05 USD") == []
    assert unsaid(plain(page), REASONS[Reason.TIMED_OUT]) == []
    assert client.get("/jobs/no-such-job").status_code == 404
    assert client.get("/batches/99").status_code == 404
    assert client.get("/batches/0").url.path == "/singles"


def test_a_changed_job_shows_its_former_versions_with_their_pictures(
    client: Client, database: Database, batch: int
) -> None:
    # Given a job that succeeded, whose row was then changed, and whose new attempt is under way
    database.sql(
        "INSERT INTO versions (job_id, version, last_attempt, kind, source, target, prompt, extra, state, error)"
        " SELECT id, 1, 1, kind, source, source, :hostile, cast(:extra AS jsonb), 'succeeded', :hostile"
        " FROM jobs WHERE id = 'job-00000'",
        hostile=f"the first {HOSTILE}", extra='{"consent": "R-17"}',
    )  # fmt: skip
    database.sql("UPDATE jobs SET version = 2, former_attempts = 1, state = 'running' WHERE id = 'job-00000'")
    attempt = database.attempt("job-00000", "running", number=2, cost="0.03")
    database.sql(
        "UPDATE attempts SET raw = :raw, callback_at = '2026-02-03T04:05:06Z' WHERE id = :id",
        id=attempt, raw=b'{"told": "<b>\xff\x00' + HOSTILE.encode() + b'"}' + b"x" * 100_000,
    )  # fmt: skip
    # When the page is looked at
    page = client.get("/jobs/job-00000")
    # Then the former version is there with its request and pictures, and the sums are of both
    assert page.status_code == 200
    assert 'id="version-1"' in page.text
    assert unsaid(page.text, "Version 1", "R-17", "0.05 USD", "2026-02-03 04:05:06") == []
    assert len(page.content) < 50_000
    assert HOSTILE not in page.text
    assert "<b>" not in page.text
    pictures = [link for link in links(page) if link.startswith(("/inputs", "/results"))]
    inputs = {(client.get(link).status_code, link.partition("version=")[2]) for link in pictures if "inputs" in link}
    assert inputs == {(200, "1"), (200, "2")}
    assert {client.get(link).status_code for link in pictures} == {200}
    assert [link for link in pictures if link.startswith("/results")] == [
        f"/results/1/{size}" for size in ("large", "full", "small", "download", "original")
    ]
    assert client.get("/inputs/target/job-00000").content == client.get("/inputs/target/job-00000?version=2").content
    assert client.get("/inputs/target/job-00000").content != client.get("/inputs/target/job-00000?version=1").content
    assert client.get("/inputs/target/job-00000?version=3").status_code == 404


def test_any_job_id_can_be_linked_to(client: Client, database: Database, batch: int) -> None:
    odd = "a/../b?c=d#e %2f\N{SNOWMAN}"
    database.sql("UPDATE jobs SET id = :odd, key = 'odd' WHERE key = 'queued-' || :hostile", odd=odd, hostile=HOSTILE)
    (link,) = [link for link in links(client.get(f"/batches/{batch}?state=queued")) if link.startswith("/jobs/")]
    assert "<h1>odd</h1>" in client.get(link).text
    (picture, *_) = [link for link in links(client.get(link)) if link.startswith("/inputs/")]
    assert client.get(picture).headers["content-type"] == "image/jpeg"


# --- Pictures ------------------------------------------------------------------------------------------------------


def test_every_picture_on_a_page_is_there(client: Client, batch: int) -> None:
    pictures = [link for link in links(client.get(f"/batches/{batch}")) if link.startswith(("/inputs", "/results"))]
    assert len(pictures) == 2 * 10 + 3
    for link in pictures:
        answer = client.get(link)
        assert answer.headers["content-type"] in {"image/jpeg", "image/webp"}
        assert answer.headers["cache-control"].startswith("private")
        assert len(answer.content) < 100_000
    assert client.get("/results/1/full").headers["content-type"] == "image/png"


def test_a_thumbnail_is_made_when_it_is_first_looked_at_and_stored_once(
    database: Database, client: Client, batch: int, chosen: Settings
) -> None:
    """Given a result without a thumbnail, when two pages show it, then it is made once, marked as the result is, and
    stored beside it; and when the result is removed, so is the thumbnail."""
    storage = Storage(chosen.storage)
    (before,) = database.sql("SELECT key, thumbnail_key FROM results WHERE id = 1")
    assert before.thumbnail_key is None
    first, second = client.get("/results/1/small"), client.get("/results/1/small")
    assert first.status_code == HTTPStatus.OK
    assert first.content == second.content
    (after,) = database.sql("SELECT key, thumbnail_key FROM results WHERE id = 1")
    assert storage.get(after.thumbnail_key) == first.content
    assert b"compositeWithTrainedAlgorithmicMedia" in first.content
    with Image.open(io.BytesIO(first.content)) as image:
        assert max(image.size) == THUMBNAIL_SIDE


def test_a_thumbnail_of_a_result_that_is_gone_is_not_kept(
    database: Database, client: Client, batch: int, chosen: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = Storage(chosen.storage)
    files = {key for key, _ in storage.files()}

    def put_late(self: Storage, *args: Any, **kwargs: Any) -> str:
        database.sql("DELETE FROM results WHERE id = 1")
        return put(self, *args, **kwargs)

    put = Storage.put
    monkeypatch.setattr(Storage, "put", put_late)
    client.get("/results/1/small")
    assert {key for key, _ in storage.files()} == files
    assert client.get("/results/1/small").status_code == HTTPStatus.NOT_FOUND


def test_a_result_whose_file_is_missing_is_told(client: Client, database: Database, batch: int) -> None:
    database.sql("UPDATE results SET key = :key WHERE id = 1", key=f"00/00/{'0' * 64}.png")
    assert client.get("/results/1/small").status_code == HTTPStatus.NOT_FOUND


def test_the_providers_own_file_is_served_without_our_mark(database: Database, client: Client, batch: int) -> None:
    (row,) = database.sql("SELECT sha256, original_sha256 FROM results WHERE id = 1")
    original, full = client.get("/results/1/original"), client.get("/results/1/full")
    assert hashlib.sha256(original.content).hexdigest() == row.original_sha256
    assert hashlib.sha256(full.content).hexdigest() == row.sha256
    assert int(original.headers["content-length"]) == len(original.content)
    # Where there is no mark, or where the original is not kept.
    database.sql("UPDATE results SET mark_start = NULL, mark_length = NULL WHERE id = 1")
    assert client.get("/results/1/original").status_code == HTTPStatus.NOT_FOUND


def test_pictures_that_are_none_are_404(
    client: Client, database: Database, chosen: Settings, batch: int, tmp_path: Path
) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("hunter2")
    for path in ("/results/99/full", "/results/1/huge", "/inputs/target/nobody", "/inputs/options/job-00000"):
        assert client.get(path).status_code == 404
    for uri in (
        str(secret),
        str(tmp_path / "missing.png"),
        "http://127.0.0.1:1/x.png",
        "http://169.254.169.254/",
        "x://y",
    ):
        database.sql("UPDATE jobs SET target = :uri WHERE id = 'job-00000'", uri=uri)
        answer = client.get("/inputs/target/job-00000")
        assert answer.status_code == 404
        assert "hunter2" not in answer.text


@pytest.mark.parametrize(
    "path",
    [
        "/batches/99999999999999999999", "/batches/" + "9" * 5_000, "/batches/%D9%A1", "/batches/-1", "/batches/1e3",
        "/results/99999999999999999999/full", "/results/%D9%A1/small", "/jobs/a%00b", "/inputs/target/a%00b",
        "/inputs/target%00/job-00000", "/jobs/%ff", "/batches/", "/healthz/", "/static/%00",
    ],
)  # fmt: skip
def test_a_path_that_cannot_be_is_404(client: Client, batch: int, path: str) -> None:
    answer = client.get(path, headers={"Host": "evil.example"})
    assert (answer.status_code, answer.history) == (404, [])


def test_a_database_that_is_away_is_told(client: Client, database: Database, batch: int) -> None:
    database.sql("ALTER TABLE batches RENAME TO gone")
    page = client.get("/batches")
    assert page.status_code == 503
    assert unsaid(page.text, "answer") == []


# --- Over time -----------------------------------------------------------------------------------------------------


def test_the_series_adds_up(database: Database, batch: int) -> None:
    points = database.run(timeline.series, batch)
    assert points is not None
    assert [point.at for point in points] == sorted(point.at for point in points)
    assert str(points[-1].spent) == "0.2600"  # three at 0.02, four expired at 0.05: expired ones may have been paid
    assert points[0].median == pytest.approx(3, abs=0.1)
    waited = [point.median for point in points if point.median is not None]
    assert waited == sorted(waited)


def test_a_series_that_takes_too_long_is_not_drawn(
    client: Client, database: Database, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = timeline._SERIES.text.replace("FROM batches b CROSS", "FROM pg_sleep(30), batches b CROSS")
    monkeypatch.setattr(timeline, "_SERIES", text(slow))
    monkeypatch.setattr(timeline, "SECONDS", 0.5)
    assert unsaid(client.get(f"/batches/{batch}").text, "attempts") == []


def test_a_batchs_page_says_what_stops_it_as_the_commands_do(
    client: Client, batch: int, database: Database, chosen: Settings
) -> None:
    with database.sessions() as session:
        report = find(session, cards.batch_name(session, batch) or "")
        (sentence,) = obstacles(session, report, None, chosen.currency)
    said = " ".join(plain(client.get(f"/batches/{batch}")).split())
    assert unsaid(said, sentence.replace("`", "")) == []
    assert unsaid(plain(client.get("/batches")), waiting_for_decision(1)) == []


def test_what_a_paused_batch_needs_is_summed_once(
    client: Client, database: Database, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    database.sql("UPDATE batches SET paused_at = now(), paused_reason = 'budget' WHERE id = :id", id=batch)
    asked: list[object] = []

    def sum_up(_: object, report: BatchReport, *__: object) -> list[str]:
        asked.append(report.max_cost)
        return ["a higher limit"]

    monkeypatch.setattr(stops, "obstacles", sum_up)
    for limit, number in ((5, 1), (5, 1), (9, 2)):
        database.sql("UPDATE batches SET max_cost = :limit WHERE id = :id", limit=limit, id=batch)
        assert unsaid(plain(client.get(f"/batches/{batch}")), "a higher limit") == []
        assert len(asked) == number


def test_flagged_pictures_are_marked_filtered_and_sorted(client: Client, database: Database, batch: int) -> None:
    first, second, third = (
        row.id for row in database.sql("SELECT id FROM jobs WHERE state = 'succeeded' ORDER BY seq")
    )
    for job, name, rank in ((first, "blurred", 0.9), (third, "no_face", 0.1), (third, "blurred", 0.5)):
        flag(database, job, name, rank)
    flag(database, second, "blank", 1.0, flagged=False)

    whole = client.get(f"/batches/{batch}")
    assert unsaid(unescape(whole.text), "no face", "blurred", "⚑") == []
    assert shown_jobs(client.get(f"/batches/{batch}?check=any"), (first, second, third)) == [first, third]
    assert shown_jobs(client.get(f"/batches/{batch}?check=any&sort=worst"), (first, second, third)) == [third, first]
    assert shown_jobs(client.get(f"/batches/{batch}?check=no_face"), (first, second, third)) == [third]
    assert shown_jobs(client.get(f"/batches/{batch}?sort=worst"), (first, second, third)) == [third, first, second]
    both = client.get(f"/batches/{batch}?check=blurred&sort=worst&key=ROW-0")
    assert shown_jobs(both, (first, second, third)) == [first]
    # Each choice keeps the others
    assert f"/batches/{batch}?state=succeeded&check=blurred&key=ROW-0&sort=worst" in map(unescape, links(both))
    for page in (f"/jobs/{third}", f"/batches/{batch}/review?job={third}"):
        assert unsaid(unescape(client.get(page).text), "no face", "blurred", "0.77", "0.50") == [], page


def test_a_filter_that_is_none_is_refused_with_what_is_allowed(client: Client, batch: int) -> None:
    for name, allowed in ALLOWED.items():
        answer = client.get(f"/batches/{batch}?{name}=nonsense")
        assert answer.status_code == 400
        assert unsaid(plain(answer), name, "nonsense", *allowed) == []


def test_a_grid_begins_with_a_key_and_keeps_the_size_of_its_tiles(client: Client, batch: int) -> None:
    assert keys(client.get(f"/batches/{batch}?jump=row-1"))[0] == "row-1"
    assert keys(client.get(f"/batches/{batch}?jump=row-1&verdict=unreviewed")) == ["row-1", "row-2"]
    small = client.get(f"/batches/{batch}?density=small")
    assert "size-small" in small.text
    assert "recast_density=small" in small.headers["set-cookie"]
    assert "size-medium" in client.get(f"/batches/{batch}", headers={"Cookie": "recast_density=medium"}).text
    assert "size-large" in client.get(f"/batches/{batch}", headers={"Cookie": "recast_density=x"}).text


def flag(database: Database, job: str, name: str, rank: float, *, flagged: bool = True) -> None:
    database.sql(
        "INSERT INTO checks (result_id, job_id, batch_id, seq, name, score, threshold, flagged, rank)"
        " SELECT r.id, j.id, j.batch_id, j.seq, :name, 0.77, 0.5, :flagged, :rank"
        " FROM jobs j JOIN results r ON r.job_id = j.id WHERE j.id = :job",
        job=job, name=name, rank=rank, flagged=flagged,
    )  # fmt: skip


def shown_jobs(page: Response, among: tuple[str, ...]) -> list[str]:
    found = [(page.text.find(f'data-part="job-{job}"'), job) for job in among]
    return [job for place, job in sorted(found) if place >= 0]


def test_a_large_result_is_shown_as_a_copy_for_a_window_and_others_as_they_are(
    database: Database, client: Client, batch: int, chosen: Settings
) -> None:
    out = io.BytesIO()
    Image.effect_noise((2 * LARGE_SIDE, LARGE_SIDE), 40).save(out, "PNG")
    key = Storage(chosen.storage).put(out.getvalue(), sha256=hashlib.sha256(out.getvalue()).hexdigest(), suffix="png")
    database.sql("UPDATE results SET key = :key, width = 3200, height = 1600 WHERE id = 1", key=key)
    large = client.get("/results/1/large")
    assert large.headers["content-type"] == "image/jpeg"
    assert b"compositeWithTrainedAlgorithmicMedia" in large.content
    with Image.open(io.BytesIO(large.content)) as image:
        assert image.size == (LARGE_SIDE, LARGE_SIDE // 2)
    assert client.get("/results/1/full").content == out.getvalue()
    # One that is not larger is the file itself
    assert client.get("/results/2/large").content == client.get("/results/2/full").content
    # What was removed is not shown from memory
    database.sql("DELETE FROM results WHERE id = 1")
    assert client.get("/results/1/large").status_code == HTTPStatus.NOT_FOUND
