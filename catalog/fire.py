"""The start of a schedule's run: the catalog is read again, checked as a whole, and enqueued once."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from decimal import Decimal
from typing import Any

import structlog
from sqlalchemy import text
from sqlalchemy.orm import Session

from catalog.enqueue import Enqueued, enqueue
from catalog.errors import BadRowsError, CatalogError
from catalog.intake import take_in
from models.spend import spent_by
from workers.config.account_values import AccountsError
from workers.engine.runtime import Runtime
from workers.jobs.redone import spent_by_check
from workers.schedules.runs import NotDueError, RunClaim, begin, claim, fail, note

MISTAKES_SHOWN = 5  # in the run's note; `recast run --dry-run` shows all

_ID = text("SELECT id FROM batches WHERE name = :batch")
_SPENT = text(f"SELECT {spent_by('b.id')} FROM batches b WHERE b.name = :batch")

log = structlog.get_logger()


def fire(runtime: Runtime, run_id: int) -> None:
    """Start a run if it is due and no other run precedes it; a mistake in its catalog ends it as failed.

    A message can arrive twice, and the worker can die at any point: the transaction that enqueues also begins the run.
    """
    claimed = runtime.db(claim, run_id)
    if claimed is None:
        return
    context: dict[str, Any] = {"schedule": claimed.schedule, "planned_at": claimed.planned_at.isoformat()}
    try:
        enqueued = _enqueue(runtime, claimed)
    except NotDueError:
        log.info("schedule_run_begun_elsewhere", **context)
    except (CatalogError, AccountsError) as error:
        runtime.db(fail, run_id, _message(error))
        log.warning("schedule_run_failed", **context, error=_message(error))
    else:
        runtime.db(note, claimed, enqueued.batch_id, json.dumps(_numbers(enqueued)))
        log.info("schedule_run_begun", **context, batch=enqueued.name, queued=enqueued.queued)


def _enqueue(runtime: Runtime, claimed: RunClaim) -> Enqueued:
    options = claimed.options
    # A batch's limits are for its life; a schedule's are for one run.
    if options.max_cost is not None:
        options = replace(options, max_cost=options.max_cost + runtime.db(_spent, claimed.batch))
    if options.redo_cap is not None:
        options = replace(options, redo_cap=options.redo_cap + runtime.db(_spent_on_redos, claimed.batch))
    with take_in(claimed.catalog, runtime.accounts, runtime.reach, name=claimed.batch, options=options) as intake:
        return enqueue(
            runtime, intake, options, first=lambda session, batch_id: begin(session, claimed.run_id, batch_id)
        )


def _spent(session: Session, batch: str) -> Decimal:
    return session.execute(_SPENT, {"batch": batch}).scalar() or Decimal(0)


def _spent_on_redos(session: Session, batch: str) -> Decimal:
    found = session.execute(_ID, {"batch": batch}).scalar()
    return Decimal(0) if found is None else spent_by_check(session, found)


def _numbers(enqueued: Enqueued) -> dict[str, int]:
    """The numbers of rows by what happened to them; zeros are left out."""
    numbers = asdict(enqueued)
    del numbers["batch_id"]
    return {name: value for name, value in numbers.items() if isinstance(value, int) and value}


def _message(error: Exception) -> str:
    if isinstance(error, BadRowsError):
        return str(BadRowsError(error.file, error.mistakes[:MISTAKES_SHOWN], error.total))
    return str(error)
