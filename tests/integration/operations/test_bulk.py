"""Bulk operations: what people do to many jobs, by the same filters, with counts, money and pumps kept right."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import typer

from catalog.errors import UnknownBatchError, UnknownJobError
from cli.filters import JobSelection
from models.states import AttemptState, JobState, Reason
from tests.stack import crowding
from tests.words import names, unsaid
from workers.config.accounts import ahead_of
from workers.engine import begin, claims
from workers.jobs.filters import EVERY, Filter, ids_of
from workers.jobs.state_changes import AttemptMove
from workers.jobs.transitions import move_attempts
from workers.operations import bulk
from workers.operations.costs import at_most, promised

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from tests.integration.database import Database, Messages, RuntimeFactory
    from workers.engine.runtime import Runtime

pytest_plugins = ["tests.integration.database"]

PRICES = {"swap": "0.02 USD", "swap_v2": "0.03 USD"}
QOLABA = {
    "provider": "qolaba", "token": "t", "prices": {"consistency": "0.03 USD/picture", "avatar": "0.01 USD"},
    "access_key_id": None, "access_key_secret": None,
}  # fmt: skip
CANCELED_WITHIN = 5.0  # seconds for 100,000 queued jobs


@pytest.fixture
def runtime(make_runtime: RuntimeFactory) -> Runtime:
    """A process with two accounts that can do the same, one of them dearer."""
    return make_runtime(main={"prices": PRICES}, other={"prices": {**PRICES, "swap": "0.05 USD"}})


def states(database: Database) -> dict[str, str]:
    return {row.id: row.state for row in database.sql("SELECT id, state FROM jobs")}


# --- Which jobs ----------------------------------------------------------------------------------------------------


def test_a_filter_names_jobs_by_everything_that_is_known_of_them(database: Database, runtime: Runtime) -> None:
    season = database.batch("season")
    database.sql("UPDATE batches SET label = 'spring' WHERE name = 'season'")
    one, two = database.jobs(2, batch=season)
    three, four = database.jobs(2, state="failed", reason="lost", account="other")
    database.attempt(three, "expired", account="'main'")
    database.sql("UPDATE jobs SET created_at = now() - interval '3 h' WHERE id = :id", id=two)

    def found(**which: Any) -> set[str]:
        return set(runtime.db(ids_of, Filter(**which)))

    assert found() == {one, two, three, four}
    assert found(batch="season") == found(label="spring") == found(states=["queued"]) == {one, two}
    assert found(reason="lost") == found(states=["failed", "held"]) == {three, four}
    assert found(account="main") == found(operation="zhiqite.swap") == {three}, "the latest attempt's"
    assert found(account="other") == {four}, "or what was pinned"
    assert found(older=7_200) == {two}
    assert found(newer=7_200) == {one, three, four}
    assert found(ids=[one, four], states=["failed"]) == {four}
    assert found(ids=[]) == set()
    assert found(batch="' OR true --") == set()


def test_a_word_names_one_batch_or_jobs_and_never_both(database: Database, runtime: Runtime) -> None:
    one, _ = database.jobs(2, batch=database.batch("season"))
    (other,) = database.jobs(1)

    def selected(*words: str, **which: Any) -> Filter:
        return JobSelection(words, Filter(**which)).resolve(runtime)

    assert selected("season") == Filter(batch="season"), "also where jobs are added later"
    assert selected("season", reason="lost") == Filter(batch="season", reason="lost")
    assert selected(one) == selected(f"season/{one}") == Filter(ids=[one])
    assert selected(one, other, batch="season") == Filter(ids=[one, other], batch="season")
    with pytest.raises(UnknownBatchError, match=names("seasn", "season")):
        selected("seasn")
    for words in (("nothing like it",), ("season", one)):
        with pytest.raises(UnknownJobError, match=names(words[0])):
            selected(*words)
    database.sql("UPDATE jobs SET key = 'season' WHERE id = :id", id=other)
    with pytest.raises(typer.BadParameter, match=names("season", "--batch")):
        selected("season")


def test_money_is_told_at_the_dearest_account_that_could_take_a_job(database: Database, runtime: Runtime) -> None:
    database.jobs(3)
    database.jobs(2, lane="main@zhiqite.swap")
    database.jobs(1, lane="!@zhiqite.swap_v2")
    database.jobs(1, lane="hidream.variation")
    (running,) = database.jobs(1, state="running")
    database.attempt(running, cost="0.05", account="'other'")

    lines = {
        (line.account, line.operation): (line.jobs, line.cost, line.priced)
        for line in runtime.db(at_most, Filter(states=["queued"]), runtime.accounts, 1)
    }
    assert lines == {
        ("other", "zhiqite.swap"): (3, Decimal("0.15"), True),
        ("main", "zhiqite.swap"): (2, Decimal("0.04"), True),
        ("main", "zhiqite.swap_v2"): (1, Decimal("0.03"), True),
        ("(no account)", "hidream.variation"): (1, Decimal(0), True),
    }
    (line,) = runtime.db(promised, EVERY)
    assert (line.account, line.jobs, line.cost) == ("other", 1, Decimal("0.05"))


# --- Cancel and retry ----------------------------------------------------------------------------------------------


def test_queued_jobs_are_canceled_and_paid_ones_only_when_abandoned(
    database: Database, runtime: Runtime, messages: Messages
) -> None:
    batch = database.batch()
    queued, running, held, saving, done = (
        database.jobs(1, batch=batch, state=state)[0] for state in ("queued", "running", "held", "saving", "succeeded")
    )
    (single,) = database.jobs(1)
    database.attempt(running)
    database.sql("INSERT INTO announcements (task_id, job_id, canvas) VALUES ('task', :job, '')", job=single)
    everything = runtime.db(ids_of, EVERY)

    assert bulk.cancel(runtime, everything) == 2
    assert {job for job, state in states(database).items() if state == "canceled"} == {queued, single}
    assert messages.announced == [single]
    assert bulk.cancel(runtime, everything, abandon=True) == 2
    assert states(database) == dict.fromkeys((queued, single, running, held), "canceled") | {
        saving: "saving", done: "succeeded"
    }  # fmt: skip
    assert database.counts(batch) == {"canceled": 3, "saving": 1, "succeeded": 1}
    assert database.one("SELECT state FROM attempts") == "running", "it is paid for, and looked at for the books"
    assert {row.reason for row in database.sql("SELECT reason FROM jobs WHERE state = 'canceled'")} == {"canceled"}


def test_a_canceled_job_that_is_being_prepared_is_not_sent(database: Database, runtime: Runtime) -> None:
    account = runtime.account("main")
    database.jobs(2)
    ready = database.ready(database.run(claims.claim, account, 2))
    bulk.cancel(runtime, [ready[0].claim.job_id])
    begun = database.run(begin.begin, account, ready)

    assert begun.started == {ready[1].claim.reference}


def test_a_retry_keeps_the_whole_story_and_gets_another_attempt(
    database: Database, runtime: Runtime, messages: Messages
) -> None:
    batch = database.batch()
    (failed,) = database.jobs(1, batch=batch, state="failed", reason="timed_out", error="no result")
    for number in (1, 2, 3):
        database.attempt(failed, "expired", number=number, cost="0.02", handle=f"'h{number}'")
    (expired,) = database.jobs(1, batch=batch, state="canceled", reason="expired", expires_at="2026-01-31T00:00:00Z")
    (abandoned,) = database.jobs(1, batch=batch, state="canceled", reason="canceled")
    database.attempt(abandoned, "running")
    (rejected,) = database.jobs(1, batch=batch, state="rejected")

    states_named = [JobState.FAILED, JobState.CANCELED]
    ended = runtime.db(bulk.retryable, Filter(states=states_named))
    assert list(ended) == sorted([failed, expired]), "what is still at a provider would be paid for twice"
    assert bulk.retry(runtime, ended) == 2

    assert states(database)[rejected] == "rejected"
    assert database.counts(batch) == {"queued": 2, "canceled": 1, "rejected": 1}
    assert {"submit:main", "submit:other"} <= set(messages.pumps)
    (job,) = database.sql("SELECT reason, error, finished_at, expires_at FROM jobs WHERE id = :id", id=expired)
    assert tuple(job) == (None, None, None, None), "else it would expire again at once"
    claimed = {claim.job_id: claim for claim in database.run(claims.claim, runtime.account("main"), 5)}
    assert claimed[failed].last_number == 3
    begun = database.run(begin.begin, runtime.account("main"), database.ready([claimed[failed]]))
    assert len(begun.started) == 1
    rows = database.sql("SELECT number, handle, cost FROM attempts WHERE job_id = :id ORDER BY number", id=failed)
    assert [tuple(row) for row in rows[:3]] == [(n, f"h{n}", Decimal("0.02")) for n in (1, 2, 3)]


def test_a_job_that_was_queued_again_and_canceled_since_stays_canceled(database: Database, runtime: Runtime) -> None:
    first, second = database.jobs(2, state="failed", finished_at="2026-01-31T00:00:00Z")
    ended = runtime.db(bulk.retryable, Filter(ids=[first, second]))
    bulk.retry(runtime, {first: ended[first]})
    bulk.cancel(runtime, [first])
    assert bulk.retry(runtime, ended) == 1
    assert states(database) == {first: "canceled", second: "queued"}


@pytest.mark.alone
def test_a_hundred_thousand_queued_jobs_are_canceled_at_once(database: Database, runtime: Runtime) -> None:
    batch = database.batch()
    database.sql(
        "INSERT INTO jobs (id, key, kind, lane, batch_id, source, target) SELECT 'j' || n, n, 'swap', 'zhiqite.swap',"
        " :batch, 'https://example.com/a.jpg', 'https://example.com/b.jpg' FROM generate_series(1, 100000) AS n",
        batch=batch,
    )
    database.sql("UPDATE batches SET queued = 100000 WHERE id = :id", id=batch)
    database.sql("ANALYZE jobs")
    started = time.monotonic()
    canceled = bulk.cancel(runtime, runtime.db(ids_of, Filter(batch="batch", states=bulk.CANCELABLE)))
    took = time.monotonic() - started

    assert canceled == 100_000
    assert took < CANCELED_WITHIN * crowding()
    assert database.counts(batch) == {"canceled": 100_000}


# --- Pause and resume ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["batch", "jobs"])
def test_what_is_paused_is_neither_claimed_nor_begun(
    database: Database, runtime: Runtime, messages: Messages, how: str
) -> None:
    account = runtime.account("main")
    batch, other = database.batch("season"), database.batch("other")
    ids = database.jobs(4, batch=batch)
    (left,) = database.jobs(1, batch=other)
    prepared = database.ready(database.run(claims.claim, account, 2))
    paused_first = {item.claim.job_id for item in prepared} & set(ids)
    which = Filter(batch="season") if how == "batch" else Filter(batch="season", newer=3_600)
    paused = bulk.pause(runtime, which)

    assert paused == (bulk.Paused((batch,), 0) if how == "batch" else bulk.Paused((), 4))
    assert paused_first
    begun = database.run(begin.begin, account, prepared)
    assert {row.job_id for row in database.sql("SELECT job_id FROM attempts")} == {left}
    assert len(begun.started) == 1
    assert database.run(claims.claim, account, 10) == []
    assert database.run(claims.next_claim_in, account) is None
    assert database.counts(batch) == {"queued": 4}
    assert runtime.db(bulk.paused, EVERY) == ids

    resumed = bulk.resume(runtime, which)
    assert resumed == (bulk.Paused((batch,), 0) if how == "batch" else bulk.Paused((), 4))
    assert {claim.job_id for claim in database.run(claims.claim, account, 10)} == set(ids), "nothing is lost"
    assert "submit:main" in messages.pumps
    assert runtime.db(bulk.paused, EVERY) == []


def test_a_job_at_a_provider_stays_paused_when_it_is_queued_again(database: Database, runtime: Runtime) -> None:
    account = runtime.account("main")
    (job,) = database.jobs(1)
    database.start(account)
    bulk.pause(runtime, Filter(ids=[job]))
    database.sql("UPDATE attempts SET state = 'not_sent'")
    database.sql("UPDATE jobs SET state = 'queued'")

    assert database.run(claims.claim, account, 1) == []
    bulk.resume(runtime, Filter(ids=[job]))
    assert [claim.job_id for claim in database.run(claims.claim, account, 1)] == [job]


def test_pausing_twice_and_resuming_twice_is_harmless(database: Database, runtime: Runtime) -> None:
    ids = database.jobs(2)
    assert [bulk.pause(runtime, Filter(ids=ids)).jobs for _ in range(2)] == [2, 0]
    assert [bulk.resume(runtime, Filter(ids=ids)).jobs for _ in range(2)] == [2, 0]
    assert {row.lane for row in database.sql("SELECT lane FROM jobs")} == {"zhiqite.swap"}


@pytest.mark.parametrize("how", ["batch", "jobs"])
def test_a_pause_waits_for_what_is_being_sent(database: Database, runtime: Runtime, how: str) -> None:
    batch = database.batch("season")
    ids = database.jobs(3, batch=batch)
    database.start(runtime.account("main"), 2)
    paused = bulk.pause(runtime, Filter(batch="season") if how == "batch" else Filter(ids=ids))
    seen: list[int] = []
    assert bulk.settle(runtime, paused.batches, 0.0, lambda still: seen.append(still.total())) == {"main": 2}

    waiting = database.aside(bulk.settle, runtime, paused.batches, 30.0, lambda still: seen.append(still.total()))
    sent = [row.id for row in database.sql("SELECT id FROM attempts")]
    assert not waiting.done()
    database.run(move_attempts, [AttemptMove(sent[0], AttemptState.RUNNING, accepted=True)])
    database.run(move_attempts, [AttemptMove(sent[1], AttemptState.UNKNOWN, reason=Reason.UNCLEAR_SUBMIT)])
    assert waiting.result(30) == Counter()
    assert seen[0] == 2


def test_a_pause_and_a_begin_at_the_same_time(database: Database, runtime: Runtime) -> None:
    """Whatever comes first: each attempt that is begun is seen by the one who pauses."""
    account = runtime.account("main")
    batch = database.batch("season")
    database.jobs(60, batch=batch)
    groups = [database.ready(database.run(claims.claim, account, 3)) for _ in range(20)]
    found: list[Counter[str]] = []

    def pause(_: Session) -> None:
        paused = bulk.pause(runtime, Filter(batch="season"))
        found.append(runtime.db(bulk.sending, paused.batches))

    def start(session: Session, ready: list[begin.Ready]) -> None:
        begin.begin(session, account, ready)

    works: list[Callable[[Session], None]] = [partial(start, ready=group) for group in groups]
    database.together([*works, pause])

    assert found[0]["main"] == database.one("SELECT count(*) FROM attempts")


# --- Reroute, set priority, failover -------------------------------------------------------------------------------


def test_jobs_go_to_another_account_as_far_as_it_can_do_them(database: Database, runtime: Runtime) -> None:
    pinned, free, v2 = (
        database.jobs(1, lane=lane, operation=operation)[0]
        for lane, operation in (
            ("main@zhiqite.swap", None), ("zhiqite.swap", "zhiqite.swap"), ("zhiqite.swap_v2", "zhiqite.swap_v2")
        )
    )  # fmt: skip
    (foreign,) = database.jobs(1, lane="!@hidream.variation", kind="swap", operation="hidream.variation")
    (running,) = database.jobs(1, state="running")
    to = runtime.account("other")
    everything = runtime.db(ids_of, EVERY)
    dry = bulk.reroute(runtime, everything, to, dry_run=True)
    assert {row.lane for row in database.sql("SELECT lane FROM jobs WHERE lane LIKE 'other@%'")} == set()
    real = bulk.reroute(runtime, everything, to)

    assert dry == real
    assert real.ids == sorted([pinned, free, v2, foreign])
    assert {(line.account, line.operation): line.cost for line in real.lines} == {
        ("other", "zhiqite.swap"): Decimal("0.30"), ("other", "zhiqite.swap_v2"): Decimal("0.06")
    }  # fmt: skip
    rows = {row.id: (row.lane, row.operation) for row in database.sql("SELECT id, lane, operation FROM jobs")}
    assert rows[pinned] == ("other@zhiqite.swap", None)
    assert rows[free] == ("other@zhiqite.swap", "zhiqite.swap")
    assert rows[v2] == ("other@zhiqite.swap_v2", "zhiqite.swap_v2")
    assert rows[foreign] == ("!@other@zhiqite.swap", None), "still paused"
    assert rows[running] == ("zhiqite.swap", None)


def test_a_job_that_an_account_cannot_do_stays_where_it_is(database: Database, runtime: Runtime) -> None:
    (job,) = database.jobs(1, options='{"fidelity_weight": 0.5}', lane="zhiqite.swap_v2")
    (strange,) = database.jobs(1, prompt="a prompt")
    found = bulk.reroute(runtime, [job, strange], runtime.account("other"))

    assert found.ids == [job]
    (problem,) = found.problems
    assert unsaid(problem, "prompt", "zhiqite.swap") == []
    assert database.one("SELECT lane FROM jobs WHERE id = :id", id=strange) == "zhiqite.swap"


def test_a_job_that_is_rerouted_while_it_is_prepared_is_not_sent_where_it_was(
    database: Database, runtime: Runtime
) -> None:
    main, other = runtime.account("main"), runtime.account("other")
    (job,) = database.jobs(1)
    prepared = database.ready(database.run(claims.claim, main, 1))
    bulk.reroute(runtime, [job], other)

    assert database.run(begin.begin, main, prepared).started == frozenset()
    assert database.run(claims.claim, main, 1) == []
    assert [claim.job_id for claim in database.run(claims.claim, other, 1)] == [job]


def test_a_higher_priority_goes_first(database: Database, runtime: Runtime) -> None:
    batch = database.batch()
    ids = database.jobs(5, batch=batch)
    assert bulk.set_priority(runtime, [ids[3], "no-such-job"], 10) == 1
    (first,) = database.run(claims.claim, runtime.account("main"), 1)

    assert first.job_id == ids[3]


def test_jobs_fail_over_in_the_accounts_order_and_the_attempt_says_why(
    database: Database, make_runtime: RuntimeFactory
) -> None:
    runtime = make_runtime(first={"order": 1}, second={"order": 2}, third={"order": 3})
    accounts = list(runtime.accounts.values())
    database.jobs(4)
    database.jobs(1, lane="third@zhiqite.swap")

    def takes(name: str, number: int = 1) -> list[str | None]:
        account = runtime.account(name)
        claimed = database.run(claims.claim, account, number, ahead_of(account, accounts))
        assert bool(claimed) is (database.run(claims.next_claim_in, account, ahead_of(account, accounts)) is not None)
        database.run(begin.begin, account, database.ready(claimed))
        return [claim.passed_over for claim in claimed]

    assert takes("second") == [], "while the first is open"
    assert takes("third") == [None], "its own"
    assert takes("first") == [None]
    database.sql(
        "UPDATE accounts SET closed_until = 'infinity', closed_reason = 'credit', closed_note = 'empty'"
        " WHERE name = 'first'"
    )
    assert takes("third") == []
    assert takes("second") == ["first is stopped (credit: empty)"]
    database.sql(
        "UPDATE accounts SET closed_until = NULL, failures = 2, closed_reason = 'outage' WHERE name = 'second'"
    )
    why = "first is stopped (credit: empty); second is stopped (outage)"
    assert takes("third") == [why], "one that is probed is not relied on"
    assert database.one("SELECT passed_over FROM attempts WHERE account = 'third' AND passed_over IS NOT NULL") == why
    database.sql("UPDATE accounts SET closed_until = NULL, failures = 0")
    assert takes("second") == takes("third") == []
    assert takes("first") == [None]
