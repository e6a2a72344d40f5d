"""Claiming fairly, and turning claims into attempts exactly: never more than admission allows, one attempt per send."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from models.identity import client_reference
from models.states import Closure
from tests.words import names
from workers.accounts import admission
from workers.config.accounts import Account, parse
from workers.engine import begin, claims
from workers.engine.floors import Floors
from workers.jobs.state_changes import JobMove, Moved
from workers.jobs.transitions import move_jobs

if TYPE_CHECKING:
    from tests.integration.database import Database

pytest_plugins = ["tests.integration.database"]

SOON = "clock_timestamp() + interval '1 min'"
PAST = "clock_timestamp() - interval '1 min'"


def claimed(database: Database, account: Account, number: int = 100) -> list[str]:
    """Ids of the jobs that a claim gets, in its order."""
    return [claim.job_id for claim in database.run(claims.claim, account, number)]


@pytest.fixture
def main(database: Database) -> Account:
    """An account at Zhiqite."""
    return database.account("main")


def test_nothing_queued_nothing_claimed(database: Database, main: Account) -> None:
    database.jobs(3, state="running")

    assert claimed(database, main) == []
    assert database.run(claims.next_claim_in, main) is None


def test_a_claim_says_what_is_to_be_done(database: Database, main: Account) -> None:
    (job,) = database.jobs(prompt="smile", options='{"seed": 7}')
    (claim,) = database.run(claims.claim, main, 5)

    assert (claim.job_id, claim.batch_id, claim.operation, claim.prompt) == (job, 0, "zhiqite.swap", "smile")
    assert dict(claim.pictures) == {"source": "https://example.com/a.jpg", "target": "https://example.com/b.jpg"}
    assert claim.options == {"seed": 7}
    assert (claim.expired, claim.last_number, claim.last_state) == (False, 0, None)


def test_in_order_of_arrival_and_by_priority(database: Database, main: Account) -> None:
    normal, low, high = database.jobs(2), database.jobs(2, priority=-5), database.jobs(2, priority=5)

    assert claimed(database, main) == [*high, *normal, *low]


def test_single_jobs_go_ahead_of_any_batch(database: Database, main: Account) -> None:
    bulk = database.jobs(3, batch=database.batch(), priority=100)
    single = database.jobs(2, priority=-100)

    assert claimed(database, main, 3) == [*single, bulk[0]]


def test_batches_take_turns(database: Database, main: Account) -> None:
    big, small = database.batch("big"), database.batch("small")
    database.jobs(50, batch=big)
    database.jobs(4, batch=small)
    shares = []
    for _ in range(4):
        got = database.run(claims.claim, main, 6)
        shares.append(Counter(claim.batch_id for claim in got))

    assert shares[0] == {big: 3, small: 3}
    assert shares[1] == {big: 5, small: 1}
    assert shares[2] == {big: 6}


def test_a_higher_priority_goes_first_whatever_the_batch(database: Database, main: Account) -> None:
    first, second = database.batch("first"), database.batch("second")
    normal, urgent = database.jobs(3, batch=first), database.jobs(3, batch=second, priority=1)

    assert claimed(database, main, 4) == [*urgent, normal[0]]


def test_no_job_is_claimed_twice(database: Database, main: Account) -> None:
    ids = database.jobs(60)
    got = database.together([partial(claims.claim, account=main, number=10) for _ in range(8)])

    all_claimed = [claim.job_id for group in got for claim in group]
    assert len(all_claimed) == len(set(all_claimed))
    assert sorted([*all_claimed, *claimed(database, main)]) == ids


def test_a_claim_passes_over_what_another_transaction_holds(database: Database, main: Account) -> None:
    ids = database.jobs(4)
    with database.sessions.begin() as other:
        held = [claim.job_id for claim in claims.claim(other, main, 2)]
        free = claimed(database, main)

    assert held == ids[:2]
    assert set(free) <= set(ids[2:])
    assert claimed(database, main) == [job for job in ids[2:] if job not in free]


def test_claims_run_out_and_can_be_given_back(database: Database, main: Account) -> None:
    first, second = database.jobs(2)
    assert claimed(database, main) == [first, second]
    assert claimed(database, main) == []
    waits = database.run(claims.next_claim_in, main)
    assert waits is not None
    assert 10 < waits <= 15

    database.run(claims.unclaim, [second])
    assert database.run(claims.next_claim_in, main) == 0
    assert claimed(database, main) == [second]
    database.sql(f"UPDATE jobs SET claimed_until = {PAST}")  # noqa: S608
    # One by one, because one of them may be why their worker ended.
    assert (claimed(database, main), claimed(database, main)) == ([first], [second])


def test_a_paused_batch_waits_and_the_others_go_on(database: Database, main: Account) -> None:
    paused, open_ = database.batch("paused"), database.batch("open")
    waiting, going = database.jobs(3, batch=paused), database.jobs(2, batch=open_)
    database.sql("UPDATE batches SET paused_at = now() WHERE id = :id", id=paused)

    assert claimed(database, main) == going
    database.sql("UPDATE batches SET paused_at = NULL")
    assert claimed(database, main) == waiting


def test_lanes_keep_jobs_to_the_accounts_that_can_do_them(database: Database, main: Account) -> None:
    other = database.account("other")
    piktid = parse(
        "piktid", {"provider": "piktid", "base_url": "http://127.0.0.1:9", "email": "a@example.com", "password": "b"}
    )
    shared = database.jobs(1, lane="piktid.swap|zhiqite.swap")
    pinned = database.jobs(1, lane="other@zhiqite.swap")
    foreign = database.jobs(1, lane="piktid.swap")

    assert claimed(database, main) == shared
    assert claimed(database, other) == pinned
    assert claimed(database, piktid) == foreign


def test_not_before_its_time(database: Database, main: Account) -> None:
    (early,) = database.jobs(1)
    (late,) = database.jobs(1)
    database.sql(f"UPDATE jobs SET not_before = {SOON} WHERE id = :id", id=late)  # noqa: S608

    assert claimed(database, main) == [early]
    database.sql("UPDATE jobs SET state = 'running' WHERE id = :id", id=early)
    waits = database.run(claims.next_claim_in, main)
    assert waits is not None
    assert 50 < waits <= 60
    database.sql(f"UPDATE jobs SET not_before = {PAST}")  # noqa: S608
    assert claimed(database, main) == [late]


def test_a_postponed_job_tells_why_and_waits(database: Database, main: Account) -> None:
    (job,) = database.jobs(1)
    database.run(claims.claim, main, 1)
    database.run(claims.postpone, [claims.Wait(job, 60.0, "the input does not answer")])

    assert claimed(database, main) == []
    assert database.one("SELECT error FROM jobs") == "the input does not answer"
    assert database.one("SELECT claimed_until FROM jobs") is None


def test_an_expired_job_is_marked(database: Database, main: Account) -> None:
    database.jobs(1)
    database.sql(f"UPDATE jobs SET expires_at = {PAST}")  # noqa: S608

    assert [claim.expired for claim in database.run(claims.claim, main, 1)] == [True]


def test_begin_commits_the_attempt_before_anything_is_sent(database: Database, main: Account) -> None:
    (job,) = database.jobs(1, batch=(batch := database.batch()))
    begun = database.start(main)

    assert begun.started == {client_reference(job, 1)}
    (attempt,) = database.sql("SELECT *, extract(epoch FROM deadline_at - sent_at) AS life FROM attempts")
    assert (attempt.id, attempt.state, attempt.number, attempt.send_count) == (
        client_reference(job, 1),
        "sending",
        1,
        1,
    )
    assert (attempt.account, attempt.batch_id, attempt.sent_at) == ("main", batch, begun.sent_at)
    assert float(attempt.life) == pytest.approx(main.deadline, abs=0.1)
    assert database.one("SELECT state FROM jobs") == "running"
    assert database.one("SELECT started_at FROM jobs") is not None
    assert database.counts(batch) == {"running": 1}


def test_never_more_in_flight_than_the_account_allows(database: Database) -> None:
    account = database.account(max_in_flight=7)
    database.jobs(100)
    groups = [database.ready(database.run(claims.claim, account, 5)) for _ in range(20)]
    begun = database.together([partial(begin.begin, account=account, ready=group) for group in groups])

    assert database.one("SELECT count(*) FROM attempts") == 7
    assert sum(len(item.started) for item in begun) == 7
    assert {item.blocked_by for item in begun} <= {None, "in_flight"}
    # The others are back in the queue, free for whoever finds a place.
    assert database.one("SELECT count(*) FROM jobs WHERE state = 'queued' AND claimed_until IS NULL") == 93
    assert not database.start(account, 10).started

    database.sql("UPDATE attempts SET state = 'done' WHERE id = (SELECT id FROM attempts LIMIT 1)")
    assert len(database.start(account, 10).started) == 1


def test_an_old_count_of_open_attempts_lets_no_more_through(database: Database) -> None:
    account = database.account(max_in_flight=10)
    database.jobs(100)
    groups = [database.ready(database.run(claims.claim, account, 4)) for _ in range(20)]
    known = database.run(admission.read, "main").count
    assert known.open == 0
    begun = database.together([partial(begin.begin, account=account, ready=group, known=known) for group in groups])

    assert database.one("SELECT count(*) FROM attempts") == 10
    assert sum(len(item.started) for item in begun) == 10


def test_open_attempts_are_counted_anew_only_near_the_limit(database: Database) -> None:
    account = database.account()
    database.jobs(6)
    known = database.start(account, 5).count
    database.sql("UPDATE attempts SET state = 'done'")

    assert database.run(admission.read, "main", known=known, room_for=20).count.open == 5, "an upper bound will do"
    assert database.run(admission.read, "main", known=known, room_for=4).count.open == 0
    assert database.run(admission.read, "main", known=known).count.open == 0


def test_an_unclear_attempt_keeps_its_place(database: Database) -> None:
    account = database.account(max_in_flight=2)
    for state in ("unknown", "done", "expired", "not_sent", "refused"):
        database.attempt(database.jobs(1, state="running")[0], state)
    database.jobs(5)

    assert len(database.start(account, 5).started) == 1


def test_a_half_open_account_lets_one_probe_through(database: Database, main: Account) -> None:
    database.jobs(20)
    groups = [database.ready(database.run(claims.claim, main, 2)) for _ in range(10)]
    database.sql("UPDATE accounts SET failures = 1")
    begun = database.together([partial(begin.begin, account=main, ready=group) for group in groups])

    assert sum(len(item.started) for item in begun) == 1


def test_a_stopped_account_gives_the_jobs_back(database: Database, main: Account) -> None:
    database.jobs(2)
    ready = database.ready(database.run(claims.claim, main, 2))
    database.run(admission.stop_for, "main", Closure.THROTTLED, 30.0)
    begun = database.run(begin.begin, main, ready)

    assert not begun.started
    assert begun.blocked_by == "throttled"
    assert begun.ask_in == pytest.approx(30, abs=5)
    assert len(claimed(database, database.account("other"))) == 2, "another account takes them at once"


def test_the_rate_holds_over_all_workers(database: Database) -> None:
    account = database.account(rate="4/h", max_in_flight=100)
    database.sql("UPDATE accounts SET rate_tokens = 1, rate_at = clock_timestamp()")
    database.jobs(40)
    groups = [database.ready(database.run(claims.claim, account, 4)) for _ in range(10)]
    begun = database.together([partial(begin.begin, account=account, ready=group) for group in groups])

    assert sum(len(item.started) for item in begun) == 1
    waits = [item.ask_in for item in begun if not item.started]
    assert waits == pytest.approx([900.0] * 9, abs=5)


def test_places_that_were_not_used_cost_no_rate(database: Database) -> None:
    account = database.account(rate="10/s")
    database.jobs(3)
    ready = database.ready(database.run(claims.claim, account, 3))
    database.sql("UPDATE jobs SET state = 'canceled'")
    begun = database.run(begin.begin, account, ready)

    assert not begun.started
    assert database.one("SELECT rate_tokens FROM accounts") == 10


def test_the_rate_goes_on_while_submissions_are_committed(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    def slowly(session: Session, moves: Sequence[JobMove]) -> Sequence[Moved]:
        time.sleep(0.5)
        return move_jobs(session, moves)

    monkeypatch.setattr(begin, "move_jobs", slowly)
    account = database.account(rate="10/s")
    database.sql("UPDATE accounts SET rate_tokens = 1, rate_at = clock_timestamp()")
    database.jobs(1)

    assert len(database.start(account, 1).started) == 1
    tokens = admission.refilled(database.run(admission.read, account.name), account)
    assert tokens is not None
    assert tokens >= 5, "half a second brings five"


def test_overrides_rule_while_a_pump_runs(database: Database, main: Account) -> None:
    database.sql("""UPDATE accounts SET overrides = '{"max_in_flight": 2}'""")
    database.jobs(5)

    assert len(database.start(main, 5).started) == 2


def test_a_job_that_was_canceled_meanwhile_is_not_sent(database: Database, main: Account) -> None:
    gone, kept = database.jobs(2, batch=(batch := database.batch()))
    ready = database.ready(database.run(claims.claim, main, 2))
    database.sql("UPDATE jobs SET state = 'canceled' WHERE id = :id", id=gone)
    database.sql("UPDATE batches SET queued = 1, canceled = 1")

    assert database.run(begin.begin, main, ready).started == {client_reference(kept, 1)}
    assert database.counts(batch) == {"running": 1, "canceled": 1}


def test_what_was_never_received_is_sent_again_under_its_number(database: Database, main: Account) -> None:
    (job,) = database.jobs(1)
    database.start(main, cost="0.02")
    first_sent = database.one("SELECT sent_at FROM attempts")
    database.sql("UPDATE attempts SET state = 'not_sent', reason = 'outage', error = 'refused', absences = 2")
    database.sql("UPDATE jobs SET state = 'queued'")
    begun = database.start(main, cost="0.03")

    assert begun.started == {client_reference(job, 1)}
    (attempt,) = database.sql("SELECT * FROM attempts")
    assert (attempt.number, attempt.send_count, attempt.state) == (1, 2, "sending")
    assert (attempt.reason, attempt.error, str(attempt.cost)) == (None, None, "0.0300")
    assert attempt.sent_at > first_sent
    assert attempt.absences == 0, "what the provider did not know of an earlier send proves nothing of this one"


@pytest.mark.parametrize("last", ["done", "expired", "refused"])
def test_a_closed_attempt_is_followed_by_a_new_one(database: Database, main: Account, last: str) -> None:
    (job,) = database.jobs(1)
    database.attempt(job, last)

    assert database.start(main).started == {client_reference(job, 2)}
    assert [row.send_count for row in database.sql("SELECT send_count FROM attempts ORDER BY number")] == [1, 1]


def test_another_account_makes_an_attempt_of_its_own(database: Database, main: Account) -> None:
    (job,) = database.jobs(1)
    database.attempt(job, "not_sent")

    assert database.start(database.account("other")).started == {client_reference(job, 2)}
    assert database.one("SELECT account FROM attempts WHERE number = 2") == "other"


def test_a_stale_claim_never_begins_what_others_began(database: Database, main: Account) -> None:
    (job,) = database.jobs(1)
    ready = database.ready(database.run(claims.claim, main, 1))
    # Given that the claim ran out, and another account made an attempt that came to nothing
    database.attempt(job, "not_sent", account="'other'")

    with pytest.raises(RuntimeError, match=names("1", "main")):
        database.run(begin.begin, main, ready)
    assert database.one("SELECT state FROM jobs") == "queued", "the whole transaction is taken back"


def test_two_pumps_with_the_same_claim_begin_it_once(database: Database, main: Account) -> None:
    database.jobs(5)
    ready = database.ready(database.run(claims.claim, main, 5))
    begun = database.together([partial(begin.begin, account=main, ready=ready) for _ in range(4)])

    assert sum(len(item.started) for item in begun) == 5
    assert database.one("SELECT count(*) FROM attempts") == 5


#: Blocks of the table of jobs that this session has read lately.
READ = text("SELECT pg_stat_get_xact_blocks_fetched('jobs'::regclass)")


class Rarely(Floors):
    """Floors whose next look from the beginning is not due within the test, but for want of jobs."""

    def took(self, began: float, ended: float) -> None:
        self._due_at = math.inf


def with_floors(database: Database, account: Account, number: int, floors: Floors) -> list[str]:
    """Ids of the jobs that a claim from these floors gets; their transaction also says how many blocks it read."""
    return [claim.job_id for claim in database.run(claims.claim, account, number, floors=floors)]


def test_claims_from_floors_get_the_same_jobs_in_the_same_order(database: Database, main: Account) -> None:
    batch = database.batch("spring")
    low, high = database.jobs(6, batch=batch, priority=-1), database.jobs(6, batch=batch, priority=3)
    floors = Rarely()
    got = [with_floors(database, main, 4, floors) for _ in range(4)]
    assert [job for group in got for job in group] == [*high, *low]
    assert got[3] == []


def test_what_comes_to_a_place_before_the_floor_or_to_a_new_queue_is_found(database: Database, main: Account) -> None:
    first = database.jobs(4, batch=database.batch("first"))
    floors = Rarely()
    assert with_floors(database, main, 2, floors) == first[:2]
    assert with_floors(database, main, 2, floors) == first[2:]
    database.sql("UPDATE jobs SET claimed_until = NULL WHERE id = :id", id=first[0])
    second = database.jobs(1, batch=database.batch("second"))
    assert sorted(with_floors(database, main, 5, floors)) == sorted([first[0], *second])


def test_beside_an_open_transaction_a_claim_does_not_pass_what_was_claimed_before(
    database: Database, main: Account
) -> None:
    """The jobs' index entries stay as long as the transaction: a look from the beginning reads them all."""

    def blocks(session: Session, floors: Floors | None) -> int:
        before = session.execute(READ).scalar_one()
        assert len(claims.claim(session, main, 5, floors=floors)) == 5
        return int(session.execute(READ).scalar_one() - before)

    ids = database.jobs(2_000, batch=database.batch("spring"))
    floors = Rarely()
    with database.engine.connect().execution_options(isolation_level="REPEATABLE READ") as holding:
        holding.execute(text("SELECT count(*) FROM jobs"))
        for start in range(0, 1_900, 100):
            assert with_floors(database, main, 100, floors) == ids[start : start + 100]
            database.sql("UPDATE jobs SET state = 'running' WHERE id = ANY(:ids)", ids=ids[start : start + 100])
        assert with_floors(database, main, 5, floors) == ids[1_900:1_905]
        assert 3 * (read := database.run(blocks, floors)) < database.run(blocks, None)
        assert read < 300, "the table has no statistics: still no job but those that are claimed is read"
