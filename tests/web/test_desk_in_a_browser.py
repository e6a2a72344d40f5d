"""The review desk in a real Chromium: by keyboard only, below a path, without the server for a while, on a phone."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from desk import people
from desk.actors import Actor
from devstack.ports import bind
from models.people import Role
from tests.stack import write_accounts
from tests.web import browser
from tests.web.browser import Page
from tests.web.serving import serving
from tests.web.shop import settings, stock
from tests.web.test_gallery_in_a_browser import CONTRAST, UNNAMED, look
from web.app import build
from workers.images.storage import Storage

if TYPE_CHECKING:
    from tests.integration.database import Database

pytest_plugins = ["tests.integration.database"]
pytestmark = pytest.mark.skipif(
    browser.found() is None,
    reason="no Chromium on PATH: install one (Debian: apt-get install chromium), or set CHROMIUM",
)

PASSWORD = "correct horse battery"
CATALOG = 40
#: Where screenshots are kept, for people who want to look at them.
SHOTS = os.environ.get("TEST_SHOTS")
SMALL = """[...document.querySelectorAll("a.button, button, .step, .reasons label, .tabs a, summary, .strip a")]
  .filter((e) => e.checkVisibility()).filter((e) => { const box = e.getBoundingClientRect();
    return box.height < 43.5 || box.width < 43.5; }).map((e) => e.outerHTML)"""


@pytest.fixture
def batch(database: Database, tmp_path: Path) -> int:
    for name, role in (("Anna", Role.REVIEWER), ("Ben", Role.REVIEWER), ("Vera", Role.VIEWER)):
        database.run(people.add, Actor("root", Role.OPERATOR, "command"), name, role, PASSWORD)
    return stock(database, Storage(settings(database, tmp_path).storage), succeeded=CATALOG)


@pytest.fixture
def base(database: Database, batch: int, tmp_path: Path) -> Iterator[str]:
    """Where the pages are served: below a path, as behind a proxy."""
    listener = bind(None)
    port = listener.getsockname()[1]
    chosen = settings(database, tmp_path, web_auth=None, public_url=f"http://127.0.0.1:{port}/recast")
    account = {"provider": "zhiqite", "base_url": "http://127.0.0.1:9", "access_key_id": "id",
               "access_key_secret": "secret", "prices": {"swap": "0.02 USD"}}  # fmt: skip
    write_accounts(chosen.accounts_file, {"main": account})
    with serving(build(chosen), listener):
        yield f"http://127.0.0.1:{port}/recast"


async def sign_in(page: Page, base: str, where: str, name: str = "Anna") -> None:
    """Go somewhere, by keyboard through the door."""
    await page.call("Page.navigate", url=base + where)
    await page.until("location.pathname.endsWith('/sign-in') && document.activeElement.name === 'name'")
    await page.write(name)
    await page.press("Tab")
    await page.write(PASSWORD)
    await page.press("Enter")
    await page.until(f"location.href.startsWith({json.dumps(base + where)}) && document.readyState === 'complete'")


async def shown(page: Page, job: str) -> None:
    await page.until(f"document.documentElement.dataset.shown === {json.dumps(job)}")


def test_a_catalog_is_reviewed_by_keyboard_only(base: str, database: Database, batch: int) -> None:
    async def work(page: Page) -> None:
        await page.look(width=1280)
        await sign_in(page, base, f"/batches/{batch}/review")
        await shown(page, "job-00000")
        # The keys that change nothing
        await page.press("?")
        await page.until("document.querySelector('#keys').open")
        await page.press("Escape")
        await page.press(" ", hold=True)
        await page.until("document.querySelector('.stage').style.getPropertyValue('--split') === '100%'")
        await page.release(" ")
        await page.until("document.querySelector('.stage').style.getPropertyValue('--split') === '50%'")
        await page.press("z")
        await page.until("document.querySelector('.is-zoomed .canvas').style.transform.includes('scale')")
        await page.press("z")
        for key, job in (("ArrowRight", 1), ("ArrowRight", 2), ("ArrowLeft", 1), ("ArrowLeft", 0)):
            await page.press(key)
            await shown(page, f"job-{job:05}")
        # A verdict, taken back, and given again; a reason by its key, and one that is not meant
        await page.press("a")
        await shown(page, "job-00001")
        await page.press("u")
        await shown(page, "job-00000")
        await page.press("w")
        await page.until("document.querySelector('.reasons.is-open')")
        await page.press("Escape")
        await page.until("!document.querySelector('.reasons.is-open')")
        for number in range(CATALOG):
            await shown(page, f"job-{number:05}")
            if number % 4:
                await page.press("a")
            else:
                await page.press("w")
                await page.press("5" if number % 8 else "b")
        await shown(page, "nothing")
        await page.until("document.body.innerText.includes('Everything is reviewed')")
        await page.until("document.querySelector('[data-count=approved]').textContent === '30'")
        await page.until("localStorage.length === 0")

    look(work)
    rows = database.sql(
        "SELECT j.key, r.verdict, v.reasons, v.person FROM reviews r JOIN verdicts v ON v.id = r.verdict_id"
        " JOIN jobs j ON j.id = r.job_id WHERE r.batch_id = :batch ORDER BY r.seq",
        batch=batch,
    )
    assert [(row.key, row.verdict, row.reasons) for row in rows] == [
        (f"row-{n}", "approved", []) if n % 4 else (f"row-{n}", "needs_work", ["hair"] if n % 8 else ["other"])
        for n in range(CATALOG)
    ]
    assert database.one("SELECT count(*) FROM verdicts") == CATALOG + 2, "one more was given and taken back"


def test_a_picture_is_redone_by_keyboard_when_its_price_was_seen(base: str, database: Database, batch: int) -> None:
    async def work(page: Page) -> None:
        await page.look(width=1280)
        await sign_in(page, base, f"/batches/{batch}/review?job=job-00002")
        await shown(page, "job-00002")
        await page.press("r")
        await page.until("document.activeElement.textContent.includes('0.02 USD')")
        await page.press("Escape")
        await page.until("!document.querySelector('.redoing-asked').open")
        await page.press("r")
        await page.until("document.activeElement.closest('.redoing-asked form')")
        await page.press("Enter")
        await page.until("document.querySelector('.redoing') && !document.querySelector('.redoing-asked')")

    look(work)
    rows = database.sql("SELECT r.job_id, r.person, j.state FROM redos r JOIN jobs j ON j.id = r.job_id")
    assert [tuple(row) for row in rows] == [("job-00002", "Anna", "queued")]


def test_keys_of_reasons_leave_other_fields_and_buttons_alone(base: str, database: Database, batch: int) -> None:
    async def work(page: Page) -> None:
        await sign_in(page, base, f"/batches/{batch}/review")
        await shown(page, "job-00000")
        await page.press("w")
        await page.until("document.querySelector('.reasons.is-open')")
        await page.evaluate("document.querySelector('#find [name=jump]').focus()")
        await page.press("1")
        await page.until("document.querySelector('#find [name=jump]').value === '1'")
        await page.evaluate("document.querySelector('form.judge .approve').focus()")
        await page.press("Enter")
        await page.until("document.querySelector('[data-count=approved]').textContent === '1'")

    look(work)
    assert database.one("SELECT verdict FROM reviews WHERE job_id = 'job-00000'") == "approved"


def test_answers_wait_for_the_server_and_are_never_lost(base: str, database: Database, batch: int) -> None:
    async def work(page: Page) -> None:
        await page.look(width=1280)
        await sign_in(page, base, f"/batches/{batch}/review")
        await shown(page, "job-00000")
        # Until the neighbors are there
        await page.until(
            "performance.getEntriesByType('resource').filter((e) => e.name.includes('ahead=1')).length >= 5"
        )
        await page.offline(away=True)
        for number in range(3):
            await shown(page, f"job-{number:05}")
            await page.press("a")
        await page.until("document.querySelector('#unsaved').textContent.includes('not written yet')")
        await page.until("localStorage.length === 3")
        assert database.one("SELECT count(*) FROM verdicts") == 0
        await page.offline(away=False)
        await page.until("localStorage.length === 0")
        assert await page.evaluate("document.querySelector('#unsaved').textContent") == ""

    look(work)
    rows = database.sql("SELECT job_id, verdict FROM verdicts ORDER BY job_id")
    assert [tuple(row) for row in rows] == [(f"job-{number:05}", "approved") for number in range(3)]


def test_answers_outlast_the_sign_in_and_are_nobody_elses(base: str, database: Database, batch: int) -> None:
    async def work(page: Page) -> None:
        await page.look(width=1280)
        where = f"/batches/{batch}/review"
        await sign_in(page, base, where)
        await shown(page, "job-00000")
        page.expect("401", "403")
        database.sql("DELETE FROM sign_ins")
        await page.press("a")
        await page.until("document.querySelector('#unsaved').textContent.includes('Sign in')")
        assert await page.evaluate("localStorage.length") == 1
        # Ben signs in in the same browser: her answer is not his
        await sign_in(page, base, where, "Ben")
        await shown(page, "job-00001")
        await page.press("a")
        await page.until("document.querySelector('[data-count=approved]').textContent === '1'")
        assert await page.evaluate("localStorage.length") == 1
        database.sql("DELETE FROM sign_ins")
        await sign_in(page, base, where)
        await page.until("localStorage.length === 0")
        # Signed in anew in another window, the page goes on with what its forms are known by now
        await page.until("!['job-00000', 'job-00001', undefined].includes(document.documentElement.dataset.shown)")
        await page.evaluate("form = 'of another sign-in'")
        await page.press("a")
        await page.until("document.querySelector('[data-count=approved]').textContent === '3'")
        await page.until("localStorage.length === 0")

    look(work)
    given = database.sql("SELECT job_id, person FROM verdicts ORDER BY id")
    assert [row.person for row in given] == ["Ben", "Anna", "Anna"]
    assert len({row.job_id for row in given}) == 3


def test_the_second_of_two_is_asked_on_the_page(base: str, database: Database, batch: int) -> None:
    async def work(page: Page) -> None:
        await page.look(width=1280)
        await sign_in(page, base, f"/batches/{batch}/review")
        await shown(page, "job-00000")
        database.sql(
            "INSERT INTO verdicts (result_id, job_id, batch_id, person, verdict)"
            " SELECT id, job_id, :batch, 'Ben', 'needs_work' FROM results WHERE job_id = 'job-00000'",
            batch=batch,
        )
        page.expect("409")
        await page.press("a")
        await page.until("document.querySelector('#asked').open")
        assert "Ben" in await page.evaluate("document.querySelector('#asked').innerText")
        await page.press("Tab")
        await page.press("Enter")
        await page.until("!document.querySelector('#asked').open")
        await page.until("document.querySelector('[data-count=approved]').textContent === '1'")

    look(work)
    assert [row.person for row in database.sql("SELECT person FROM verdicts ORDER BY id")] == ["Ben", "Anna"]


def test_what_is_open_stays_open_when_an_answer_comes_late(base: str, batch: int) -> None:
    async def work(page: Page) -> None:
        await page.look(width=1280)
        await sign_in(page, base, f"/batches/{batch}/review")
        await shown(page, "job-00000")
        await page.answer_late(3)
        await page.press("a")
        await shown(page, "job-00001")
        await page.press("ArrowLeft")
        await shown(page, "job-00000")
        await page.press("r")
        await page.until("document.querySelector('.redoing-asked').open")
        await page.evaluate("document.querySelector('.redoing-asked').dataset.before = 'yes'")
        await page.until("!document.querySelector('.redoing-asked').dataset.before")
        assert await page.evaluate("document.querySelector('.redoing-asked').open")
        assert await page.evaluate("document.activeElement.closest('form.redo') !== null")

    look(work)


def test_it_is_shown_as_it_is_meant(base: str, database: Database, batch: int, tmp_path: Path) -> None:
    shots = Path(SHOTS or tmp_path)

    async def seen(page: Page, name: str, *, whole: bool = False) -> None:
        await page.until("[...document.images].filter((e) => e.loading !== 'lazy').every((image) => image.complete)")
        await page.screenshot(shots / f"{name}.png", whole=whole)
        assert await page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, name
        contrast, whose = await page.evaluate(CONTRAST)
        assert contrast >= 4.5, (whose, name)
        assert await page.evaluate(UNNAMED) == [], name
        assert await page.evaluate(SMALL) == [], name

    async def work(page: Page) -> None:
        await page.look(width=1280, height=800)
        await sign_in(page, base, f"/batches/{batch}/review")
        await shown(page, "job-00000")
        await page.press("a")
        await shown(page, "job-00001")
        await page.press("w")
        await page.press("1")
        await shown(page, "job-00002")
        for width, height, dark in ((1280, 800, False), (1280, 800, True), (390, 844, False), (390, 844, True)):
            name = f"{'phone' if width < 600 else 'desktop'}-{'dark' if dark else 'light'}"
            await page.look(width=width, height=height, dark=dark)
            await page.open(f"{base}/batches/{batch}/review?job=job-00001")
            await shown(page, "job-00001")
            await seen(page, f"loupe-{name}")
            await page.press("w")
            await page.until("document.querySelector('.reasons.is-open')")
            await seen(page, f"reasons-{name}")
            await page.press("Escape")
            await page.press("r")
            await page.until("document.querySelector('.redoing-asked').open")
            await seen(page, f"redo-{name}")
            await page.open(f"{base}/batches/{batch}")
            await seen(page, f"grid-{name}")
        await page.call("Emulation.setScriptExecutionDisabled", value=True)
        await page.look(width=1280, height=800)
        await page.call("Page.navigate", url=f"{base}/batches/{batch}/review?job=job-00003")
        await page.until("location.search.includes('job-00003') && document.readyState === 'complete'")
        await page.screenshot(shots / "loupe-without-script.png")

    look(work)
