"""After the database was replaced by a backup older than the provider's bill, nothing paid is paid again."""

from __future__ import annotations

import uuid
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from celery.app.task import Context

from models.identity import client_reference
from models.states import JobState
from providers.outcomes import Absent, Found, LocateOutcome, NotYetKnown
from providers.protocol import UnclearError
from providers.spec import OpenAttempt
from tests.integration.producer import accept_one
from workers.engine.runner import run
from workers.operations.resolve import Verdict
from workers.restore import hold, reconcile
from workers.restore.search import SearchPump, Sought, _Answered, waits

if TYPE_CHECKING:
    from tests.integration.database import Database, RuntimeFactory

pytest_plugins = ["tests.integration.database"]


class Restored:
    """A database in which jobs are held by a restore, and the answers of the provider that is searched."""

    def __init__(self, database: Database, make_runtime: RuntimeFactory) -> None:
        self.database = database
        self.runtime = make_runtime({"slice_seconds": 1.0}, main={"prices": {"swap": "0.50 USD"}})

    def begin(self) -> hold.Holding:
        return self.database.run(hold.begin, self.runtime.accounts, 3, 7)

    def answer(self, job: str, number: int, outcome: LocateOutcome) -> None:
        """As often as it takes to count."""
        for absences in range(2):
            sought = Sought(job, number, "zhiqite.swap", absences, absences, None, 30.0)
            pump = SearchPump(self.runtime, "main")
            self.database.run(pump._write, [_Answered(sought, outcome)])

    def all_absent(self, job: str) -> None:
        for row in self.database.sql("SELECT number FROM searches WHERE job_id = :job", job=job):
            self.answer(job, row.number, Absent())

    def job(self, job: str) -> tuple[str, str | None]:
        ((state, reason),) = self.database.sql("SELECT state, reason FROM jobs WHERE id = :job", job=job)
        return state, reason

    def attempts(self, job: str) -> list[tuple[int, str, str | None]]:
        rows = self.database.sql("SELECT number, state, handle FROM attempts WHERE job_id = :job ORDER BY 1", job=job)
        return [tuple(row) for row in rows]

    def numbers(self, job: str) -> list[int]:
        rows = self.database.sql("SELECT number FROM searches WHERE job_id = :job ORDER BY 1", job=job)
        return [row.number for row in rows]


@pytest.fixture
def restored(database: Database, make_runtime: RuntimeFactory) -> Restored:
    return Restored(database, make_runtime)


def test_a_waiting_job_is_searched_for_under_all_references_it_may_have_been_sent_as(restored: Restored) -> None:
    fresh, refused, sent_again = restored.database.jobs(3, batch=restored.database.batch())
    restored.database.attempt(refused, "refused")
    restored.database.attempt(sent_again, "not_sent")

    restored.begin()

    assert [restored.numbers(job) for job in (fresh, refused, sent_again)] == [[1, 2, 3], [2, 3, 4], [1, 2, 3]]
    restored.all_absent(fresh)
    assert restored.job(fresh) == ("queued", None)
    assert restored.job(refused) == ("held", "restored")
    assert restored.database.counts(1) == {"queued": 1, "held": 2}


def test_one_absence_is_not_enough(restored: Restored) -> None:
    (job,) = restored.database.jobs()
    restored.begin()
    for number in (1, 2, 3):
        sought = Sought(job, number, "zhiqite.swap", 0, 0, None, 30.0)
        restored.database.run(SearchPump(restored.runtime, "main")._write, [_Answered(sought, Absent())])

    assert restored.job(job) == ("held", "restored")
    assert restored.numbers(job) == [1, 2, 3]


def test_of_several_found_the_last_is_polled_on_and_all_are_in_the_books(restored: Restored) -> None:
    (job,) = restored.database.jobs(batch=restored.database.batch())
    restored.begin()

    restored.answer(job, 1, Found("first"))
    restored.answer(job, 3, Absent())
    assert restored.job(job) == ("held", "restored"), "the second is not known yet"
    restored.answer(job, 2, Found("second"))

    assert restored.job(job) == ("running", None)
    assert restored.attempts(job) == [(1, "done", "first"), (2, "running", "second")]
    assert restored.database.one("SELECT id FROM attempts WHERE number = 2") == client_reference(job, 2)
    assert restored.database.spend() == {"account:main": Decimal(1), "batch:1": Decimal(1)}
    assert restored.numbers(job) == []


