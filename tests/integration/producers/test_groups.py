"""Producers' messages that a worker takes as one group: each ends as it would alone, whatever lies beside it."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from celery.exceptions import TaskRevokedError
from redis import Redis

from recast.errors import InvalidJobError
from sandbox import SandboxConfig
from tests.faults.producers import Producers
from tests.integration.producer import SOURCE, TARGET, produce
from tests.stack import ROOT, Stack, Worker, running, wait_for
from workers.messaging.broker import UNREADABLE

PAIR = {"source": SOURCE, "target": TARGET}
MANY = 40


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A deployment without a worker, whose account is paused: jobs are accepted, and stay queued."""
    home = tmp_path_factory.mktemp("groups")
    config = SandboxConfig(home=home / "sandbox", pictures="cheap", latency=0.1)
    with running(home, config, RECAST_PUBLIC_URL="http://127.0.0.1:9") as made:
        made.only("sandbox-zhiqite")
        yield made


@pytest.fixture
def producers(stack: Stack) -> Iterator[Producers]:
    with closing(Producers(stack)) as made:
        yield made


@pytest.fixture
def worker(stack: Stack) -> Iterator[Worker]:
    """A worker that is not started yet."""
    made = Worker(stack, "groups")
    yield made
    if made.process is not None:
        made.kill()
    stack.sql("SELECT 1")
    with stack.engine.begin() as connection:
        connection.exec_driver_sql("TRUNCATE jobs, attempts, announcements CASCADE")
    stack.redis.flushdb()


def pause(stack: Stack, *, paused: bool = True) -> None:
    """Have the account submit nothing, or go on."""
    until = "'infinity'" if paused else "NULL"
    with stack.engine.begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO accounts (name, provider) VALUES ('sandbox-zhiqite', 'zhiqite') ON CONFLICT DO NOTHING"
        )
        connection.exec_driver_sql(f"UPDATE accounts SET closed_until = {until}, closed_reason = 'paused'")  # noqa: S608


def groups_of(worker: Worker) -> list[int]:
    """How many messages the groups had that a worker took."""
    lines = [json.loads(line) for line in worker.log.read_text().splitlines() if "jobs_accepted" in line]
    return [line["messages"] for line in lines]


def jobs(stack: Stack) -> list[str]:
    return [row.id for row in stack.sql("SELECT id FROM jobs ORDER BY seq")]


def nothing_unacknowledged(stack: Stack) -> bool:
    return stack.broker_messages()["jobs"] == 0 and stack.broker_messages()["unacked"] == 0


def test_what_lies_beside_good_messages_harms_none(stack: Stack, producers: Producers, worker: Worker) -> None:
    pause(stack)
    good = [producers.send("swap", **PAIR) for _ in range(MANY)]
    bad = producers.send("swap", **PAIR, account="nobody")
    late = producers.send("swap", **PAIR)
    stale = producers.send_with({"expires": -1}, "swap", **PAIR)
    soon = producers.send_with({"countdown": 1}, "swap", **PAIR)
    stack.redis.lpush("jobs", b"no message at all")
    twice = stack.redis.lindex("jobs", -1)  # the first of the good ones
    assert twice is not None
    stack.redis.lpush("jobs", twice)

    worker.start()

    wait_for(lambda: set(jobs(stack)) == {*good, late, soon}, message="every good message is a job")
    wait_for(lambda: nothing_unacknowledged(stack), message="every message is acknowledged")
    with pytest.raises(InvalidJobError) as caught:
        producers.get(bad)
    assert caught.value.field == "account"
    with pytest.raises(TaskRevokedError):
        producers.get(stale)
    assert {producers.results[job_id].state for job_id in good} == {"STARTED"}
    assert stack.redis.llen(UNREADABLE) == 1
    assert max(groups_of(worker)) > 1, "they were no groups"


def consumed(producers: Producers) -> set[str]:
    """The queues that workers consume."""
    answers = producers.control.inspect(timeout=30, limit=1).active_queues() or {"": [{"name": "jobs"}]}
    return {queue["name"] for queues in answers.values() for queue in queues}


def test_a_revoked_message_of_a_group_is_no_job(stack: Stack, producers: Producers, worker: Worker) -> None:
    pause(stack)
    worker.start().wait_ready()
    producers.control.cancel_consumer("jobs", reply=True, timeout=30, limit=1)
    # The answer comes before the deed.
    wait_for(lambda: "jobs" not in consumed(producers), message="the queue is not consumed any more")
    sent = [producers.send("swap", **PAIR) for _ in range(5)]
    producers.control.revoke(sent[2], reply=True, timeout=30, limit=1)
    producers.control.add_consumer("jobs", exchange="jobs", routing_key="jobs", reply=True, timeout=30, limit=1)

    wait_for(lambda: len(jobs(stack)) == 4, message="the others are jobs")
    with pytest.raises(TaskRevokedError):
        producers.get(sent[2])
    wait_for(lambda: nothing_unacknowledged(stack), message="every message is acknowledged")
    assert sent[2] not in jobs(stack)


