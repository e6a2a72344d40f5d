"""Reading: batches, jobs, results, accounts, spending and schedules, with the functions of the commands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from decimal import Decimal
from typing import Any

from sqlalchemy.orm import Session

from desk import guests
from desk.selecting import require_reason
from models.batches import SINGLES
from models.people import Role
from models.states import JobState
from models.verdicts import Verdict
from recast.money import Money
from reports import documents, results
from reports.batch import BAD_STATES, BatchReport, endings, find
from reports.batch import document as batch_document
from reports.batches import BatchesFilter, listed
from reports.flags import flags_of_batch
from reports.job import find_detail, page
from reports.obstacles import accounts_for_obstacles, obstacles
from reports.reviews import progress, verdicts_of
from reports.spend import spent, with_approved
from reports.written import priced
from web.api.endpoints import Call, Service
from web.api.problems import unprocessable
from workers.config.accounts import Account
from workers.schedules.service import everything

LISTED_ENDINGS = 10  # as `recast status` lists


def batches(service: Service, call: Call) -> dict[str, Any]:
    """A page of batches, newest first."""
    asked = call.query

    def read(session: Session) -> tuple[list[dict[str, Any]], int | None]:
        wanted = BatchesFilter(search=asked.search, label=asked.label, after=asked.after)
        found = listed(session, wanted, asked.limit + 1)
        shown = found[: asked.limit]
        accounts = _accounts(service, shown)
        page = [_batch(session, service, report, accounts) for report in shown]
        return page, shown[-1].id if len(found) > asked.limit else None

    items, after = service.runtime.db(read)
    return {"items": items, "next": after}


def batch(service: Service, call: Call) -> dict[str, Any]:
    """One batch, with its latest jobs that did not succeed."""

    def read(session: Session) -> dict[str, Any]:
        report = find(session, call.path["name"])
        bad = endings(session, report.id, BAD_STATES, LISTED_ENDINGS, latest=True)
        shown = _batch(session, service, report, _accounts(service, [report]))
        return {**shown, "latest_bad": [asdict(ending) for ending in bad]}

    return service.runtime.db(read)


def jobs(service: Service, call: Call) -> dict[str, Any]:
    """A page of a batch's jobs, newest first."""
    # The batch is known by its number.
    return _jobs(service, call, service.runtime.db(find, call.path["name"]).id)


def singles(service: Service, call: Call) -> dict[str, Any]:
    """A page of the jobs that came one by one, newest first."""
    return _jobs(service, call, SINGLES)


def results_of(service: Service, call: Call) -> dict[str, Any]:
    """A page of a batch's results, in its order."""
    return _results(service, call, service.runtime.db(find, call.path["name"]).id)


def results_of_singles(service: Service, call: Call) -> dict[str, Any]:
    """A page of the results of jobs that came one by one, in the order of their arrival."""
    return _results(service, call, SINGLES)


def _results(service: Service, call: Call, batch_id: int) -> dict[str, Any]:
    asked = call.query
    if asked.reason is not None and asked.verdict not in (None, Verdict.NEEDS_WORK):
        raise unprocessable("reason: only pictures that need work have any", "reason", asked.reason, "with needs_work")
    wanted = results.ResultsFilter(asked.verdict, asked.reason, asked.check)
    if asked.after:
        _require_there(asked.after, service.runtime.db(guests.batch_of_result, asked.after), batch_id)
    found = service.runtime.db(results.page, batch_id, asked.limit + 1, asked.after, wanted)
    known = service.runtime.settings.review_reasons
    require_reason("reason", asked.reason, known, found=bool(found or asked.after))
    shown = found[: asked.limit]
    return {"items": [asdict(each) for each in shown], "next": shown[-1].id if len(found) > asked.limit else None}


def checks(service: Service, call: Call) -> dict[str, Any]:
    """How many pictures of a batch each check flagged."""
    report = service.runtime.db(find, call.path["name"])
    return asdict(service.runtime.db(flags_of_batch, report.id))


def job(service: Service, call: Call) -> dict[str, Any]:
    """Everything of one job."""
    detail = service.runtime.db(find_detail, call.path["id"], service.runtime.storage)
    found: dict[str, Any] = priced({**asdict(detail), "cost": detail.cost}, service.currency)
    return found


def accounts(service: Service, _: Call) -> dict[str, Any]:
    """All accounts with their limits and states."""
    found = service.runtime.db(documents.statuses_of, tuple(service.runtime.accounts.values()))
    return {"items": [documents.of_account(status) for status in found]}


def spend(service: Service, call: Call) -> dict[str, Any]:
    """Spending by account, batch, label, month or operation."""
    asked, currency = call.query, service.currency
    found = service.runtime.db(spent, asked.by, asked.month)
    if asked.approved:
        if asked.month is not None:
            raise unprocessable("approved: verdicts are not summed by month", "approved", True, "without month")
        found = service.runtime.db(with_approved, asked.by, found)
    return {
        "by": asked.by.value, "month": asked.month,
        "rows": [item.document(asked.by, currency) for item in found],
        "total": Money(sum((item.amount for item in found), Decimal(0)), currency),
    }  # fmt: skip


def schedules(service: Service, _: Call) -> dict[str, Any]:
    """All schedules, with their next and latest runs."""
    return {"items": [documents.of_schedule(each, service.currency) for each in service.runtime.db(everything)]}


def _jobs(service: Service, call: Call, batch_id: int) -> dict[str, Any]:
    asked = call.query
    if asked.account is not None or asked.operation is not None:
        # What is not shown is not told by what a filter finds, either.
        call.actor.need(Role.REVIEWER, "choose jobs by account or operation")
    if asked.after is not None:
        _require_there(asked.after, service.runtime.db(guests.batch_of_job, asked.after), batch_id)
    found = service.runtime.db(page, batch_id, asked.filter(None), asked.limit + 1, asked.after)
    shown = found[: asked.limit]
    return {"items": [asdict(job) for job in shown], "next": shown[-1].id if len(found) > asked.limit else None}


def _require_there(after: object, of_batch: int | None, batch_id: int) -> None:
    """Refuse a place in a list that is there no more: the list would begin anew, and nobody would notice.

    Raises:
        ProblemError: its row was removed, or is of another list.
    """
    if of_batch != batch_id:
        raise unprocessable(
            f"after: {str(after)[:80]!r} is not in this list, or was removed since; begin anew", "after", after,
            "the next of a page of this list",
        )  # fmt: skip


def _accounts(service: Service, reports: Sequence[BatchReport]) -> Mapping[str, Account] | None:
    waiting = any(report.counts[JobState.QUEUED] for report in reports)
    return accounts_for_obstacles(service.runtime.settings.accounts_file) if waiting else None


def _batch(
    session: Session, service: Service, report: BatchReport, known: Mapping[str, Account] | None
) -> dict[str, Any]:
    stops = obstacles(session, report, known, service.currency)
    review = priced(asdict(verdicts_of(session, report)), service.currency)
    return {**batch_document(report, service.currency, stops), **asdict(progress(report.counts)), "review": review}