def test_a_job_that_the_backup_knows_as_running_goes_on_where_it_was(restored: Restored) -> None:
    (job,) = restored.database.jobs(state="running")
    restored.database.attempt(job, handle="'task-1'", deadline_at="clock_timestamp() - interval '1 day'")

    assert restored.begin().polled == 1
    assert restored.database.one("SELECT deadline_at > clock_timestamp() FROM attempts"), "it is polled on meanwhile"
    assert restored.numbers(job) == [2, 3, 4]
    restored.all_absent(job)

    assert restored.job(job) == ("running", None)
    assert restored.attempts(job) == [(1, "running", "task-1")]


def test_a_running_job_that_was_sent_again_after_the_backup_is_not_sent_a_third_time(restored: Restored) -> None:
    (job,) = restored.database.jobs(state="running")
    restored.database.attempt(job, handle="'task-1'")
    restored.begin()

    restored.answer(job, 2, Found("task-2"))
    restored.answer(job, 3, Absent())
    restored.answer(job, 4, Absent())

    assert restored.job(job) == ("running", None)
    assert restored.attempts(job) == [(1, "done", "task-1"), (2, "running", "task-2")]


def test_a_job_that_timed_out_while_it_was_held_has_failed(restored: Restored) -> None:
    (job,) = restored.database.jobs(state="running")
    restored.database.attempt(job, handle="'task-1'")
    restored.begin()
    restored.database.sql(
        "UPDATE attempts SET state = 'expired', reason = 'timed_out', finished_at = clock_timestamp()"
    )

    restored.all_absent(job)

    assert restored.job(job) == ("failed", "timed_out")


@pytest.mark.parametrize("state", ["sending", "unknown"])
@pytest.mark.parametrize("found", [True, False])
def test_a_submission_without_an_answer_is_found_or_costs_nothing(restored: Restored, state: str, found: bool) -> None:
    account = restored.runtime.account("main")
    (job,) = restored.database.jobs()
    restored.database.start(account, 1, "0.50")
    restored.database.sql("UPDATE attempts SET state = :state", state=state)
    restored.begin()
    assert restored.numbers(job) == [1, 2, 3]

    for number in (2, 3):
        restored.answer(job, number, Absent())
    restored.answer(job, 1, Found("task-1") if found else Absent())

    assert restored.job(job) == (("running", None) if found else ("queued", None))
    assert restored.attempts(job) == [(1, "running", "task-1") if found else (1, "not_sent", None)]
    assert restored.database.spend() == {"account:main": Decimal("0.50") if found else Decimal(0)}


def test_a_search_without_an_answer_is_left_to_a_person(restored: Restored) -> None:
    (job,) = restored.database.jobs()
    restored.begin()
    late = Sought(job, 1, "zhiqite.swap", 0, 9, None, 1e6)
    pump = SearchPump(restored.runtime, "main")
    restored.database.run(pump._write, [_Answered(late, NotYetKnown("no answer"))])
    restored.answer(job, 2, Absent())
    restored.answer(job, 3, Absent())

    assert restored.job(job) == ("held", "restored")
    (waiting,) = restored.database.run(reconcile.waiting, restored.runtime.accounts)
    assert (waiting.id, waiting.cost, waiting.error) == (client_reference(job, 1), Decimal("0.50"), "no answer")


class Scripted:
    """A provider that knows one submission, does not know another, and does not answer about a third."""

    CAN_LOCATE = True

    def __init__(self, known: uuid.UUID, silent: uuid.UUID) -> None:
        self.known, self.silent = known, silent

    async def locate(self, attempt: OpenAttempt) -> LocateOutcome:
        if attempt.reference == self.silent:
            raise UnclearError("no answer")
        return Found("task-1") if attempt.reference == self.known else Absent()


