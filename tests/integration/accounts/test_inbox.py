"""PiktID's inbox serves a whole account: every job gets its own picture, whoever reads it."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from sqlalchemy import text

from sandbox import SandboxConfig
from tests.invariants import check_all
from tests.stack import PORTRAITS, crowding, running, wait_for
from workers.jobs import request

JOBS = 200
TOKEN_SECONDS = 6.0
SWAP = request.JobRequest("swap", source=str(PORTRAITS / "astronaut.png"), target=str(PORTRAITS / "grace_hopper.jpg"))


@pytest.mark.long
def test_after_an_outage_longer_than_events_live_every_picture_of_the_history_is_delivered(tmp_path: Path) -> None:
    # Given 200 jobs that PiktID took, then no worker until every event has vanished and every deadline has passed
    config = SandboxConfig(
        home=tmp_path / "sandbox", pictures="cheap", latency=15.0 * crowding(), inbox_expire=2.0, files_expire=None
    )
    with running(tmp_path, config) as stack:
        stack.only("sandbox-piktid")
        stack.configure(**{"sandbox-piktid": {"max_in_flight": JOBS, "deadline": config.latency + 10}})
        stack.sandbox.add_fault("fail", where={"provider": "piktid"}, times=5, error="no_face")
        stack.insert([SWAP] * JOBS)
        stack.beat()
        worker = stack.worker("before")
        accepted = "SELECT count(*) FROM attempts WHERE accepted_at IS NOT NULL"
        wait_for(lambda: stack.sql(accepted)[0][0] == JOBS, timeout=120, message="every job is accepted")
        worker.kill()
        undelivered = stack.sql("SELECT count(*) FROM jobs WHERE state = 'running'")[0][0]
        assert undelivered > JOBS / 2
        late = "SELECT bool_and(deadline_at < clock_timestamp()) FROM attempts"
        wait_for(lambda: stack.sql(late)[0][0], timeout=120, message="every deadline has passed")

        # When workers are back
        for name in ("one", "two"):
            stack.worker(name)

        # Then every picture is delivered, paid once, what failed says so by its reason, and nothing was given up
        assert stack.wait_settled(timeout=120) == {"succeeded": JOBS - 5, "rejected": 5}
        assert {row.reason for row in stack.sql("SELECT reason FROM jobs WHERE state = 'rejected'")} == {"no_face"}
        assert len(stack.sandbox.bill()) == JOBS
        assert stack.sandbox.stats()["by_operation"]["piktid.history"]["polls"] >= undelivered
        check_all(stack)


def test_an_identity_that_piktid_has_forgotten_is_uploaded_anew_at_no_cost(tmp_path: Path) -> None:
    with running(tmp_path, SandboxConfig(home=tmp_path / "sandbox", pictures="cheap", latency=1.0)) as stack:
        stack.only("sandbox-piktid")
        stack.beat()
        stack.worker().wait_ready()
        stack.insert([SWAP], batch="first")
        assert stack.wait_settled() == {"succeeded": 1}
        (upload,) = stack.sql("SELECT expires_at > clock_timestamp() AS ages FROM uploads")
        assert upload.ages
        with stack.engine.begin() as connection:
            connection.execute(text("UPDATE uploads SET handle = 'gone', created_at = created_at - interval '1 hour'"))

        stack.insert([SWAP] * 10, batch="second")

        assert stack.wait_settled() == {"succeeded": 11}
        assert {row.number for row in stack.sql("SELECT number FROM attempts")} == {1}
        assert len(stack.sandbox.bill()) == 11
        assert stack.sql("SELECT handle <> 'gone' AS anew FROM uploads") == [(True,)]
        check_all(stack)


@pytest.mark.long
def test_two_workers_share_an_inbox_and_a_single_use_token(tmp_path: Path) -> None:
    # Given a session that expires in the middle of the run, and two workers
    config = SandboxConfig(home=tmp_path / "sandbox", pictures="cheap", latency=8.0, tokens_expire=TOKEN_SECONDS)
    with running(tmp_path, config) as stack:
        stack.only("sandbox-piktid")
        stack.configure(**{"sandbox-piktid": {"max_in_flight": JOBS}})
        stack.insert([SWAP] * JOBS)
        stack.beat()
        began = time.monotonic()
        workers = [stack.worker(name) for name in ("one", "two")]
        for worker in workers:
            worker.wait_ready()

        # When all jobs have run
        states = stack.wait_settled(timeout=120)

        # Then every job has its own picture
        assert states == {"succeeded": JOBS}
        own = stack.sql(
            "SELECT count(DISTINCT a.handle) AS handles, count(DISTINCT r.sha256) AS pictures"
            " FROM attempts a JOIN results r ON r.attempt_id = a.id"
        )
        assert (own[0].handles, own[0].pictures) == (JOBS, JOBS)
        # and the inbox was never read too soon, the identity was uploaded once, and the session was begun once,
        # then renewed by one of the workers whenever it had expired: a refresh token used twice would have ended it
        stats = stack.sandbox.stats()
        calls = stats["by_operation"]
        assert not any(stats["too_soon"].values())
        assert stack.sql("SELECT count(*) AS n FROM uploads")[0].n == 1
        assert calls["piktid.login"]["tokens"] == 1
        # A token is renewed only when it has expired: more often in a slower run, and not once for each worker.
        lives = (time.monotonic() - began) / TOKEN_SECONDS
        assert 1 <= calls["piktid.refresh"]["tokens"] <= lives
        assert stack.sql("SELECT session_refresh_at FROM accounts WHERE name = 'sandbox-piktid'")[0][0] is None
        check_all(stack)
