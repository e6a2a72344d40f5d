"""Webhooks as people see and change them: what was given up, counts, secrets, removal."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from cli.exit_codes import ExitCode
from cli.main import main
from tests.integration.receiver import Receiver, is_signed_by
from tests.integration.webhooks.hooks import SECRET_KEY, end, rows, slice_of, webhook
from tests.words import unsaid
from workers.engine.runtime import Runtime
from workers.webhooks import service

if TYPE_CHECKING:
    from tests.integration.database import Database, Messages

pytest_plugins = ["tests.integration.database"]
pytestmark = pytest.mark.usefixtures("no_patience")


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
    (said,) = database.sql("SELECT subject, detail FROM audit WHERE action = 'webhooks retry' ORDER BY id DESC LIMIT 1")
    assert tuple(said) == ("webhook", {"delivery": [dead["id"]]})


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
