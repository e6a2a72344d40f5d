"""The page of a webhook over HTTP: its deliveries by key, and messages that operators have sent now."""

from __future__ import annotations

import re
import uuid
from typing import TYPE_CHECKING, Any

import pytest

from desk import people
from models.people import Role
from reports import deliveries
from tests.integration.receiver import Receiver, receiving
from tests.integration.web import test_operators
from tests.integration.web.test_desk import PASSWORD, ROOT, Browser
from tests.integration.web.test_operators import Below, audited, plain
from tests.integration.webhooks.hooks import SECRET, rows, slice_of, webhook
from tests.web.shop import HOSTILE
from tests.words import unsaid
from web import operators
from web.app import build
from workers.config.settings import Settings
from workers.webhooks.deliver import PAUSES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.database import Database, RuntimeFactory
    from workers.engine.runtime import Runtime

pytest_plugins = ["tests.integration.database"]

batch, chosen, otto, sent = test_operators.batch, test_operators.chosen, test_operators.otto, test_operators.sent


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operators, "WAIT_SECONDS", 0.0)
    monkeypatch.setattr("workers.engine.slice.PATIENCE_SECONDS", 0.05)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as made:
        yield made


@pytest.fixture
def worker(make_runtime: RuntimeFactory) -> Runtime:
    return make_runtime({"webhook_hosts": "127.0.0.1"})


def give(database: Database, hook: int, number: int = 1, **columns: str) -> list[str]:
    """Deliveries, the oldest first; `columns` are SQL, in which `n` counts them."""
    row = {"event": "'job.failed'", "data": "jsonb_build_object('job', 'job-' || n)", "tries": "1"} | columns
    made = database.sql(
        f"INSERT INTO deliveries (webhook_id, {', '.join(row)}) SELECT :hook, {', '.join(row.values())}"  # noqa: S608
        " FROM generate_series(1, :number) n RETURNING id",
        hook=hook, number=number,
    )  # fmt: skip
    return [str(each.id) for each in made]


def press(browser: Browser, hook: int, do: str, *ids: str) -> int:
    fields: dict[str, Any] = {"form": browser.form("/accounts"), "do": do, "delivery": list(ids)}
    return browser.post(f"/webhooks/{hook}", fields).status_code


def about(page: Any) -> list[str]:
    return re.findall(r">(job-\d+)</a>", page.text)


