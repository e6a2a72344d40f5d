"""Deliveries over real HTTP: signed, sent once, and tried again until they arrive or are given up."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from tests.integration.receiver import Receiver, is_signed_by, receiving
from tests.integration.webhooks.hooks import SECRET, end, make_due, rows, slice_of, webhook
from tests.words import unsaid
from workers.config.settings import Settings
from workers.engine.runtime import Runtime
from workers.maintenance.sweep import sweep
from workers.webhooks import deliver
from workers.webhooks.deliver import PAUSES
from workers.webhooks.messages import make_secret

if TYPE_CHECKING:
    from tests.integration.database import Database, Messages, RuntimeFactory

pytest_plugins = ["tests.integration.database"]
pytestmark = pytest.mark.usefixtures("no_patience")


def test_a_message_is_signed_and_sent_once(database: Database, runtime: Runtime, receiver: Receiver) -> None:
    webhook(database, runtime.settings, receiver.url())
    (job,) = database.jobs(state="saving", extra='{"sku": "4711 \\u00fc"}')
    end(database, job)

    slice_of(runtime)
    slice_of(runtime)

    (event,) = receiver.events(SECRET)
    assert event["type"] == "job.succeeded"
    assert event["data"]["metadata"] == {"sku": "4711 ü"}
    assert event["data"]["cost"] == {"amount": "0", "currency": "USD"}
    (row,) = rows(database)
    assert receiver.received[0].id == str(row.id)
    assert (row.tries, row.next_at, row.error) == (1, None, None)
    assert row.delivered_at is not None


def test_old_and_new_secrets_sign_while_both_are_in_force(
    database: Database, runtime: Runtime, receiver: Receiver
) -> None:
    new, old, over = make_secret(), make_secret(), make_secret()
    kept = [(new, None), (old, time.time() + 60), (over, time.time() - 1)]
    webhook(database, runtime.settings, receiver.url(), secrets=kept)
    end(database, *database.jobs(state="saving"))

    slice_of(runtime)

    (message,) = receiver.received
    assert [is_signed_by(message, secret) for secret in (new, old, over)] == [True, True, False]


def test_a_failure_is_tried_again_with_the_same_id_until_it_is_given_up(
    database: Database, runtime: Runtime, receiver: Receiver
) -> None:
    receiver.answer = lambda _: (500, {})
    number = webhook(database, runtime.settings, receiver.url())
    end(database, *database.jobs(state="saving"))

    for pause in PAUSES:
        slice_of(runtime)
        (row,) = database.sql(
            "SELECT extract(epoch FROM next_at - clock_timestamp())::float8 AS pause, error FROM deliveries"
        )
        assert row.pause == pytest.approx(pause, rel=0.25, abs=1)
        assert unsaid(row.error, "500") == []
        make_due(database)
    slice_of(runtime)

    assert sum(PAUSES) / 86_400 == pytest.approx(3, abs=0.2)
    assert len({(message.id, message.body) for message in receiver.received}) == 1
    assert len(receiver.received) == len(PAUSES) + 1
    (dead,) = rows(database)
    assert (dead.next_at, dead.delivered_at) == (None, None)
    slice_of(runtime)
    assert len(receiver.received) == len(PAUSES) + 1  # given up is given up
    assert database.one("SELECT disabled_at FROM webhooks WHERE id = :id", id=number) is None


def test_gone_ends_it(database: Database, runtime: Runtime, receiver: Receiver) -> None:
    receiver.answer = lambda _: (410, {})
    webhook(database, runtime.settings, receiver.url())
    end(database, *database.jobs(1, state="saving"))
    slice_of(runtime)
    end(database, *database.jobs(1, state="saving"))
    slice_of(runtime)

    assert len(receiver.received) == 1
    assert [row.next_at for row in rows(database)] == [None]
    assert unsaid(database.one("SELECT disabled_note FROM webhooks"), "410") == []


def test_a_redirect_is_a_failure(database: Database, runtime: Runtime, receiver: Receiver) -> None:
    receiver.answer = lambda _: (307, {"Location": receiver.url("/elsewhere")})
    webhook(database, runtime.settings, receiver.url())
    end(database, *database.jobs(state="saving"))
    slice_of(runtime)

    assert [message.path for message in receiver.received] == ["/hook"]
    assert unsaid(rows(database)[0].error, "307") == []


def test_a_receiver_may_ask_for_a_pause(database: Database, runtime: Runtime, receiver: Receiver) -> None:
    receiver.answer = lambda _: (429, {"Retry-After": "120"})
    webhook(database, runtime.settings, receiver.url())
    end(database, *database.jobs(state="saving"))
    slice_of(runtime)

    seconds = database.one("SELECT extract(epoch FROM next_at - clock_timestamp())::float8 FROM deliveries")
    assert seconds == pytest.approx(120, abs=2)


def test_addresses_that_are_not_public_hear_nothing_unless_named(
    database: Database, make_runtime: RuntimeFactory, receiver: Receiver
) -> None:
    runtime = make_runtime()
    webhook(database, runtime.settings, receiver.url())
    end(database, *database.jobs(state="saving"))
    slice_of(runtime)

    assert receiver.received == []
    assert unsaid(rows(database)[0].error, f"127.0.0.1:{receiver.port}", "RECAST_WEBHOOK_HOSTS") == []


def test_nobody_there_is_tried_again(database: Database, runtime: Runtime) -> None:
    with receiving() as receiver:
        port = receiver.port
    webhook(database, runtime.settings, f"http://127.0.0.1:{port}/hook")
    end(database, *database.jobs(state="saving"))
    slice_of(runtime)
    assert "not sent" in rows(database)[0].error

    with receiving(port) as back:
        make_due(database)
        slice_of(runtime)
        assert [event["type"] for event in back.events(SECRET)] == ["job.succeeded"]


def test_a_slow_receiver_is_cut_off_and_keeps_no_other_waiting(
    database: Database, runtime: Runtime, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.webhooks.messages.TIMEOUT_SECONDS", 3.0)
    release = threading.Event()
    arrived: dict[str, float] = {}

    def answer(message: Any) -> tuple[int, dict[str, str]]:
        arrived.setdefault(message.path, time.monotonic())
        if message.path == "/slow":
            release.wait(30)
        return 204, {}

    receiver.answer = answer
    slow = webhook(database, runtime.settings, receiver.url("/slow"))
    quick = webhook(database, runtime.settings, receiver.url("/quick"))
    end(database, *database.jobs(deliver.AT_ONCE + 4, state="saving"))
    started = time.monotonic()
    try:
        slice_of(runtime)
    finally:
        release.set()

    delivered = {row.webhook_id: row.n for row in database.sql(
        "SELECT webhook_id, count(delivered_at) AS n FROM deliveries GROUP BY 1")}  # fmt: skip
    assert delivered == {slow: 0, quick: deliver.AT_ONCE + 4}
    assert arrived["/quick"] - started < 3.0, "before the slow one was cut off"
    assert unsaid(database.one("SELECT min(error) FROM deliveries WHERE webhook_id = :id", id=slow), "3 s") == []


def test_a_lost_secret_key_is_named(database: Database, make_runtime: RuntimeFactory, receiver: Receiver) -> None:
    runtime = make_runtime({"webhook_hosts": "127.0.0.1"})
    other = runtime.settings.model_copy(
        update={"secret_key": Settings(secret_key="another-key-of-the-tests").secret_key}
    )
    webhook(database, other, receiver.url())
    end(database, *database.jobs(state="saving"))
    slice_of(runtime)

    assert receiver.received == []
    assert unsaid(rows(database)[0].error, "RECAST_SECRET_KEY") == []


def test_an_answer_that_cannot_be_noted_counts_as_a_try(
    database: Database, runtime: Runtime, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver.answer = lambda _: (500, {})
    webhook(database, runtime.settings, receiver.url())
    end(database, *database.jobs(2, state="saving"))
    monkeypatch.setattr(deliver, "clip", lambda text: f"{text}\x00" if "answered" in text else text)
    with capture_logs():
        slice_of(runtime)

    assert [row.tries for row in rows(database)] == [1, 1]
    assert all(row.error.startswith("not recorded") for row in rows(database))


def test_the_sweep_wakes_the_pump_for_what_is_due(database: Database, runtime: Runtime, messages: Messages) -> None:
    sweep(runtime)
    assert messages == []
    webhook(database, runtime.settings, "https://example.com/")
    end(database, *database.jobs(state="saving"))

    found = sweep(runtime)

    assert found["deliver_woken"] == 1
    assert [(name, args) for name, args, _ in messages] == [("deliver", ("0",))]


def test_what_is_long_over_is_forgotten(database: Database, runtime: Runtime) -> None:
    webhook(database, runtime.settings, "https://example.com/")
    end(database, *database.jobs(3, state="saving"))
    database.sql(
        "UPDATE deliveries SET next_at = NULL, delivered_at = clock_timestamp(),"
        " created_at = created_at - interval '31 days' WHERE id IN (SELECT id FROM deliveries LIMIT 1)"
    )
    database.sql("UPDATE deliveries SET next_at = clock_timestamp() + interval '1 hour' WHERE next_at IS NOT NULL")
    slice_of(runtime)

    assert len(rows(database)) == 2


def test_a_picture_is_named_with_its_place(
    database: Database, make_runtime: RuntimeFactory, receiver: Receiver, tmp_path: Path
) -> None:
    runtime = make_runtime({"webhook_hosts": "127.0.0.1", "storage_url": str(tmp_path / "pictures")})
    webhook(database, runtime.settings, receiver.url())
    (job,) = database.jobs(state="saving")
    attempt = database.attempt(job, "done", cost=2)
    digest = "ab" * 32
    database.sql(
        "INSERT INTO results (job_id, attempt_id, index, key, sha256, size, media_type, width, height)"
        " VALUES (:job, :attempt, 0, :key, :digest, 9, 'image/png', 4, 3)",
        job=job, attempt=attempt, key=f"ab/ab/{digest}.png", digest=digest,
    )  # fmt: skip
    end(database, job)
    slice_of(runtime)

    (event,) = receiver.events(SECRET)
    (result,) = event["data"]["results"]
    assert result["uri"] == f"file://{tmp_path}/pictures/ab/ab/{digest}.png"
    assert (event["data"]["cost"]["amount"], event["data"]["account"]) == ("2", "main")


def test_an_events_cost_is_sent_as_money_however_it_was_stored(
    database: Database, runtime: Runtime, receiver: Receiver
) -> None:
    number = webhook(database, runtime.settings, receiver.url())
    database.sql(
        "INSERT INTO deliveries (webhook_id, event, data) VALUES (:id, 'job.failed', cast(:data AS jsonb))",
        id=number,
        data='{"job": "1", "cost": "0.0200"}',
    )
    slice_of(runtime)
    (event,) = receiver.events(SECRET)
    assert event["data"] == {"job": "1", "cost": {"amount": "0.02", "currency": "USD"}}
