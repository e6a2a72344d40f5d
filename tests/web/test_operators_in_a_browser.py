"""Operators' pages in a real Chromium: on a desktop, on a phone, in the dark, and without JavaScript."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from desk import people
from desk.actors import Actor
from devstack.ports import bind
from models.people import Role
from tests.stack import write_accounts
from tests.web import axe, browser
from tests.web.browser import Page
from tests.web.serving import serving
from tests.web.shop import settings, stock
from tests.web.test_desk_in_a_browser import PASSWORD, SMALL, sign_in
from tests.web.test_gallery_in_a_browser import CONTRAST, UNNAMED, look
from web.app import build
from workers.images.storage import Storage
from workers.jobs.lanes import WAITING

if TYPE_CHECKING:
    from tests.integration.database import Database

pytest_plugins = ["tests.integration.database"]
pytestmark = pytest.mark.skipif(
    browser.found() is None,
    reason="no Chromium on PATH: install one (Debian: apt-get install chromium), or set CHROMIUM",
)

SHOTS = os.environ.get("TEST_SHOTS")
#: A place in a secret that is shown once: so far along its way from the upper left to the lower right corner.
SECRET = """(share) => { const { x, y, width, height } = document.querySelector(".once code").getBoundingClientRect();
  return [x + share * width, y + share * height]; }"""
ACCOUNT = {
    "provider": "zhiqite", "base_url": "http://127.0.0.1:9", "access_key_id": "id", "access_key_secret": "secret",
    "prices": {"swap": "0.02 USD"}, "budget": {"day": "4 USD"}, "operations": ["swap"],
}  # fmt: skip


@pytest.fixture
def batch(database: Database, tmp_path: Path) -> int:
    """A busy day: money in each hour, a stopped account, held jobs, a batch at its cap, a failed schedule."""
    database.run(people.add, Actor("root", Role.OPERATOR, "command"), "Otto", Role.OPERATOR, PASSWORD)
    made = stock(database, Storage(settings(database, tmp_path).storage), succeeded=6)
    database.sql("UPDATE batches SET name = 'spring' WHERE id = :id", id=made)
    database.sql("UPDATE jobs SET key = id, error = NULL WHERE batch_id = :id", id=made)
    held = database.jobs(2, batch=made, state="held", reason="unclear_submit")
    for job in held:
        database.attempt(job, "unknown", cost="0.03", error="'the connection was lost'")
    database.sql(
        "UPDATE attempts SET created_at = now() - (ascii(right(job_id, 1)) % 20) * interval '70 minutes',"
        " error = CASE WHEN error IS NOT NULL THEN 'the connection was lost' END"
    )
    capped = database.batch("summer", max_cost="0.05")
    database.jobs(3, batch=capped, state="queued")
    database.sql("UPDATE batches SET paused_at = now(), paused_reason = 'budget' WHERE id = :id", id=capped)
    database.sql("UPDATE accounts SET closed_until = 'infinity', closed_reason = 'auth', closed_note = 'key revoked'")
    database.sql(
        "INSERT INTO spend (scope, period, amount) VALUES (:scope, 'all', 0.05), ('account:main',"
        " 'day:' || to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD'), 3.65)",
        scope=f"batch:{capped}",
    )
    database.sql(
        "INSERT INTO schedules (name, catalog, cron, next_at) VALUES ('nightly', 's3://shop/new.csv', '0 3 * * *',"
        " now() + interval '9 hours')"
    )
    database.sql(
        "INSERT INTO webhooks (url, events, secrets)"
        " VALUES ('https://shop.example/hooks', '{job.failed,batch.done}', '')"
    )
    database.sql(
        "INSERT INTO deliveries (webhook_id, event, data, created_at, tries, next_at, delivered_at, error) VALUES"
        """ (1, 'batch.done', '{"batch": "winter"}', now() - interval '2 h', 4, now() + interval '5 h', NULL,"""
        """ 'the receiver answered 503'), (1, 'webhook.test', '{"webhook": 1}', now(), 1, NULL, now(), NULL),"""
        """ (1, 'job.failed', '{"job": "job-00006"}', now() - interval '3 days', 10, NULL, NULL,"""
        """ 'no connection to shop.example'),"""
        """ (1, 'job.failed', '{"job": "job-00007"}', now() - interval '4 days', 1, NULL, now() - interval '4 days',"""
        """ NULL)"""
    )
    database.sql("INSERT INTO pilots (batch_id, size) VALUES (:id, '4')", id=made)
    database.sql(
        "INSERT INTO pilot_jobs (batch_id, job_id) SELECT batch_id, id FROM jobs WHERE batch_id = :id"
        " ORDER BY seq LIMIT 4",
        id=made,
    )
    rest = database.jobs(20, batch=made)
    database.sql("UPDATE jobs SET lane = :waiting || lane WHERE id = ANY(:ids)", waiting=WAITING, ids=rest)
    database.sql(
        "INSERT INTO reviews (job_id, batch_id, seq, verdict) SELECT j.id, j.batch_id, seq, 'approved'"
        " FROM pilot_jobs p JOIN jobs j ON j.id = p.job_id ORDER BY seq LIMIT 3"
    )
    database.sql(
        "INSERT INTO verdicts (result_id, job_id, batch_id, person, verdict)"
        " SELECT r.id, r.job_id, w.batch_id, 'Anna', 'approved' FROM results r JOIN reviews w ON w.job_id = r.job_id"
    )
    database.sql(
        "INSERT INTO leases (name, owner, until, wake_at) VALUES"
        " ('submit:main', 'worker@studio', now() + interval '9 minutes', NULL), ('store', NULL, NULL, NULL),"
        " ('poll:main', NULL, NULL, now() + interval '9 minutes'), ('deliver', NULL, NULL, now() + interval '1 hour')"
    )
    database.sql(
        "INSERT INTO releases (reference, ends_at, labels) VALUES"
        """ ('R-1', '2099-06-30 23:59:59.999999+00', '["summer"]'), ('R-2', now(), NULL)"""
    )
    database.sql(
        """UPDATE jobs SET extra = '{"consent": "R-1"}' WHERE batch_id = :id AND state IN ('succeeded', 'failed')""",
        id=made,
    )
    database.sql("UPDATE jobs SET finished_at = now() WHERE state IN ('succeeded', 'failed')")
    database.sql(
        "INSERT INTO tokens (name, role, digest, spend_per_day, revoked_at) VALUES ('shop', 'operator', 'a', 20, NULL),"
        " ('old shop', 'viewer', 'b', NULL, now())"
    )
    database.sql(
        "INSERT INTO guests (batch_id, role, digest, expires_at) VALUES (:id, 'reviewer', 'a', now() + interval '6 d'),"
        " (:id, 'viewer', 'b', now())", id=made,
    )  # fmt: skip
    database.sql("INSERT INTO visits (digest, guest_id, name) SELECT digest, id, 'Gina (guest)' FROM guests LIMIT 1")
    database.sql(
        "INSERT INTO credential_checks (account, answered_at, verdict, message)"
        " VALUES ('main', now(), 'refused', 'Zhiqite refused the key pair: accessKey is disabled (code 401)')"
    )
    database.sql(
        "INSERT INTO sign_ins (digest, person_id, created_at, expires_at)"
        " SELECT repeat('a', 64), id, now() - interval '2 days', now() + interval '5 days' FROM people"
    )
    (tmp_path / "health").mkdir()
    for name in ("worker@studio", "beat@studio"):
        beat = {"at": datetime.now(UTC).isoformat(), "every": 3600, "parts": {}}
        (tmp_path / "health" / f"{name}.json").write_text(json.dumps(beat))
    return made


@pytest.fixture
def base(database: Database, batch: int, tmp_path: Path) -> Iterator[str]:
    """Where the pages are served: below a path, as behind a proxy."""
    listener = bind(None)
    address = f"http://127.0.0.1:{listener.getsockname()[1]}/recast"
    chosen = settings(database, tmp_path, web_auth=None, public_url=address)
    write_accounts(chosen.accounts_file, {"main": ACCOUNT})
    with serving(build(chosen), listener):
        yield address


def pages_of(batch: int) -> tuple[str, ...]:
    """Every page of operators."""
    return (
        "today", "decide", "accounts", "schedules", "webhooks", "releases", "releases?reference=R-1", "people",
        "tokens", "guests", f"batches/{batch}/guests", "audit", "attempts", "pumps", f"batches/{batch}/bulk/cancel",
        f"batches/{batch}/redo", f"batches/{batch}/download", f"batches/{batch}/pilot", "you", "webhooks/1",
    )  # fmt: skip


def test_operators_pages_are_shown_as_they_are_meant(base: str, batch: int, tmp_path: Path) -> None:
    shots = Path(SHOTS or tmp_path)

    async def work(page: Page) -> None:
        await page.look(width=1280, height=800)
        await sign_in(page, base, "/today", "Otto")
        for width, height, dark in ((1280, 800, False), (1280, 800, True), (390, 844, False), (390, 844, True)):
            await page.look(width=width, height=height, dark=dark)
            for path in pages_of(batch):
                await page.open(f"{base}/{path}")
                size, light = "phone" if width < 600 else "desktop", "dark" if dark else "light"
                name = f"{re.sub('[/?=]', '-', path)}-{size}-{light}"
                await page.screenshot(shots / f"{name}.png", whole=width < 600)
                assert await page.evaluate("document.documentElement.scrollWidth") <= width, name
                contrast, whose = await page.evaluate(CONTRAST)
                assert contrast >= 4.5, (whose, name)
                assert await page.evaluate(UNNAMED) == [], name
                assert await page.evaluate(SMALL) == [], name
        await page.look(width=1280, height=800)
        await page.open(f"{base}/today")
        below = await page.evaluate("document.documentElement.scrollHeight - innerHeight")
        assert below <= 0, f"today needs scrolling on a laptop by {below} px"

    look(work)


def test_no_table_is_cut_that_people_work_with(base: str, database: Database) -> None:
    database.sql("UPDATE attempts SET accepted_at = now() - interval '272 s', finished_at = now(), cost = 0.0123")
    cut = "[...document.querySelectorAll('.scroll')].filter((each) => each.scrollWidth > each.clientWidth).length"

    async def work(page: Page) -> None:
        await page.look(width=1280, height=800)
        await sign_in(page, base, "/today", "Otto")
        for width in (390, 600, 761, 1000, 1200, 1280):
            await page.look(width=width, height=800)
            for path in ("today", "webhooks/1"):
                await page.open(f"{base}/{path}")
                assert await page.evaluate("document.querySelectorAll('.scroll .number').length") > 5
                assert await page.evaluate(cut) == 0, (path, width)

    look(work)


def test_a_link_that_is_shown_once_is_taken_with_one_click(base: str, batch: int, tmp_path: Path) -> None:
    async def work(page: Page) -> None:
        await page.look(width=390, height=844)
        await sign_in(page, base, f"/batches/{batch}", "Otto")
        await page.evaluate("document.querySelector('main a[href$=guests]').click()")
        await page.until("location.pathname.endsWith('/guests') && document.readyState === 'complete'")
        await page.evaluate("document.querySelector('main .primary').click()")
        await page.until("document.querySelector('.once')")
        await page.screenshot(Path(SHOTS or tmp_path) / "once.png", whole=True)
        secret = await page.evaluate("document.querySelector('.once code').innerText")
        # Wherever it is clicked, also behind the end of a line: where the lines end depends on the secret.
        for place in (0.03, 0.5, 0.97):
            await page.evaluate("getSelection().removeAllRanges()")
            x, y = await page.at_rest(f"({SECRET})({place})")
            await page.click(x, y)
            await page.until(f"getSelection().toString() === {json.dumps(secret)}")
        assert await page.evaluate("document.documentElement.scrollWidth") <= 390

    look(work)


def test_a_held_job_is_decided_without_a_script(base: str, database: Database) -> None:
    async def work(page: Page) -> None:
        await page.look(width=390, height=844)
        await sign_in(page, base, "/decide", "Otto")
        await page.call("Emulation.setScriptExecutionDisabled", value=True)
        await page.call("Page.reload")
        await page.until("document.readyState === 'complete' && document.querySelectorAll('[name=job]').length === 3")
        await page.evaluate("document.querySelector('[name=which][value=all]').click()")
        await page.evaluate("document.querySelector('[name=verdict][value=give_up]').click()")
        await page.until("document.querySelector('[name=agreed]')")
        assert "3 jobs" in await page.evaluate("document.querySelector('.stake').innerText")
        await page.evaluate("document.querySelector('main .primary').click()")
        await page.until("document.querySelector('.empty') && location.pathname.endsWith('/decide')")

    look(work)
    assert database.one("SELECT count(*) FROM jobs WHERE state = 'held'") == 0


def test_limits_are_set_on_a_phone(base: str, database: Database, tmp_path: Path) -> None:
    async def work(page: Page) -> None:
        await sign_in(page, base, "/accounts", "Otto")
        for width, dark in ((1280, True), (390, False)):
            await page.look(width=width, height=844, dark=dark)
            await page.open(f"{base}/accounts")
            await page.evaluate("document.querySelector('summary').click()")
            await page.until("document.querySelector('details').open")
            await page.screenshot(Path(SHOTS or tmp_path) / f"limits-{width}.png", whole=True)
            assert await page.evaluate("document.documentElement.scrollWidth") <= width
            assert (await page.evaluate(CONTRAST))[0] >= 4.5
            assert [await page.evaluate(faults) for faults in (UNNAMED, SMALL)] == [[], []]
        await page.evaluate("document.querySelector('[name=rate]').value = '30/min'")
        await page.evaluate("document.querySelector('details .primary').click()")
        await page.until("document.querySelector('.facts').innerText.includes('30/min')")

    look(work)
    assert database.one("SELECT overrides->>'rate' FROM accounts WHERE name = 'main'") == "30/min"


@axe.needed
def test_no_page_of_operators_has_a_serious_fault(base: str, batch: int) -> None:
    found: list[str] = []

    async def work(page: Page) -> None:
        await page.look(width=1280)
        await sign_in(page, base, "/today", "Otto")
        for path in pages_of(batch):
            await page.open(f"{base}/{path}")
            found.extend(await axe.examine(page, path))

    look(work)
    assert found == []
