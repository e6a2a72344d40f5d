"""The grid in a real Chromium: by keyboard only, by dragging, and with a key or a finger held."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.web import browser
from tests.web.browser import Page
from tests.web.test_desk_in_a_browser import SMALL, base, batch, sign_in
from tests.web.test_gallery_in_a_browser import CONTRAST, UNNAMED, look
from tests.web.test_selections_in_a_browser import told, undo

if TYPE_CHECKING:
    from tests.integration.database import Database

pytest_plugins = ["tests.integration.database"]
pytestmark = pytest.mark.skipif(
    browser.found() is None,
    reason="no Chromium on PATH: install one (Debian: apt-get install chromium), or set CHROMIUM",
)
__all__ = ["base", "batch"]

SHOTS = os.environ.get("TEST_SHOTS")
AT = "document.activeElement.closest('.card')?.dataset.job"
TAKEN = "[...document.querySelectorAll('.taken')].map((word) => word.closest('.card').dataset.job)"
PICKED = "[...document.querySelectorAll('.is-picked')].map((tile) => tile.dataset.job)"
READY = "document.documentElement.dataset.selects === 'yes'"
#: A tile's middle on the screen.
MIDDLE = """((job) => { const pair = document.querySelector(`[data-job="${job}"] .pair`);
  pair.scrollIntoView({ block: "center" });
  const { x, y, width, height } = pair.getBoundingClientRect(); return [x + width / 2, y + height / 2]; })"""


def jobs(*numbers: int) -> list[str]:
    return [f"job-{number:05}" for number in numbers]


def flag(database: Database, *numbers: int) -> None:
    """Give pictures a flag, the later the worse."""
    for rank, job in enumerate(reversed(jobs(*numbers))):
        database.sql(
            "INSERT INTO checks (result_id, job_id, batch_id, seq, name, score, threshold, flagged, rank)"
            " SELECT r.id, j.id, j.batch_id, j.seq, 'blurred', 0.9, 0.5, true, :rank"
            " FROM results r JOIN jobs j ON j.id = r.job_id WHERE j.id = :job", job=job, rank=rank / 10,
        )  # fmt: skip


async def mouse(page: Page, kind: str, at: tuple[float, float], *, held: bool = True) -> None:
    await page.call(
        "Input.dispatchMouseEvent", type=kind, x=at[0], y=at[1], button="left" if held else "none", buttons=int(held),
        clickCount=1 if kind != "mouseMoved" else 0,
    )  # fmt: skip


async def _without_the_server(page: Page) -> None:
    """What does not reach the server says so, and stays selected."""
    await page.offline(away=True)
    await page.press("a")
    await page.until("document.querySelector('[data-picked]').innerText.includes('Not written')")
    # also once other parts of the page have changed
    await page.evaluate("document.querySelector('.cards').append(document.createComment('changed'))")
    assert "Not written" in await page.evaluate("document.querySelector('[data-picked]').innerText")
    assert await page.evaluate(PICKED) == jobs(1)
    await page.offline(away=False)


def test_the_grid_is_reviewed_by_keyboard_only(base: str, database: Database, batch: int) -> None:
    flag(database, 1, 2)

    async def work(page: Page) -> None:
        await page.look(width=1280)
        await sign_in(page, base, f"/batches/{batch}?verdict=unreviewed")
        await page.until(READY)
        row = await page.evaluate(
            "(() => { const all = [...document.querySelectorAll('.card')];"
            " return all.filter((tile) => tile.offsetTop === all[0].offsetTop).length; })()"
        )
        for key, number in (("ArrowRight", 0), ("ArrowRight", 1), ("ArrowDown", 1 + row), ("ArrowUp", 1)):
            await page.press(key)
            assert await page.evaluate(AT) == jobs(number)[0], key
        # The focus says what the checks say
        says = await page.evaluate(
            "(() => { const pair = document.activeElement, says = document.getElementById("
            "pair.getAttribute('aria-describedby')); return says.checkVisibility() && says.innerText; })()"
        )
        assert "softer" in says or "blur" in says.lower()
        await _without_the_server(page)
        # One picture: decided where it is; the focus goes on, and what is open stays open
        await page.evaluate("document.querySelector('.further').open = true")
        await page.press("a")
        await page.until(f"{AT} === 'job-00002'")
        assert await page.evaluate("document.querySelector('.further').open")
        assert database.one("SELECT verdict FROM reviews WHERE job_id = 'job-00001'") == "approved"
        await page.press("w")
        await page.until("document.querySelector('.reasoned').open")
        await page.press("2")
        await page.until(f"{AT} === 'job-00003'")
        said = database.sql("SELECT verdict, reasons FROM verdicts WHERE job_id = 'job-00002'")
        assert [(row.verdict, len(row.reasons)) for row in said] == [("needs_work", 1)]
        # Several: selected by space, up to there with Shift
        await page.press(" ")
        await page.press("ArrowRight")
        await page.press("ArrowRight")
        await page.evaluate(
            "document.activeElement.dispatchEvent("
            "new KeyboardEvent('keydown', { key: ' ', shiftKey: true, bubbles: true }))"
        )
        assert await page.evaluate(PICKED) == jobs(3, 4, 5)
        await page.press("a")
        await told(page, "3 pictures")
        assert database.one("SELECT count(*) FROM reviews WHERE verdict = 'approved'") == 4
        await undo(page)
        await told(page, "taken back")
        assert database.one("SELECT count(*) FROM reviews WHERE verdict = 'approved'") == 1
        assert "did=" not in await page.evaluate("location.href")
        # The edge of a page leads to the next one, and back
        await page.press("End")
        await page.press("ArrowRight")
        await page.until(f"location.search.includes('after=') && {READY} && {AT}")
        assert await page.evaluate(f"{AT} === document.querySelector('.card').dataset.job")
        await page.press("ArrowLeft")
        await page.until(f"location.search.includes('before=') && {READY} && {AT}")
        assert await page.evaluate(f"{AT} === [...document.querySelectorAll('.card')].at(-1).dataset.job")
        # Enter opens the picture, with the same filter
        await page.press("Enter")
        await page.until("location.pathname.endsWith('/review')")
        assert "verdict=unreviewed" in await page.evaluate("location.search")

    look(work)


def test_tiles_are_selected_by_dragging_and_show_before_while_held(base: str, batch: int) -> None:
    async def visible(page: Page, job: str) -> bool:
        frame = f"getComputedStyle(document.querySelector('[data-job=\"{job}\"] .is-first'))"
        shown: bool = await page.evaluate(f"{frame}.visibility === 'visible'")
        return shown

    async def work(page: Page) -> None:
        await page.look(width=1280)
        await sign_in(page, base, f"/batches/{batch}?density=medium")
        await page.until(READY)
        first, second, third = jobs(0, 1, 2)
        x, y = await page.at_rest(f"{MIDDLE}('{first}')")
        to = await page.at_rest(f"{MIDDLE}('{third}')")
        assert not await visible(page, first)
        await mouse(page, "mousePressed", (x, y))
        for share in (0.2, 0.6, 1.0):
            await mouse(page, "mouseMoved", (x + (to[0] - x) * share, y + 5))
        await page.until("document.querySelector('.lasso')")
        assert await page.evaluate(PICKED) == jobs(0, 1, 2)
        # Back over fewer: those are no longer meant
        await mouse(page, "mouseMoved", (x + 10, y + 5))
        assert await page.evaluate(PICKED) == [first]
        await mouse(page, "mouseReleased", (x + 10, y + 5))
        assert await page.evaluate("document.querySelector('.lasso')") is None
        assert "/review" not in await page.evaluate("location.pathname")
        # The pointer shows the picture before, and so does a key that is held
        await mouse(page, "mouseMoved", await page.at_rest(f"{MIDDLE}('{second}')"), held=False)
        assert await visible(page, second)
        await mouse(page, "mouseMoved", (2, 2), held=False)
        assert not await visible(page, second)
        await page.evaluate(f"document.querySelector('[data-job=\"{second}\"] .pair').focus()")
        await page.press("b", hold=True)
        assert await visible(page, second)
        await page.release("b")
        assert not await visible(page, second)

    look(work)


def test_the_focus_goes_on_although_the_grid_was_fetched_again_before_the_answer(base: str, batch: int) -> None:
    async def work(page: Page) -> None:
        await page.look(width=1280)
        await sign_in(page, base, f"/batches/{batch}?verdict=unreviewed")
        await page.until(f"{READY} && document.documentElement.dataset.listens")
        await page.answer_late(6)
        for key in ("ArrowRight", "ArrowRight", "ArrowRight", "w"):
            await page.press(key)
        await page.until("document.querySelector('.reasoned').open")
        assert await page.evaluate(PICKED) == jobs(2)
        await page.press("2")
        # The page hears of the verdict, and is fetched without the tile, before the answer is there.
        await page.until("!document.querySelector('.card[data-job=job-00002]')")
        await page.until(f"{AT} === 'job-00003'")

    look(work)


def test_a_finger_that_is_held_shows_before_and_opens_nothing(base: str, database: Database, batch: int) -> None:
    """Also where the page is fetched again meanwhile, which exchanges the tile under the finger."""

    async def work(page: Page) -> None:
        await page.look(width=1280)
        await sign_in(page, base, f"/batches/{batch}?density=medium")
        await page.until(READY)
        (first,) = jobs(0)
        await page.look(width=390, height=844)
        await page.until("innerWidth === 390")
        touched = await page.at_rest(f"{MIDDLE}('{first}')")
        point = [{"x": touched[0], "y": touched[1]}]
        await page.call("Input.dispatchTouchEvent", type="touchStart", touchPoints=point)
        await page.until(f"document.querySelector('[data-job=\"{first}\"] .is-before')")
        await page.evaluate("delete document.documentElement.dataset.refreshed")
        database.sql("UPDATE batches SET failed = failed + 1 WHERE id = :id", id=batch)
        await page.until("document.documentElement.dataset.refreshed")
        assert await page.evaluate(f"document.querySelectorAll('[data-job=\"{first}\"] .is-before').length") == 1
        await page.call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
        await page.until("!document.querySelector('.is-before')")
        assert "/review" not in await page.evaluate("location.pathname")

    look(work)


def test_a_page_that_is_fetched_again_says_who_else_has_a_picture_open(
    base: str, database: Database, batch: int
) -> None:
    """It is made once for all; nobody is told of a picture that they have open themselves."""

    async def work(page: Page) -> None:
        await page.look(width=1280)
        await sign_in(page, base, f"/batches/{batch}")
        await page.until(READY)
        for own, theirs in ((0, 1), (2, 3)):
            database.sql(
                "INSERT INTO picture_claims (job_id, person, until) VALUES (:own, 'Anna', now() + interval '1 hour'),"
                " (:theirs, 'Ben', now() + interval '1 hour')", own=jobs(own)[0], theirs=jobs(theirs)[0],
            )  # fmt: skip
            await page.evaluate("delete document.documentElement.dataset.refreshed")
            database.sql("UPDATE batches SET failed = failed + 1 WHERE id = :id", id=batch)
            await page.until("document.documentElement.dataset.refreshed")
            await page.until(f"({TAKEN}).includes('{jobs(theirs)[0]}')")
            assert jobs(own)[0] not in await page.evaluate(TAKEN)
        assert await page.evaluate(TAKEN) == jobs(1, 3)

    look(work)


def test_the_grid_is_sound_in_each_size_on_a_phone_and_in_the_dark(
    base: str, database: Database, batch: int, tmp_path: Path
) -> None:
    flag(database, 0, 3)
    database.sql(
        "INSERT INTO picture_claims (job_id, person, until) VALUES ('job-00001', 'Ben', now() + interval '1 hour'),"
        " ('job-00002', 'Anna', now() + interval '1 hour'), ('job-00003', 'Ben', now() - interval '1 hour')"
    )
    shots = Path(SHOTS or tmp_path)

    async def work(page: Page) -> None:
        await page.look(width=1280)
        await sign_in(page, base, f"/batches/{batch}")
        for density in ("large", "medium", "small"):
            for name, width, dark in (("desktop", 1280, False), ("phone", 390, True)):
                await page.look(width=width, height=900, dark=dark)
                where = f"{base}/batches/{batch}?verdict=unreviewed&sort=worst&density={density}"
                await page.open(where)
                await page.until(READY)
                assert await page.evaluate(TAKEN) == jobs(1)
                await page.press("ArrowRight")
                shot = f"grid-{density}-{name}"
                await page.screenshot(shots / f"{shot}.png", whole=False)
                await page.screenshot(shots / f"{shot}-whole.png")
                assert await page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, shot
                contrast, whose = await page.evaluate(CONTRAST)
                assert contrast >= 4.5, (whose, shot)
                assert await page.evaluate(UNNAMED) == [], shot
                assert await page.evaluate(SMALL) == [], shot
        await page.look(width=1280)
        await page.press("?")
        await page.until("document.querySelector('#grid-keys').open")
        await page.screenshot(shots / "grid-keys.png", whole=False)

    look(work)
