"""The page of all batches in a real Chromium: on a desktop, on a phone, in the dark, and without JavaScript."""

from __future__ import annotations

import os
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from desk import people
from desk.actors import Actor
from devstack.ports import bind
from models.people import Role
from models.states import JobState
from tests.stack import PORTRAITS, write_accounts
from tests.web import axe, browser
from tests.web.browser import Page
from tests.web.serving import serving
from tests.web.shop import settings, stock
from tests.web.test_desk_in_a_browser import PASSWORD, SMALL, sign_in
from tests.web.test_gallery_in_a_browser import CONTRAST, UNNAMED, look
from tests.web.test_operators_in_a_browser import ACCOUNT
from web.app import build
from workers.images.storage import Storage

if TYPE_CHECKING:
    from tests.integration.database import Database

pytest_plugins = ["tests.integration.database"]
pytestmark = pytest.mark.skipif(
    browser.found() is None,
    reason="no Chromium on PATH: install one (Debian: apt-get install chromium), or set CHROMIUM",
)

SHOTS = os.environ.get("TEST_SHOTS")
#: What a shop may have: names, labels, money spent and its limit, and jobs by state.
SHOP = (
    ("lookbook-autumn", "acme", "212.40", "400", {"succeeded": 9_214, "queued": 2_600, "running": 36, "failed": 21}),
    ("nightly 2026-11-28", "nightly", "3.96", None, {"succeeded": 198}),
    ("nightly 2026-11-29", "nightly", "4.02", None, {"succeeded": 198, "rejected": 3}),
    ("faces-of-1911", None, "20.00", "20", {"succeeded": 940, "queued": 560}),
    ("portraits-client-b", "client b", "0.60", "5", {"succeeded": 12, "held": 2, "canceled": 4}),
)


@pytest.fixture
def batch(database: Database, tmp_path: Path) -> int:
    """A shop with some batches, of which one has real pictures."""
    database.run(people.add, Actor("root", Role.OPERATOR, "command"), "Otto", Role.OPERATOR, PASSWORD)
    made = stock(database, Storage(settings(database, tmp_path).storage), succeeded=6)
    database.sql("UPDATE batches SET name = 'spring', label = 'acme' WHERE id = :id", id=made)
    database.sql("UPDATE jobs SET key = id, error = NULL WHERE batch_id = :id", id=made)
    for age, (name, label, spent, limit, counts) in enumerate(SHOP):
        number = database.batch(name, max_cost=limit)
        database.sql(
            f"UPDATE batches SET label = :label, {', '.join(f'{state} = {n}' for state, n in counts.items())},"  # noqa: S608
            " created_at = now() - :age * interval '7 hours' WHERE id = :id",
            label=label, age=age + 1, id=number,
        )  # fmt: skip
        database.sql(
            "INSERT INTO spend (scope, period, amount) VALUES (:scope, 'all', :amount)",
            scope=f"batch:{number}", amount=Decimal(spent),
        )  # fmt: skip
        database.sql(
            "INSERT INTO verdict_counts (batch_id, verdict, number) VALUES (:id, 'approved', :some),"
            " (:id, 'needs_work', 9)",
            id=number, some=counts[JobState.SUCCEEDED] // 3,
        )  # fmt: skip
    database.sql("UPDATE batches SET paused_at = now(), paused_reason = 'budget' WHERE name = 'faces-of-1911'")
    _give_singles(database, made)
    return made


