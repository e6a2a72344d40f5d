"""The table of endpoints. A path with more words stands before one whose parameter could contain them."""

from __future__ import annotations

from http import HTTPStatus

from desk.levers import Lever
from models.people import Role
from web.api import asks, changes, paying, reading, shapes, writing
from web.api.bodies import MAX_BYTES, MAX_CATALOG_BYTES
from web.api.endpoints import Endpoint

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
        method="GET", path="/batches/{name}", summary="Show a batch, and why it does not continue",
        work=reading.batch, answer=shapes.BatchDetail,
    ),
    Endpoint(
        method="GET", path="/jobs/{id}", summary="Show one job, by its id, its key or BATCH/KEY", work=reading.job,
        answer=shapes.JobDetailShape,
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
)  # fmt: skip
WRITING = (
    Endpoint(
        method="PUT", path="/results/{id}/verdict", summary="Give a verdict about a picture", work=writing.verdict,
        role=Role.REVIEWER, body=asks.VerdictAsk, most=MAX_BYTES, answer=changes.DecidedShape,
        problems=frozenset({HTTPStatus.CONFLICT}),
    ),
    *(
        Endpoint(
            method="POST", path=f"/levers/{lever}", summary=f"{lever.capitalize()} jobs", work=writing.lever(lever),
            role=Role.OPERATOR, body=asks.CancelAsk if lever is Lever.CANCEL else asks.LeverAsk, most=MAX_BYTES,
            answer=changes.ImpactShape, problems=frozenset({HTTPStatus.NOT_FOUND}),
        )
        for lever in Lever
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
        method="POST", path="/levers/retry", summary="Get a quote for queuing jobs again, or take it",
        work=paying.retry, role=Role.OPERATOR, body=asks.RetryAsk, most=MAX_BYTES, answer=changes.ImpactShape,
        problems=frozenset({HTTPStatus.NOT_FOUND}),
    ),
)  # fmt: skip
ENDPOINTS = (*READING, *WRITING, *PAYING)