def test_a_page_has_what_waits_and_what_is_over_each_once(
    otto: Browser, database: Database, chosen: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of one transaction have one time."""
    monkeypatch.setattr(deliveries, "PAGE", 4)
    hook, other = (webhook(database, chosen, f"https://shop.example/{name}") for name in "ab")
    gone = {"next_at": "NULL", "error": "'the receiver answered 500'", "created_at": "now() - n / 4 * interval '1 s'"}
    give(database, other, 9, **gone)
    give(database, hook, 9, **gone)
    (late,) = give(
        database, hook, next_at="now() + interval '5 hours'", data='\'{"batch": "x"}\'', event="'batch.done'"
    )
    give(database, hook, next_at="NULL", delivered_at="now()", data='\'{"job": "job-77"}\'')
    assert f'href="/recast/webhooks/{hook}"' in otto.get("/webhooks").text
    page = otto.get(f"/webhooks/{hook}")
    assert (
        unsaid(plain(page), "https://shop.example/a", "batch.done", "job.failed", "delivered", "given up", "500") == []
    )
    assert late in page.text
    seen, path = [], f"/webhooks/{hook}"
    while path:
        page = otto.get(path)
        seen += about(page)
        found = re.search(r'rel="next" href="/recast([^"]+)"', page.text)
        path = found[1] if found else ""
    assert seen[0] == "job-77"
    assert sorted(seen) == sorted([f"job-{number}" for number in range(1, 10)] + ["job-77"])
    assert "job-77" not in otto.get(f"/webhooks/{hook}?which=dead").text


def test_a_page_looks_at_so_many_and_goes_on_from_there(otto: Browser, database: Database, chosen: Settings) -> None:
    hook, busy = (webhook(database, chosen, f"https://shop.example/{name}") for name in "ab")
    give(database, hook, next_at="NULL", created_at="now() - interval '1 day'", data='\'{"job": "job-77"}\'')
    give(database, busy, deliveries.LOOKED + 10, next_at="NULL", delivered_at="now()")
    page = otto.get(f"/webhooks/{hook}")
    assert about(page) == []
    assert unsaid(plain(page), "10,000") == []
    found = re.search(r'rel="next" href="/recast([^"]+)"', page.text)
    assert found is not None
    page = otto.get(found[1])
    assert about(page) == ["job-77"]
    assert 'rel="next"' not in page.text
    explained = f"EXPLAIN SELECT id FROM {deliveries._OVER} LIMIT 10"  # noqa: S608
    plan = database.sql(explained, at=None, id=uuid.UUID(int=0))
    assert "ix_deliveries_over" in str(plan)


def test_a_place_that_is_none_is_refused(otto: Browser, database: Database, chosen: Settings) -> None:
    hook = webhook(database, chosen, "https://shop.example")
    for before in ("x", str(uuid.uuid4()), "%00"):
        assert otto.get(f"/webhooks/{hook}?before={before}").status_code == 400
    for number in (hook + 1, 2**31, 10**17):
        assert otto.get(f"/webhooks/{number}").status_code == 404
        assert press(otto, number, "test") == 422
        assert press(otto, number, "retry", str(uuid.uuid4())) == 422
    for do, ids in (("burn", []), ("retry", ["x"]), ("test", ["\0"])):
        assert press(otto, hook, do, *ids) == 422
    assert press(otto, hook, "retry") == 422
    assert press(otto, hook, "test", str(uuid.uuid4()), str(uuid.uuid4())) == 303
    assert database.one("SELECT count(*) FROM deliveries") == 1


def test_what_was_given_up_or_waits_long_is_sent_now(
    otto: Browser, database: Database, worker: Runtime, receiver: Receiver, sent: list[str]
) -> None:
    hook = webhook(database, worker.settings, receiver.url())
    other = webhook(database, worker.settings, receiver.url("/other"))
    (dead,) = give(database, hook, next_at="NULL", error="'no'", tries="10")
    (late,) = give(database, hook, next_at="now() + interval '5 hours'", error="'no'", tries="7")
    (flying,) = give(database, hook, next_at="now() + interval '20 s'", tries="1")
    (here,) = give(database, hook, next_at="NULL", delivered_at="now()")
    (theirs,) = give(database, other, next_at="NULL", error="'no'", tries="10")
    for unknown in (theirs, str(uuid.uuid4())):
        assert press(otto, hook, "retry", dead, unknown) == 422
        assert sent == []
    for _ in range(2):
        assert press(otto, hook, "retry", dead, late, flying, here) == 303
    assert sent == ["deliver"]
    slice_of(worker)
    assert {message.id for message in receiver.received} == {dead, late}
    assert {str(row.id): row.tries for row in rows(database)} == {dead: 1, late: 1, flying: 1, here: 1, theirs: 10}
    said = database.sql("SELECT subject, detail FROM audit WHERE action = 'webhooks retry'")
    assert [tuple(row) for row in said] == [(f"webhook {hook}", {"deliveries": 2})]


def test_retries_by_hand_use_up_no_tries(
    otto: Browser, database: Database, worker: Runtime, receiver: Receiver, sent: list[str]
) -> None:
    hook = webhook(database, worker.settings, receiver.url())
    (late,) = give(database, hook, next_at="now() + interval '5 hours'", error="'no'", tries=str(len(PAUSES)))
    receiver.answer = lambda _: (500, {})
    for _ in range(2):
        assert press(otto, hook, "retry", late) == 303
        slice_of(worker)
        (row,) = rows(database)
        assert row.tries == 1
        assert row.next_at is not None, "it is not given up"
        database.sql("UPDATE deliveries SET next_at = now() + interval '5 hours'")
    assert len(receiver.received) == 2


def test_a_test_message_goes_first_and_once(
    otto: Browser, database: Database, worker: Runtime, receiver: Receiver
) -> None:
    hook = webhook(database, worker.settings, receiver.url())
    give(database, hook, 3, next_at="now() - interval '1 h'")
    receiver.answer = lambda _: (500, {})
    new = re.findall(r'name="delivery" value="([^"]+)"', otto.get(f"/webhooks/{hook}").text)[0]
    for _ in range(2):
        assert press(otto, hook, "test", new) == 303
    assert database.one("SELECT id FROM deliveries ORDER BY next_at LIMIT 1") == uuid.UUID(new)
    slice_of(worker)
    assert [event["type"] for event in receiver.events(SECRET)].count("webhook.test") == 1
    page = otto.get(f"/webhooks/{hook}")
    assert unsaid(plain(page), "webhook.test", "given up", "500") == [], "a test is sent once, whatever comes of it"
    database.sql("UPDATE webhooks SET disabled_at = now()")
    for do in ("test", "retry"):
        fields = {"form": otto.form("/accounts"), "do": do, "delivery": new}
        refused = otto.post(f"/webhooks/{hook}", fields)
        assert refused.status_code == 422
        assert unsaid(plain(refused), f"webhook {hook} is off", f"recast webhooks on {hook}") == []
    page = otto.get(f"/webhooks/{hook}")
    assert (
        unsaid(plain(page), "switched off", "still sends a test", f"recast webhooks test {hook}", "webhooks on") == []
    )
    assert "Nothing is sent" not in page.text
    assert "recast webhooks retry" not in plain(page)
    assert "<button" not in page.text.partition("<main")[2]
    assert [action for _, _, action in audited(database)] == ["webhooks test"]


def test_others_see_and_send_nothing(
    chosen: Settings, database: Database, batch: int, sent: list[str], otto: Browser
) -> None:
    hook = webhook(database, chosen, "https://shop.example")
    (dead,) = give(database, hook, next_at="NULL", error="'no'")
    for do in ("retry", "test"):
        fields = {"form": "0" * 64, "do": do, "delivery": dead}
        assert otto.post(f"/webhooks/{hook}", fields).status_code == 403
    with Below(build(chosen)) as browser:
        for name, role in (("Vera", Role.VIEWER), ("Anna", Role.REVIEWER)):
            database.run(people.add, ROOT, name, role, PASSWORD)
            browser.forget_cookies()
            browser.sign_in(name)
            assert browser.get(f"/webhooks/{hook}").status_code == 403
            for do in ("retry", "test"):
                fields = {"form": browser.form("/batches"), "do": do, "delivery": dead}
                assert browser.post(f"/webhooks/{hook}", fields).status_code == 403
    assert sent == []
    assert audited(database) == []


def test_what_comes_from_elsewhere_is_text(otto: Browser, database: Database, chosen: Settings) -> None:
    hook = webhook(database, chosen, HOSTILE)
    said = "'" + HOSTILE.replace("'", "''") + "'"
    give(database, hook, next_at="NULL", error=said, data=f"jsonb_build_object('job', {said})", event=said)
    give(database, hook, error=said, data=f"jsonb_build_object('batch', {said})")
    page = otto.get(f"/webhooks/{hook}")
    assert page.status_code == 200
    assert HOSTILE not in page.text
    links = re.findall(r'(?:href|src|action)="([^"]*)"', page.text)
    assert all(link.startswith(("/recast/", "#")) for link in links), links