def test_a_worker_killed_between_commit_and_acknowledgement(stack: Stack, producers: Producers, worker: Worker) -> None:
    pause(stack)
    sent = {producers.send("swap", **PAIR) for _ in range(MANY)}
    point = stack.home / "failpoint"
    held = Worker(stack, "killed", RECAST_FAILPOINT="accepted", RECAST_FAILPOINT_FILE=str(point)).start()
    wait_for(point.exists, timeout=90, message="a group is committed, and not acknowledged")
    assert jobs(stack)
    held.kill()
    point.unlink()

    # The broker gives everything back that was not acknowledged: now, and not after the visibility timeout.
    for tag in stack.redis.zrange("unacked_index", 0, -1):
        assert isinstance(tag, bytes)
        stack.redis.zadd("unacked_index", {tag: 0})
    worker.start()
    wait_for(lambda: set(jobs(stack)) == sent, message="every message is a job")
    wait_for(lambda: nothing_unacknowledged(stack), timeout=60, message="every message is acknowledged")
    assert len(jobs(stack)) == len(sent), "a message is one job, however often it came"

    pause(stack, paused=False)
    stack.beat()  # whose sweep finds that the account is open again
    for job_id in sent:
        assert producers.get(job_id)["job"] == job_id
    paid = stack.sql("SELECT job_id, count(*) AS n FROM attempts GROUP BY job_id")
    assert {row.job_id: row.n for row in paid} == dict.fromkeys(sent, 1)


_ANNOUNCE = """
    import sys
    from workers.engine.runtime import runtime
    from workers.producers.completion import announce_jobs
    print(announce_jobs(runtime(), sys.argv[1:], "nobody@test"))
"""


def test_chords_whose_members_end_in_one_group_fire_once(stack: Stack, worker: Worker) -> None:
    pause(stack)
    bodies = produce(
        stack,
        f"""
        made = [chord([swap.s(**PAIR) for _ in range({MANY})])(tasks.total.s()) for _ in range(3)]
        answer([each.id for each in made])
        """,
    )
    worker.start()
    wait_for(lambda: len(jobs(stack)) == 3 * MANY, message="the members are jobs")
    wait_for(lambda: nothing_unacknowledged(stack), message="every message is acknowledged")
    worker.kill()  # so that nobody announces in between
    with stack.engine.begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO attempts (id, job_id, number, batch_id, account, operation, state, sent_at, deadline_at)"
            " SELECT gen_random_uuid(), id, 1, batch_id, 'sandbox-zhiqite', 'zhiqite.swap', 'done', now(), now()"
            " FROM jobs"
        )
        connection.exec_driver_sql("UPDATE jobs SET state = 'succeeded', finished_at = now()")
        connection.exec_driver_sql(
            "UPDATE jobs SET state = 'failed', reason = 'lost' WHERE id = (SELECT task_id FROM announcements"
            " WHERE (canvas::jsonb -> 'chord' -> 'options' ->> 'task_id') = %s LIMIT 1)",
            (bodies[1],),
        )

    told = run(stack, _ANNOUNCE, *jobs(stack))

    assert int(told) == 3 * MANY
    called = [json.loads(item)["headers"] for item in stack.redis.lrange("celery", 0, -1)]
    assert [each["task"] for each in called] == ["tasks.total"] * 2
    assert {each["id"] for each in called} == {bodies[0], bodies[2]}
    with Redis.from_url(stack.env["RECAST_RESULT_URL"]) as results:
        assert json.loads(results.get(f"celery-task-meta-{bodies[1]}"))["status"] == "FAILURE"
    assert {len(stack.sql("SELECT 1 FROM announcements WHERE announced_at IS NULL"))} == {0}


def test_a_notice_that_cannot_be_sent_harms_no_other(stack: Stack, producers: Producers, worker: Worker) -> None:
    pause(stack)
    sent = [producers.send("swap", **PAIR) for _ in range(3)]
    worker.start()
    wait_for(lambda: len(jobs(stack)) == len(sent), message="they are jobs")
    worker.kill()
    with stack.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE jobs SET state = 'failed', reason = 'lost', finished_at = now()")
        connection.exec_driver_sql("UPDATE announcements SET canvas = '{}' WHERE task_id = %s", (sent[0],))

    told = run(stack, _ANNOUNCE, *sent)

    assert int(told) == 2
    left = stack.sql("SELECT task_id FROM announcements WHERE announced_at IS NULL")
    assert [row.task_id for row in left] == [sent[0]], "it is left to the sweep"


def run(stack: Stack, script: str, *arguments: str) -> Any:
    """The last line that a program of a worker's code prints."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), *arguments],
        cwd=ROOT, env=stack.env, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]