def _give_singles(database: Database, batch: int) -> None:
    """Single jobs of three days: some have the picture of a job of the batch, and some have none."""
    pair: dict[str, Any] = {"source": str(PORTRAITS / "grace_hopper.jpg"), "target": str(PORTRAITS / "astronaut.png")}
    states = {"succeeded": 7, "failed": 2, "running": 1}
    jobs = [job for state, number in states.items() for job in database.jobs(number, state=state, **pair)]
    for age, job in enumerate(reversed(jobs)):
        attempt = database.attempt(job, "done" if age > 2 else "running", cost="0.02")
        database.sql(
            "UPDATE jobs SET created_at = now() - :age * interval '7 hours', reason = CASE WHEN state = 'failed' THEN"
            " 'timed_out' END WHERE id = :id",
            age=age, id=job,
        )  # fmt: skip
        if age > 2:
            database.sql(
                "INSERT INTO results (job_id, attempt_id, index, key, sha256, size, media_type, width, height)"
                " SELECT :job, :attempt, 0, results.key, sha256, size, media_type, width, height"
                " FROM results JOIN jobs ON jobs.id = job_id WHERE batch_id = :batch LIMIT 1",
                job=job, attempt=attempt, batch=batch,
            )  # fmt: skip
    database.sql(
        "INSERT INTO reviews (job_id, batch_id, seq, verdict) SELECT id, batch_id, seq, 'approved' FROM jobs"
        " WHERE id = ANY(:ids)",
        ids=jobs[2:4],
    )


@pytest.fixture
def base(database: Database, batch: int, tmp_path: Path) -> Iterator[str]:
    """Where the pages are served: below a path, as behind a proxy."""
    listener = bind(None)
    address = f"http://127.0.0.1:{listener.getsockname()[1]}/recast"
    chosen = settings(database, tmp_path, web_auth=None, public_url=address)
    write_accounts(chosen.accounts_file, {"main": ACCOUNT})
    with serving(build(chosen), listener):
        yield address


def pages_of(batch: int) -> dict[str, str]:
    """The pages, by what their pictures are called."""
    return {
        "batches": "batches",
        "batches-found": "batches?q=acme&sort=name",
        "batch": f"batches/{batch}",
        "singles": "singles",
    }


def test_the_pages_are_shown_as_they_are_meant(base: str, batch: int, tmp_path: Path) -> None:
    shots = Path(SHOTS or tmp_path)

    async def work(page: Page) -> None:
        await page.look(width=1280, height=800)
        await sign_in(page, base, "/batches", "Otto")
        for width, height, dark in ((1280, 800, False), (1280, 800, True), (390, 844, False), (390, 844, True)):
            await page.look(width=width, height=height, dark=dark)
            for called, path in pages_of(batch).items():
                await page.open(f"{base}/{path}")
                name = f"{called}-{'phone' if width < 600 else 'desktop'}-{'dark' if dark else 'light'}"
                await page.screenshot(shots / f"{name}.png", whole=width < 600)
                assert await page.evaluate("document.documentElement.scrollWidth") <= width, name
                contrast, whose = await page.evaluate(CONTRAST)
                assert contrast >= 4.5, (whose, name)
                assert await page.evaluate(UNNAMED) == [], name
                assert await page.evaluate(SMALL) == [], name

    look(work)


def test_batches_are_found_without_a_script(base: str) -> None:
    async def work(page: Page) -> None:
        await page.look(width=390, height=844)
        await sign_in(page, base, "/batches", "Otto")
        await page.call("Emulation.setScriptExecutionDisabled", value=True)
        await page.open(f"{base}/batches?only=needs_you")
        await page.evaluate("document.querySelector('[name=q]').value = 'ACME'")
        await page.evaluate("document.querySelector('.search button').click()")
        await page.until("location.search.includes('q=ACME') && document.readyState === 'complete'")
        assert await page.evaluate("[...document.querySelectorAll('.batch h2 > a:first-child')].map(a => a.text)") == [
            "lookbook-autumn", "spring",
        ]  # fmt: skip
        assert await page.evaluate("location.search") == "?only=needs_you&q=ACME"

    look(work)


@axe.needed
def test_the_pages_have_no_serious_fault(base: str, batch: int) -> None:
    found: list[str] = []

    async def work(page: Page) -> None:
        await page.look(width=1280)
        await sign_in(page, base, "/batches", "Otto")
        for path in pages_of(batch).values():
            await page.open(f"{base}/{path}")
            found.extend(await axe.examine(page, path))

    look(work)
    assert found == []
