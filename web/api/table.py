"""The table of endpoints. A path with more words stands before one whose parameter could contain them."""

from __future__ import annotations

from http import HTTPStatus

from desk.bulk_operations import BulkOperation
from desk.operators import ScheduleAction
from models.people import Role
from web.api import asks, changes, orders, paying, pilots, reading, reviewing, shapes, upkeep, writing
from web.api.bodies import MAX_BYTES, MAX_CATALOG_BYTES
from web.api.endpoints import Endpoint, no_work

BASE = "/api/v1"

READING = (
    Endpoint(
        method="GET", path="/batches", summary="List batches, newest first", work=reading.batches,
        query=asks.BatchesQuery, answer=shapes.Batches,
    ),
    Endpoint(
        method="GET", path="/batches/{name}/jobs", summary="List a batch's jobs, newest first", work=reading.jobs,
        query=asks.JobsQuery, answer=shapes.Jobs,
    ),
    Endpoint(
        method="GET", path="/batches/{name}/results", summary="List a batch's results in its order",
        work=reading.results_of, query=asks.ResultsQuery, answer=shapes.Results,
    ),
    Endpoint(
        method="GET", path="/batches/{name}/pilot", summary="Show a batch's pilot, and what its rest would cost",
        work=pilots.read, role=Role.REVIEWER, answer=pilots.PilotShape,
    ),
    Endpoint(
        method="GET", path="/batches/{name}/checks", summary="Count a batch's pictures by the checks that flag them",
        work=reading.checks, answer=shapes.ChecksShape,
    ),
    Endpoint(
        method="GET", path="/batches/{name}", summary="Show a batch, and why it does not continue",
        work=reading.batch, answer=shapes.BatchDetail,
    ),
    Endpoint(
        method="GET", path="/jobs", summary="List the jobs that came one by one, newest first", work=reading.singles,
        query=asks.JobsQuery, answer=shapes.Jobs,
    ),
    Endpoint(
        method="GET", path="/jobs/{id}", summary="Show one job, by its id, its key or BATCH/KEY", work=reading.job,
        answer=shapes.JobDetailShape,
    ),
    Endpoint(
        method="GET", path="/results", summary="List the results of jobs that came one by one, as these came",
        work=reading.results_of_singles, query=asks.ResultsQuery, answer=shapes.Results,
    ),
    Endpoint(
        method="GET", path="/results/{id}/file", summary="Get a result's picture", work=no_work,
        query=asks.FileQuery, answer=None,
    ),
    Endpoint(
        method="GET", path="/events", summary="Listen to numbers of batches, ends of jobs, and verdicts",
        work=no_work, query=asks.EventsQuery, answer=shapes.EventShape, stream=True,
    ),
    Endpoint(
        method="GET", path="/accounts", summary="List accounts at providers", work=reading.accounts,
        role=Role.REVIEWER, answer=changes.Accounts,
    ),
    Endpoint(
        method="GET", path="/spend", summary="Sum what was spent", work=reading.spend, role=Role.REVIEWER,
        query=asks.SpendQuery, answer=changes.Spend,
    ),
    Endpoint(
        method="GET", path="/schedules", summary="List schedules", work=reading.schedules, role=Role.REVIEWER,
        answer=changes.Schedules,
    ),
    Endpoint(
        method="GET", path="/schedules/{name}", summary="Show a schedule with its latest runs", work=upkeep.schedule,
        role=Role.REVIEWER, answer=changes.ScheduleDetail,
    ),
    Endpoint(
        method="GET", path="/held", summary="List jobs that wait for a decision", work=upkeep.held,
        role=Role.REVIEWER, query=asks.HeldQuery, answer=changes.HeldJobs, problems=frozenset({HTTPStatus.NOT_FOUND}),
    ),
    Endpoint(
        method="GET", path="/webhooks", summary="List webhooks", work=upkeep.all_webhooks, role=Role.OPERATOR,
        answer=changes.Webhooks,
    ),
    Endpoint(
        method="GET", path="/deliveries", summary="List messages for webhooks, newest first", work=upkeep.deliveries,
        role=Role.OPERATOR, query=asks.DeliveriesQuery, answer=changes.Deliveries,
    ),
)  # fmt: skip
WRITING = (
    Endpoint(
        method="PUT", path="/results/{id}/verdict", summary="Give a verdict about a picture", work=writing.verdict,
        role=Role.REVIEWER, body=asks.VerdictAsk, most=MAX_BYTES, answer=changes.DecidedShape,
        problems=frozenset({HTTPStatus.CONFLICT}),
    ),
    *(
        Endpoint(
            method="POST", path=f"/results/{{id}}/{name}", summary=summary, work=work, role=Role.REVIEWER,
            body=asks.Nothing, most=MAX_BYTES, answer=changes.DecidedShape,
        )
        for name, summary, work in (
            ("undo", "Take your last verdict about a picture back", reviewing.undo),
            ("choose", "Use this one of a job's pictures", reviewing.choose),
        )
    ),
    *(
        Endpoint(
            method="POST", path=path, summary=f"Give a verdict about many pictures of {whose}", work=work,
            role=Role.REVIEWER, body=asks.VerdictsAsk, most=MAX_BYTES, answer=shapes.ManyDecidedShape, heavy=True,
        )
        for path, whose, work in (
            ("/batches/{name}/verdicts", "a batch", reviewing.many),
            ("/jobs/verdicts", "jobs that came one by one", reviewing.many_singles),
        )
    ),
    *(
        Endpoint(
            method="POST", path=f"/bulk/{each}", summary=f"{each.capitalize()} jobs", role=Role.OPERATOR,
            work=writing.bulk_operation(each), body=asks.CancelAsk if each is BulkOperation.CANCEL else asks.BulkAsk,
            most=MAX_BYTES, answer=changes.ImpactShape, problems=frozenset({HTTPStatus.NOT_FOUND}),
        )
        for each in BulkOperation
    ),
    Endpoint(
        method="POST", path="/bulk/reroute", summary="Send queued jobs to an account that is not dearer",
        work=writing.reroute, role=Role.OPERATOR, body=asks.RerouteAsk, most=MAX_BYTES, answer=changes.ImpactShape,
        problems=frozenset({HTTPStatus.NOT_FOUND}),
    ),
    Endpoint(
        method="POST", path="/bulk/set-priority", summary="Set the priority of queued jobs within their batch",
        work=writing.priority, role=Role.OPERATOR, body=asks.PriorityAsk, most=MAX_BYTES, answer=changes.ImpactShape,
        problems=frozenset({HTTPStatus.NOT_FOUND}),
    ),
    Endpoint(
        method="POST", path="/bulk/redownload", summary="Download again what was paid for and lost",
        work=upkeep.redownload, role=Role.OPERATOR, body=asks.BulkAsk, most=MAX_BYTES, answer=changes.ImpactShape,
        problems=frozenset({HTTPStatus.NOT_FOUND}),
    ),
    *(
        Endpoint(
            method="POST", path=f"/schedules/{{name}}/{action}", summary=f"{action.capitalize()} a schedule",
            work=upkeep.change_schedule(action), role=Role.OPERATOR, body=asks.Nothing, most=MAX_BYTES,
            answer=changes.ScheduleShape,
        )
        for action in (ScheduleAction.PAUSE, ScheduleAction.RESUME)  # a run costs money
    ),
    Endpoint(
        method="PATCH", path="/accounts/{name}", summary="Stop or start an account, or change its limits",
        work=writing.account, role=Role.OPERATOR, body=asks.AccountAsk, most=MAX_BYTES, answer=changes.AccountShape,
    ),
)  # fmt: skip
PAYING = (
    Endpoint(
        method="POST", path="/plans", summary="Plan a catalog's run and get a quote", work=paying.plan,
        role=Role.OPERATOR, body=asks.PlanAsk, upload=asks.PlanUpload, most=MAX_CATALOG_BYTES,
        answer=changes.PlanShape, heavy=True,
    ),
    Endpoint(
        method="POST", path="/runs", summary="Run what was quoted", work=paying.run, role=Role.OPERATOR,
        body=asks.RunAsk, most=MAX_BYTES, answer=changes.RunShape, status=HTTPStatus.CREATED, heavy=True,
    ),
    Endpoint(
        method="POST", path="/bulk/retry", summary="Get a quote for queuing jobs again, or take it",
        work=paying.retry, role=Role.OPERATOR, body=asks.RetryAsk, most=MAX_BYTES, answer=changes.ImpactShape,
        problems=frozenset({HTTPStatus.NOT_FOUND}),
    ),
    Endpoint(
        method="POST", path="/redo", summary="Get a quote for a redo of pictures, or take it", work=paying.redo,
        role=Role.REVIEWER, body=orders.RedoAsk, most=MAX_BYTES, answer=changes.RedoShape, heavy=True,
        problems=frozenset({HTTPStatus.NOT_FOUND}),
    ),
    Endpoint(
        method="POST", path="/batches/{name}/pilot", work=pilots.decide, role=Role.OPERATOR, body=orders.PilotAsk,
        summary="Stop a pilot, or get a quote for sending its rest, or take it", most=MAX_BYTES,
        answer=pilots.PilotDecidedShape,
    ),
    Endpoint(
        method="POST", path="/jobs", summary="Send one job, or get a quote for it, or take that quote",
        work=paying.single, role=Role.OPERATOR, body=orders.JobAsk, most=MAX_BYTES, answer=changes.SingleShape,
    ),
    Endpoint(
        method="POST", path="/schedules/{name}/run", summary="Run a schedule now", work=upkeep.run_schedule,
        role=Role.OPERATOR, body=asks.Nothing, most=MAX_BYTES, answer=changes.ScheduleShape,
    ),
    Endpoint(
        method="POST", path="/resolve", summary="Decide about held jobs, or get a quote for that, or take it",
        work=upkeep.resolve, role=Role.OPERATOR, body=orders.ResolveAsk, most=MAX_BYTES, answer=changes.ResolvedShape,
        problems=frozenset({HTTPStatus.NOT_FOUND}),
    ),
)  # fmt: skip
ENDPOINTS = (*READING, *WRITING, *PAYING)
