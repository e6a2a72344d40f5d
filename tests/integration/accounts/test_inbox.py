"""PiktID's inbox serves a whole account: every job gets its own picture, whoever reads it."""

from __future__ import annotations

from pathlib import Path

from sandbox import SandboxConfig
from tests.invariants import check_all
from tests.stack import PORTRAITS, running
from workers.jobs import request

JOBS = 200
SWAP = request.JobRequest("swap", source=str(PORTRAITS / "astronaut.png"), target=str(PORTRAITS / "grace_hopper.jpg"))


def test_two_workers_share_an_inbox_and_a_single_use_token(tmp_path: Path) -> None:
    # Given a session that expires in the middle of the run, and two workers
    config = SandboxConfig(home=tmp_path / "sandbox", pictures="cheap", latency=8.0, tokens_expire=6.0)
    with running(tmp_path, config) as stack:
        stack.only("sandbox-piktid")
        stack.configure(**{"sandbox-piktid": {"max_in_flight": JOBS}})
        stack.insert([SWAP] * JOBS)
        stack.beat()
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
        assert 1 <= calls["piktid.refresh"]["tokens"] <= 4
        assert stack.sql("SELECT session_refresh_at FROM accounts WHERE name = 'sandbox-piktid'")[0][0] is None
        check_all(stack)
