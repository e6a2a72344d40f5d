"""A producer's job: committed with its announcement, or refused and not there; the same task twice is one job."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from celery.app.task import Context
from hypothesis import given
from hypothesis import strategies as st

from models.availability import is_unavailable
from recast.errors import InvalidJobError
from tests.words import names
from workers.jobs.fingerprint import fingerprint
from workers.jobs.request import MAX_KEY, JobRequest
from workers.producers.accept import accept
from workers.producers.check import TaskMessage

if TYPE_CHECKING:
    from tests.integration.database import Cluster, Database, Messages, RuntimeFactory
    from workers.engine.runtime import Runtime

pytest_plugins = ["tests.integration.database"]

PAIR: dict[str, Any] = {"source": "https://example.com/a.jpg", "target": "https://example.com/b.jpg"}


@pytest.fixture
def runtime(make_runtime: RuntimeFactory) -> Runtime:
    """A worker with two accounts at the same provider."""
    return make_runtime(main={}, other={})


def asked(task_id: str = "task", **arguments: Any) -> TaskMessage:
    """A message of the task `swap`."""
    expires = arguments.pop("expires", None)
    delivery = {"redelivered": arguments.pop("redelivered", False)}
    request = Context(id=task_id, expires=expires, args=(), kwargs={}, delivery_info=delivery)
    return TaskMessage("swap", (), {**PAIR, **arguments}, request)


def send(runtime: Runtime, task_id: str = "task", **arguments: Any) -> str:
    """What a group of one message comes to."""
    (outcome,) = accept(runtime, [asked(task_id, **arguments)])
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


def test_a_job_and_who_waits_for_it(database: Database, runtime: Runtime, messages: Messages) -> None:
    expires = datetime.now(UTC) + timedelta(hours=1)
    assert send(runtime, "task-1", priority=5, options={}, dedupe_key="k", expires=expires.isoformat()) == "task-1"

    (job,) = database.sql("SELECT * FROM jobs")
    assert (job.id, job.kind, job.state, job.lane) == ("task-1", "swap", "queued", "zhiqite.swap")
    assert (job.source, job.target, job.priority, job.batch_id) == (PAIR["source"], PAIR["target"], 5, 0)
    assert (job.dedupe_key, job.expires_at) == ("k", expires)
    (announcement,) = database.sql("SELECT * FROM announcements")
    assert (announcement.task_id, announcement.job_id, announcement.announced_at) == ("task-1", "task-1", None)
    assert json.loads(announcement.canvas)["id"] == "task-1"
    assert sorted(messages.pumps) == ["submit:main", "submit:other"], "every account that could take it"


def test_only_who_can_take_it_is_woken(runtime: Runtime, messages: Messages) -> None:
    send(runtime, account="other")

    assert messages.pumps == ["submit:other"]


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"target": None}, "target"),
        ({"target": 7}, "target"),
        ({"source": {"results": []}}, "source"),
        ({"source": {"results": [{"key": "no uri"}]}}, "source"),
        ({"account": "nobody"}, "account"),
        ({"account": 7}, "account"),
        ({"provider": ["zhiqite"]}, "provider"),
        ({"options": "fast"}, "options"),
        ({"priority": "high"}, "priority"),
        ({"priority": True}, "priority"),
        ({"priority": 101}, "priority"),
        ({"dedupe_key": ""}, "dedupe_key"),
        ({"dedupe_key": "k" * (MAX_KEY + 1)}, "dedupe_key"),
        ({"dedupe_key": "a\0b"}, "dedupe_key"),
        ({"dedupe_key": 7}, "dedupe_key"),
    ],
)
def test_what_is_wrong_is_told_and_leaves_nothing(
    database: Database, runtime: Runtime, messages: Messages, arguments: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvalidJobError) as caught:
        send(runtime, **arguments)

    assert caught.value.field == field
    assert database.sql("SELECT 1 FROM jobs UNION ALL SELECT 1 FROM announcements") == []
    assert messages == []


def test_another_jobs_result_stands_for_its_first_picture(database: Database, runtime: Runtime) -> None:
    send(runtime, source={"job": "x", "results": [{"uri": "https://example.com/1.jpg"}, {"uri": "no"}]})

    assert database.one("SELECT source FROM jobs") == "https://example.com/1.jpg"


def test_a_redelivered_task_is_the_same_job(database: Database, runtime: Runtime, messages: Messages) -> None:
    for _ in range(3):
        assert send(runtime, "task-1") == "task-1"

    assert database.one("SELECT count(*) FROM jobs") == 1
    assert database.one("SELECT count(*) FROM announcements") == 1
    assert messages.pumps == ["submit:main", "submit:other"], "those messages are out already"


@pytest.mark.parametrize(("state", "again"), [("succeeded", True), ("canceled", True), ("held", False)])
def test_a_redelivered_task_of_an_ended_job_is_announced_once_more(
    database: Database, runtime: Runtime, messages: Messages, state: str, again: bool
) -> None:
    send(runtime, "task-1")
    database.sql("UPDATE jobs SET state = :state, finished_at = now()", state=state)
    database.sql("UPDATE announcements SET announced_at = now()")
    messages.clear()
    send(runtime, "task-1")

    assert database.one("SELECT announced_at FROM announcements") is None
    assert messages.announced == (["task-1"] if again else [])


def test_many_with_one_dedupe_key_share_one_job(database: Database, runtime: Runtime) -> None:
    assert runtime.accounts
    with ThreadPoolExecutor(12) as pool:
        jobs = set(pool.map(lambda number: send(runtime, f"task-{number}", dedupe_key="key"), range(12)))

    assert len(jobs) == 1
    assert database.one("SELECT count(*) FROM jobs") == 1
    assert database.one("SELECT count(*) FROM announcements WHERE job_id = :id", id=jobs.pop()) == 12


def test_who_shares_an_ended_job_is_told_at_once(database: Database, runtime: Runtime, messages: Messages) -> None:
    send(runtime, "task-1", dedupe_key="key")
    database.sql("UPDATE jobs SET state = 'succeeded', finished_at = now()")
    messages.clear()

    assert send(runtime, "task-2", dedupe_key="key") == "task-1"
    assert messages == [("announce", (["task-1"],), {})]


def test_a_key_or_an_id_of_another_job_is_refused(database: Database, runtime: Runtime) -> None:
    send(runtime, "task-1", dedupe_key="key")

    with pytest.raises(InvalidJobError, match=names("dedupe_key", "key", "task-1")):
        send(runtime, "task-2", dedupe_key="key", source="https://example.com/c.jpg")
    with pytest.raises(InvalidJobError, match=names("task_id", "task-1")):
        send(runtime, "task-1", source="https://example.com/c.jpg")
    assert database.one("SELECT count(*) FROM announcements") == 1


@given(st.dictionaries(st.text(max_size=3), st.integers() | st.text(max_size=3), max_size=4), st.randoms())
def test_a_fingerprint_does_not_depend_on_the_order_of_options(options: dict[str, Any], random: Any) -> None:
    shuffled = list(options.items())
    random.shuffle(shuffled)
    ask = JobRequest("swap", **PAIR, options=options)

    assert fingerprint(ask) == fingerprint(JobRequest("swap", **PAIR, options=dict(shuffled)))
    assert fingerprint(ask) != fingerprint(JobRequest("swap", **PAIR, options={**options, "more": 1}))


@pytest.mark.parametrize(
    "change",
    [{"source": "x"}, {"prompt": "x"}, {"account": "x"}, {"provider": "x"}, {"operation": "x"}, {"options": {"x": 1}}],
)
def test_whatever_decides_the_picture_is_in_the_fingerprint(change: dict[str, Any]) -> None:
    assert fingerprint(JobRequest("swap", **PAIR)) != fingerprint(JobRequest("swap", **{**PAIR, **change}))


def test_a_bad_message_of_a_group_harms_no_other(database: Database, runtime: Runtime, messages: Messages) -> None:
    group = [asked("1"), asked("2", account="nobody"), asked("3", colour="red"), asked("4")]

    first, second, third, fourth = accept(runtime, group)

    assert (first, fourth) == ("1", "4")
    assert isinstance(second, InvalidJobError)
    assert isinstance(third, InvalidJobError)
    assert (second.field, third.field) == ("account", "colour")
    assert [row.id for row in database.sql("SELECT id FROM jobs ORDER BY seq")] == ["1", "4"]
    assert database.one("SELECT count(*) FROM announcements") == 2
    assert messages.pumps == ["submit:main", "submit:other"], "once for the group"


def test_a_message_that_the_database_refuses_is_alone_with_it(database: Database, runtime: Runtime) -> None:
    group = [*(asked(f"before-{number}") for number in range(5)), asked("a\0b"), asked("after")]

    *good, bad, last = accept(runtime, group)

    assert isinstance(bad, Exception)
    assert (good, last) == ([f"before-{number}" for number in range(5)], "after")
    assert database.one("SELECT count(*) FROM jobs") == 6


def test_a_group_that_comes_twice_is_there_once(database: Database, runtime: Runtime) -> None:
    group = [asked(f"task-{number}", redelivered=True) for number in range(40)]
    ids = [f"task-{number}" for number in range(40)]

    assert accept(runtime, group) == ids
    assert accept(runtime, [*group, *group]) == [*ids, *ids], "also twice in one group"
    assert database.one("SELECT count(*) FROM jobs") == 40
    assert database.one("SELECT count(*) FROM announcements") == 40


def test_a_key_is_shared_within_a_group(database: Database, runtime: Runtime) -> None:
    group = [
        asked("1", dedupe_key="key"),
        asked("2", dedupe_key="key"),
        asked("3", dedupe_key="key", source="https://example.com/c.jpg"),
    ]

    first, second, other = accept(runtime, group)

    assert (first, second) == ("1", "1")
    assert isinstance(other, InvalidJobError)
    assert other.field == "dedupe_key"
    assert database.one("SELECT count(*) FROM announcements WHERE job_id = '1'") == 2


def test_a_database_that_is_away_is_told_for_every_message(
    cluster: Cluster, database: Database, runtime: Runtime
) -> None:
    with cluster.away(database.url):
        outcomes = accept(runtime, [asked("1"), asked("2")])

    assert all(isinstance(outcome, Exception) and is_unavailable(outcome) for outcome in outcomes)
    assert accept(runtime, [asked("1"), asked("2")]) == ["1", "2"]
