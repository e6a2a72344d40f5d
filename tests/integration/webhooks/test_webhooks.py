"""Webhooks on a real database and over real HTTP: what is written with a job's end, and that it arrives."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy.orm import Session
from structlog.testing import capture_logs

from cli.exit_codes import ExitCode
from cli.main import main
from models.batches import SINGLES
from models.states import JobState, Reason
from tests.integration.receiver import Receiver, is_signed_by, receiving
from tests.words import unsaid
from workers.config.settings import Settings
from workers.engine.runner import run
from workers.engine.runtime import Runtime
from workers.jobs.moves import JobMove
from workers.jobs.transitions import move_jobs
from workers.maintenance.sweep import sweep
from workers.webhooks import deliver, service
from workers.webhooks.deliver import PAUSES, DeliverPump
from workers.webhooks.messages import make_secret, seal

if TYPE_CHECKING:
    from tests.integration.database import Database, Messages, RuntimeFactory

pytest_plugins = ["tests.integration.database"]

SECRET = make_secret()
SECRET_KEY = "test-secret-key-of-32-characters"  # that of the runtimes


@pytest.fixture(autouse=True)
def _no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.engine.slice.PATIENCE_SECONDS", 0.05)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as made:
        yield made


@pytest.fixture
def runtime(make_runtime: RuntimeFactory) -> Runtime:
    return make_runtime({"webhook_hosts": "127.0.0.1"})


def webhook(
    database: Database, settings: Settings, url: str, *events: str, batches: list[str] | None = None, **more: Any
) -> int:
    """A webhook with `SECRET`."""
    made: int = database.one(
        "INSERT INTO webhooks (url, events, batches, secrets) VALUES (:url, :events, :batches, :secrets) RETURNING id",
        url=url,
        events=list(events or ["job.succeeded", "job.failed", "batch.done"]),
        batches=batches or [],
        secrets=seal(settings, more.get("secrets", [(SECRET, None)])),
    )
    return made


def end(database: Database, *ids: str, state: JobState = JobState.SUCCEEDED, **more: Any) -> None:
    database.run(move_jobs, [JobMove(job_id, state, **more) for job_id in ids])


def make_due(database: Database) -> None:
    """Let the pause pass."""
    database.sql("UPDATE deliveries SET next_at = clock_timestamp() WHERE next_at IS NOT NULL")


def slice_of(runtime: Runtime) -> None:
    run(runtime, DeliverPump(runtime), None)


def rows(database: Database) -> list[Any]:
    return database.sql("SELECT * FROM deliveries ORDER BY created_at, id")


# --- What is written -----------------------------------------------------------------------------------------------


def test_nobody_listening_costs_nothing(database: Database) -> None:
    batch = database.batch()
    ids = database.jobs(2, batch=batch, state="running")

    moved = database.run(move_jobs, [JobMove(job_id, JobState.FAILED) for job_id in ids])

    assert not any(move.heard for move in moved)
    assert rows(database) == []


def test_an_event_is_written_with_the_end_or_not_at_all(database: Database, runtime: Runtime) -> None:
    webhook(database, runtime.settings, "https://example.com/")
    (job,) = database.jobs(state="saving")

    def broken(session: Session) -> None:
        move_jobs(session, [JobMove(job, JobState.SUCCEEDED)])
        raise RuntimeError("the power goes")

    with pytest.raises(RuntimeError):
        database.run(broken)
    assert rows(database) == []

    end(database, job)
    end(database, job)  # it has ended already: no move, no event
    (row,) = rows(database)
    assert (row.event, row.data["job"], row.data["state"]) == ("job.succeeded", job, "succeeded")


def test_only_what_was_asked_for(database: Database, runtime: Runtime) -> None:
    everything = webhook(database, runtime.settings, "https://example.com/all")
    failures = webhook(database, runtime.settings, "https://example.com/bad", "job.failed")
    spring = webhook(database, runtime.settings, "https://example.com/spring", batches=["spring"])
    off = webhook(database, runtime.settings, "https://example.com/off")
    database.run(deliver.disable, off, "a person")
    (single,) = database.jobs(state="saving")
    (good,) = database.jobs(batch=database.batch("spring"), state="saving")
    (bad,) = database.jobs(batch=database.batch("autumn"), state="running")

    end(database, single, good)
    end(database, bad, state=JobState.FAILED, reason=Reason.OUTAGE, error="gone")

    told = {(row.webhook_id, row.event, row.data.get("job") or row.data["batch"]) for row in rows(database)}
    assert told == {
        (everything, "job.succeeded", single), (everything, "job.succeeded", good), (everything, "job.failed", bad),
        (everything, "batch.done", "spring"), (everything, "batch.done", "autumn"),
        (failures, "job.failed", bad),
        (spring, "job.succeeded", good), (spring, "batch.done", "spring"),
    }  # fmt: skip
    (failed,) = [row for row in rows(database) if row.webhook_id == failures]
    assert failed.data["reason"] == "outage"
    assert failed.data["error"] == "gone"
    assert (failed.data["results"], failed.data["cost"]) == ([], "0")


def test_a_batch_is_done_once_for_each_time_it_was_open(database: Database, runtime: Runtime) -> None:
    webhook(database, runtime.settings, "https://example.com/", "batch.done")
    ids = database.jobs(3, batch=database.batch(), state="running")

    end(database, ids[0], state=JobState.FAILED)
    assert rows(database) == []
    end(database, *ids[1:], state=JobState.HELD)  # a person is needed, a worker is not
    (done,) = rows(database)
    assert done.data["counts"] == {"succeeded": 0, "failed": 1, "rejected": 0, "canceled": 0, "held": 2}

    # A held job is given up: no job was opened for that.
    end(database, ids[1], state=JobState.FAILED)
    assert len(rows(database)) == 1
    # A late answer opens the batch again, and closes it again.
    end(database, ids[0], state=JobState.SAVING)
    end(database, ids[0])
    assert [row.data["counts"]["succeeded"] for row in rows(database)] == [0, 1]


def test_of_many_transactions_at_once_one_ends_the_batch(database: Database, runtime: Runtime) -> None:
    webhook(database, runtime.settings, "https://example.com/", "batch.done")
    ids = database.jobs(20, batch=database.batch(), state="running")

    database.together(
        [lambda session, job_id=job_id: move_jobs(session, [JobMove(job_id, JobState.FAILED)]) for job_id in ids]  # type: ignore[misc]
    )

    assert [row.data["counts"]["failed"] for row in rows(database)] == [20]


def test_single_jobs_have_no_batch(database: Database, runtime: Runtime) -> None:
    webhook(database, runtime.settings, "https://example.com/")
    end(database, *database.jobs(state="saving"))

    assert [(row.event, row.data["batch"]) for row in rows(database)] == [("job.succeeded", None)]
    assert SINGLES == 0


# --- That it arrives -----------------------------------------------------------------------------------------------


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


# --- What people do about it ---------------------------------------------------------------------------------------


@pytest.fixture
def recast(database: Database, runtime: Runtime, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> Callable[..., Any]:
    """`recast webhooks` in this process: what it prints as JSON, or what it complains of."""
    for name in ("database_url", "broker_url", "home"):
        monkeypatch.setenv(f"RECAST_{name.upper()}", str(getattr(runtime.settings, name)))
    monkeypatch.setenv("RECAST_ACCOUNTS_FILE", str(runtime.settings.accounts_file))
    monkeypatch.setenv("RECAST_SECRET_KEY", SECRET_KEY)
    monkeypatch.setenv("RECAST_WEBHOOK_HOSTS", "127.0.0.1")
    monkeypatch.setattr("signal.signal", lambda *_: None)

    def call(*words: str, code: ExitCode = ExitCode.OK) -> Any:
        capsys.readouterr()
        assert main(["webhooks", *words, "--json"]) == code
        said = capsys.readouterr()
        return json.loads(said.out) if said.out else said.err

    return call


def test_what_was_given_up_is_seen_and_sent_again(
    database: Database, runtime: Runtime, receiver: Receiver, recast: Callable[..., Any], messages: Messages
) -> None:
    # Given a webhook that has answered 410 Gone to the end of a batch
    added = recast("add", receiver.url(), "--events", "batch.done")
    number = str(added["webhook"])
    receiver.answer = lambda _: (410, {})
    assert unsaid(recast("test", number, code=ExitCode.INFRASTRUCTURE)["error"], "410") == []
    end(database, *database.jobs(2, batch=database.batch("winter"), state="saving"))
    slice_of(runtime)
    (row,) = recast("list")
    assert (row["dead"], row["waiting"], unsaid(row["disabled_note"], "410")) == (1, 0, [])
    assert recast("retry") == {"queued": 0}  # to a webhook that is off nothing is sent
    assert messages == []

    # When a person switches it on and has the message sent again
    receiver.answer = lambda _: (200, {})
    recast("on", number)
    (dead,) = recast("deliveries", "--dead")
    assert (dead["about"], dead["state"]) == ("winter", "dead")
    assert recast("retry", "--webhook", number) == {"queued": 1}
    assert [name for name, _, _ in messages] == ["deliver"]
    slice_of(runtime)

    # Then it came twice under one id
    types = [event["type"] for event in receiver.events(added["secret"])]
    assert types == ["webhook.test", "batch.done", "batch.done"]
    assert {receiver.received[1].id, receiver.received[2].id} == {dead["id"]}
    assert recast("deliveries", "--dead") == []
    assert recast("retry", dead["id"]) == {"queued": 0}  # what has arrived is not sent again


def test_what_a_page_counts_is_what_a_command_counts_up_to_a_number(
    database: Database, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    busy = webhook(database, runtime.settings, "https://example.com/")
    idle = webhook(database, runtime.settings, "https://example.com/idle")
    for ago, ended, error in ((9, True, None), (8, True, "404"), (7, False, "500"), (6, False, None)):
        database.sql(
            "INSERT INTO deliveries (webhook_id, event, data, created_at, next_at, delivered_at, error) VALUES (:id, "
            "'job.failed', '{}', now() - :ago * interval '1 hour', CASE WHEN NOT :ended THEN now() END, "
            "CASE WHEN :arrived THEN now() END, :error)",
            id=busy, ago=ago, ended=ended, arrived=ended and error is None, error=error,
        )  # fmt: skip

    exact, roughly = database.run(service.listed), database.run(service.listed, exact=False)
    assert roughly == exact
    assert [(each.id, each.waiting, each.delivered, each.dead, each.error) for each in exact] == [
        (busy, 2, 1, 1, "500"), (idle, 0, 0, 0, None),
    ]  # fmt: skip

    monkeypatch.setattr(service, "COUNTED", 1)
    monkeypatch.setattr(service, "LOOKED_AT", 1)
    few, _ = database.run(service.listed, exact=False)
    assert (few.waiting, few.delivered, few.dead) == (1, 0, 1), "the latest one that ended was given up"
    assert database.run(service.listed) == exact


def test_a_rotated_secret_signs_beside_the_old_one_for_a_while(receiver: Receiver, recast: Callable[..., Any]) -> None:
    added = recast("add", receiver.url())
    number = str(added["webhook"])
    new = recast("rotate", number)["secret"]
    assert recast("test", number)["status"] == 204
    newest = recast("rotate", number, "--keep", "0")["secret"]
    assert recast("test", number)["status"] == 204

    signed = [
        [is_signed_by(message, secret) for secret in (added["secret"], new, newest)] for message in receiver.received
    ]
    assert signed == [[True, True, False], [False, False, True]]


def test_a_webhook_goes_with_all_that_waits_for_it(
    database: Database, receiver: Receiver, recast: Callable[..., Any]
) -> None:
    number = str(recast("add", receiver.url(), "--batch", "winter")["webhook"])
    end(database, *database.jobs(2, batch=database.batch("winter"), state="saving"))
    recast("off", number)
    assert [row["state"] for row in recast("deliveries")] == ["dead"] * 3
    assert recast("list")[0]["disabled_note"]

    recast("remove", number)

    assert (recast("list"), rows(database)) == ([], [])
    assert unsaid(recast("test", number, code=ExitCode.USAGE), number) == []
    assert "RECAST_WEBHOOK_HOSTS" in recast("add", "http://10.0.0.1/", code=ExitCode.USAGE)