def test_the_search_pump_asks_for_what_is_due(restored: Restored, monkeypatch: pytest.MonkeyPatch) -> None:
    (job,) = restored.database.jobs()
    restored.begin()
    provider = Scripted(client_reference(job, 1), client_reference(job, 3))
    monkeypatch.setattr(restored.runtime, "provider", lambda _: provider)
    assert not restored.database.run(waits, "main"), "not before a sender of old has had its time"
    restored.database.sql("UPDATE searches SET next_at = clock_timestamp()")
    assert restored.database.run(waits, "main")

    following = run(restored.runtime, SearchPump(restored.runtime, "main"), None)

    rows = restored.database.sql(
        "SELECT number, handle, absences, note, next_at > now() AS later FROM searches ORDER BY 1"
    )
    assert [tuple(row) for row in rows] == [
        (1, "task-1", 0, None, None), (2, None, 1, None, True), (3, None, 0, "no answer", True),
    ]  # fmt: skip
    assert following is not None, "it wants to ask again"
    assert restored.job(job) == ("held", "restored")


@pytest.mark.parametrize(
    ("verdict", "handle", "state", "spent"),
    [
        (Verdict.ACCEPTED, "task-7", "running", {"account:main": Decimal("0.50")}),
        (Verdict.NOT_ACCEPTED, None, "queued", {}),
        (Verdict.GIVE_UP, None, "failed", {}),
    ],
)
def test_a_persons_word(
    restored: Restored, verdict: Verdict, handle: str | None, state: str, spent: dict[str, Decimal]
) -> None:
    (job,) = restored.database.jobs()
    restored.begin()
    restored.database.sql("DELETE FROM searches WHERE number > 1")
    restored.database.sql("UPDATE searches SET next_at = NULL")
    accounts = restored.runtime.accounts
    waiting = restored.database.run(reconcile.waiting, accounts)

    restored.database.run(reconcile.record_decision, accounts, "main", waiting, verdict, handle)

    assert restored.job(job)[0] == state
    assert restored.attempts(job) == ([(1, "running", "task-7")] if handle else [])
    assert restored.database.spend() == spent
    assert restored.database.run(reconcile.waiting, accounts) == []


def test_where_the_reference_is_not_enough_a_person_is_asked(database: Database, make_runtime: RuntimeFactory) -> None:
    runtime = make_runtime(main={})
    database.jobs(2)
    database.jobs(lane="gone@piktid.swap")

    holding = database.run(hold.begin, runtime.accounts, 3, 7)

    assert (dict(holding.searched), dict(holding.asked)) == ({"main": 2}, {"gone": 1})
    assert {item.account for item in database.run(reconcile.waiting, runtime.accounts)} == {"gone"}


def test_what_ended_stays_and_what_is_saved_is_saved(restored: Restored) -> None:
    for state in JobState:
        restored.database.jobs(state=state.value)

    restored.begin()

    held = restored.database.sql("SELECT id FROM jobs WHERE reason = 'restored' ORDER BY 1")
    assert [row.id for row in held] == ["job-00000", "job-00001"], "the queued and the running one"


def test_a_task_that_comes_again_is_searched_for(restored: Restored, messages: list[Any]) -> None:
    arguments = {"source": "https://example.com/a.jpg", "target": "https://example.com/b.jpg"}
    redelivered = {"delivery_info": {"redelivered": True}}
    accept_one(restored.runtime, "swap", arguments, Context(id="before", **redelivered))
    restored.begin()
    accept_one(restored.runtime, "swap", arguments, Context(id="again", **redelivered))
    accept_one(restored.runtime, "swap", arguments, Context(id="linked", parent_id="before"))
    accept_one(restored.runtime, "swap", arguments, Context(id="new"))
    restored.database.run(hold.end)
    accept_one(restored.runtime, "swap", arguments, Context(id="later", **redelivered))

    states = {row.id: row.state for row in restored.database.sql("SELECT id, state FROM jobs")}
    assert states == {"before": "held", "again": "held", "linked": "held", "new": "queued", "later": "queued"}
