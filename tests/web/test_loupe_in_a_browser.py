"""The loupe in a real Chromium: fingers, marks, comparisons, facts, a search, and times in the viewer's zone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.web import browser
from tests.web.browser import Page
from tests.web.test_desk_in_a_browser import SHOTS, SMALL, base, batch, shown, sign_in
from tests.web.test_gallery_in_a_browser import CONTRAST, UNNAMED, look

if TYPE_CHECKING:
    from tests.integration.database import Database

pytest_plugins = ["tests.integration.database"]
pytestmark = pytest.mark.skipif(
    browser.found() is None,
    reason="no Chromium on PATH: install one (Debian: apt-get install chromium), or set CHROMIUM",
)
__all__ = ["base", "batch"]

STEPS = 4  # of a finger's way
MIDDLE = """(() => { const box = document.querySelector(".stage").getBoundingClientRect();
  return [box.left + box.width / 2, box.top + box.height / 2]; })()"""
SEEN = "[...document.querySelectorAll('.pane')].filter((e) => e.offsetWidth)"


async def touching(page: Page) -> None:
    """Be a phone with a touch screen."""
    await page.look(width=390, height=844)
    await page.call("Emulation.setTouchEmulationEnabled", enabled=True)


async def touch(page: Page, kind: str, *points: tuple[float, float]) -> None:
    """Put fingers there, or lift them."""
    fingers = [{"x": x, "y": y, "id": number} for number, (x, y) in enumerate(points)]
    await page.call("Input.dispatchTouchEvent", type=kind, touchPoints=fingers)


async def swipe(page: Page, x: float, y: float, *, lift: bool = True) -> None:
    """Move a finger from the middle of the picture."""
    left, top = await page.at_rest(MIDDLE)
    await touch(page, "touchStart", (left, top))
    for step in range(1, STEPS + 1):
        await touch(page, "touchMove", (left + x * step / STEPS, top + y * step / STEPS))
    if lift:
        await touch(page, "touchEnd")


async def mouse(page: Page, kind: str, x: float, y: float) -> None:
    await page.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", buttons=1, clickCount=1)


def verdicts(database: Database) -> list[tuple[str, str]]:
    rows = database.sql("SELECT job_id, verdict FROM reviews WHERE verdict <> 'unreviewed' ORDER BY seq")
    return [tuple(row) for row in rows]


def test_a_phone_reviews_by_swipes_and_never_by_accident(base: str, database: Database, batch: int) -> None:
    async def work(page: Page) -> None:
        await touching(page)
        await sign_in(page, base, f"/batches/{batch}/review")
        await shown(page, "job-00000")
        assert await page.evaluate("document.querySelector('.swipes').checkVisibility()"), "the hint is there"
        # Neither a short way, nor an oblique one, nor one back, nor two fingers decide
        for x, y in ((60, 0), (150, 100), (-150, 90), (0, 50)):
            await swipe(page, x, y)
        await swipe(page, 160, 0, lift=False)
        await page.until("document.querySelector('.swiping.is-right.is-sure')")
        left, top = await page.at_rest(MIDDLE)
        await touch(page, "touchMove", (left + 5, top))
        await page.until("!document.querySelector('.swiping')")
        await touch(page, "touchEnd")
        await touch(page, "touchStart", (left, top))
        await touch(page, "touchStart", (left, top), (left + 40, top))
        await touch(page, "touchMove", (left + 160, top), (left + 200, top))
        await touch(page, "touchEnd")
        # Nor a finger elsewhere after a touch that the browser took for itself
        await swipe(page, 0, 20, lift=False)
        await touch(page, "touchCancel")
        await touch(page, "touchStart", (left + 150, top))
        await touch(page, "touchEnd")
        await shown(page, "job-00000")
        assert verdicts(database) == []
        # Up and down turn pages, a finger that rests shows the picture before
        for y, job in ((-150, 1), (-150, 2), (150, 1), (150, 0)):
            await swipe(page, 0, y)
            await shown(page, f"job-{job:05}")
        left, top = await page.at_rest(MIDDLE)
        await touch(page, "touchStart", (left, top))
        await page.until("document.querySelector('.stage').style.getPropertyValue('--split') === '100%'")
        await touch(page, "touchEnd")
        await page.until("document.querySelector('.stage').style.getPropertyValue('--split') === '50%'")
        # Right approves, which can be taken back
        await swipe(page, 160, 10)
        await shown(page, "job-00001")
        await page.until("document.querySelector('[data-count=approved]').textContent === '1'")
        await page.evaluate("document.querySelector('#last button').click()")
        await shown(page, "job-00000")
        await page.until("document.querySelector('[data-count=approved]').textContent === '0'")
        assert not await page.evaluate("document.querySelector('#last').checkVisibility()")
        # Left asks for the reason
        await swipe(page, -160, 10)
        await page.until("document.querySelector('.reasons.is-open')")
        await page.evaluate("document.querySelector('.reasons [data-key=\"5\"]').click()")
        await page.evaluate("document.querySelector('.reasons button').click()")
        await shown(page, "job-00001")
        await page.until("document.querySelector('[data-count=needs_work]').textContent === '1'")

    look(work)
    assert verdicts(database) == [("job-00000", "needs_work")]


def test_taking_back_is_offered_for_a_while(base: str, batch: int) -> None:
    async def work(page: Page) -> None:
        await page.look(width=1280)
        await sign_in(page, base, f"/batches/{batch}/review")
        await shown(page, "job-00000")
        await page.evaluate("UNDO")
        await page.evaluate(
            "window.later = window.setTimeout; window.waits = [];"
            " window.setTimeout = (work, wait) => { waits.push([work, wait]); return later(work, wait); }"
        )
        await page.press("a")
        await page.until("document.querySelector('#last').checkVisibility()")
        assert "row-0" in await page.evaluate("document.querySelector('#last').innerText")
        # Ten seconds later
        await page.evaluate("waits.find(([, wait]) => wait === 10000)[0]()")
        assert not await page.evaluate("document.querySelector('#last').checkVisibility()")

    look(work)


def test_an_area_is_marked_by_mouse_and_goes_along(base: str, database: Database, batch: int) -> None:
    async def work(page: Page) -> None:
        await page.look(width=1280)
        await sign_in(page, base, f"/batches/{batch}/review")
        await shown(page, "job-00000")
        await page.press("m")
        await page.until("document.querySelector('.is-marking')")
        x, y = await page.at_rest(MIDDLE)
        await mouse(page, "mousePressed", x, y)
        await mouse(page, "mouseMoved", x + 60, y + 80)
        await mouse(page, "mouseReleased", x + 60, y + 80)
        await page.until("!document.querySelector('.is-marking') && !document.querySelector('.mark').hidden")
        await page.press("w")
        await page.press("5")
        await shown(page, "job-00001")
        await page.until("localStorage.length === 0")
        # It is drawn again where the picture is seen again
        await page.press("ArrowLeft")
        await shown(page, "job-00000")
        await page.until("!document.querySelector('.mark').hidden")

    look(work)
    area = database.one("SELECT area FROM verdicts")
    assert area["x"] == pytest.approx(0.5, abs=0.01)
    assert area["y"] == pytest.approx(0.5, abs=0.01)
    assert area["height"] / area["width"] == pytest.approx(80 / 60, abs=0.05)


def test_pictures_are_compared_side_by_side_and_zoomed_in_step(base: str, database: Database, batch: int) -> None:
    database.sql(
        "INSERT INTO results (job_id, attempt_id, index, key, sha256, size, media_type, width, height)"
        " SELECT job_id, attempt_id, 1, key, sha256, size, media_type, width, height FROM results"
        " WHERE job_id = 'job-00000'"
    )
    boxes = f"{SEEN}.map((e) => [e.offsetWidth, e.offsetHeight])"
    ways = f"{SEEN}.map((e) => e.querySelector('.canvas').style.transform)"

    async def work(page: Page) -> None:
        await page.look(width=1280)
        await sign_in(page, base, f"/batches/{batch}/review")
        await shown(page, "job-00000")
        await page.press("s")
        await page.until("document.querySelector('[data-tool=beside]').getAttribute('aria-pressed') === 'true'")
        before, after = await page.evaluate(boxes)
        assert before == after
        await page.press("z")
        one, two = await page.evaluate(ways)
        assert "scale" in one
        assert one == two
        # What is seen are the file's own pixels
        await page.until("document.querySelector('.after').src.endsWith('/full')")
        # The layout stays with the next picture
        await page.press("ArrowRight")
        await shown(page, "job-00001")
        await page.until("document.querySelector('.stage.is-beside')")
        await page.press("ArrowLeft")
        await shown(page, "job-00000")
        await page.press("v")
        await page.until("document.querySelectorAll('.pane.is-version').length === 2")
        assert len(await page.evaluate(boxes)) == 2
        # One of them is taken by its name
        await page.evaluate("document.querySelectorAll('.pane.is-version a')[1].click()")
        await page.until("document.querySelectorAll('.strip a')[1].hasAttribute('aria-current')")
        await page.press("v")
        await page.until("document.querySelector('.stage.is-over')")

    look(work)


def test_facts_and_a_key_are_found_without_leaving(base: str, batch: int) -> None:
    async def work(page: Page) -> None:
        await page.look(width=1280)
        await sign_in(page, base, f"/batches/{batch}/review")
        await shown(page, "job-00000")
        await page.press("i")
        await page.until("document.querySelector('.facts-drawer').innerText.includes('Attempts')")
        # They stay open, and are of the picture that is shown
        await page.press("/")
        await page.until("document.activeElement.name === 'jump'")
        await page.write("row-17")
        await page.press("Enter")
        await shown(page, "job-00017")
        await page.until("document.querySelector('.facts-drawer').innerText.includes('job-00017')")
        await page.press("/")
        page.expect("404")
        await page.write("nonsense")
        await page.press("Enter")
        await page.until("document.querySelector('#unsaved').textContent.includes('nonsense')")
        await page.press("Escape")
        await page.press("ArrowRight")
        await shown(page, "job-00018")

    look(work)


def test_times_are_relative_with_the_exact_one_in_the_viewers_zone(base: str, database: Database, batch: int) -> None:
    database.sql("UPDATE jobs SET created_at = now() - interval '3 hours' WHERE id = 'job-00001'")
    at = "[...document.querySelectorAll('dd time')][0]"

    async def work(page: Page) -> None:
        await page.look(width=1280)
        await page.call("Emulation.setFocusEmulationEnabled", enabled=True)
        await page.call("Emulation.setTimezoneOverride", timezoneId="Asia/Tokyo")
        await sign_in(page, base, "/jobs/job-00001")
        await page.until(f"{at}.textContent === '3 h ago'")
        exact = await page.evaluate(f"{at}.dataset.exact")
        hour = await page.evaluate(f"new Date({at}.dateTime).toLocaleTimeString('en-US', {{hourCycle: 'h23'}})")
        assert hour in exact
        await page.evaluate(f"{at}.focus()")
        assert exact in await page.evaluate(f"getComputedStyle({at}, '::after').content")
        await page.call("Emulation.setScriptExecutionDisabled", value=True)
        await page.call("Page.reload")
        await page.until(f"{at}.textContent.endsWith(' UTC')")

    look(work)


def test_it_is_shown_as_it_is_meant(base: str, database: Database, batch: int, tmp_path: Path) -> None:
    shots = Path(SHOTS or tmp_path)
    database.sql(
        "INSERT INTO results (job_id, attempt_id, index, key, sha256, size, media_type, width, height)"
        " SELECT job_id, attempt_id, 1, key, sha256, size, media_type, width, height FROM results"
        " WHERE job_id = 'job-00000'"
    )
    database.sql(
        "INSERT INTO checks (result_id, name, job_id, batch_id, seq, score, threshold, flagged, rank)"
        " SELECT r.id, 'blurred', j.id, j.batch_id, j.seq, 0.9, 0.5, true, 0.2"
        " FROM results r JOIN jobs j ON j.id = r.job_id WHERE j.id IN ('job-00000', 'job-00002')"
    )

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
        await sign_in(page, base, f"/batches/{batch}/review?job=job-00000")
        await shown(page, "job-00000")
        for width, height, dark in ((1280, 800, False), (1280, 800, True), (390, 844, False), (390, 844, True)):
            name = f"{'phone' if width < 600 else 'desktop'}-{'dark' if dark else 'light'}"
            await page.look(width=width, height=height, dark=dark)
            await page.call("Emulation.setTouchEmulationEnabled", enabled=width < 600)
            for tool in ("beside", "versions"):
                await page.open(f"{base}/batches/{batch}/review?job=job-00000&sort=worst")
                await shown(page, "job-00000")
                await page.evaluate(f"TOOLS.{tool}()")
                await seen(page, f"loupe-{tool}-{name}", whole=width < 600)
            await page.press("i")
            await page.until("document.querySelector('.facts-drawer').innerText.includes('Attempts')")
            await seen(page, f"facts-{name}", whole=width < 600)
            await page.press("a")
            await shown(page, "job-00002")
            await seen(page, f"undo-{name}")
            await page.evaluate("document.querySelector('#last button').click()")
            await shown(page, "job-00000")
            await page.call("Page.navigate", url=f"{base}/jobs/job-00000")
            await page.until("location.pathname.endsWith('/jobs/job-00000') && document.readyState === 'complete'")
            await seen(page, f"job-{name}", whole=True)

    look(work)
