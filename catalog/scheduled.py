"""One run of a schedule: its catalog is read anew, checked as a whole, and enqueued once."""

from __future__ import annotations

import json
from dataclasses import asdict
from decimal import Decimal
from typing import Any

import structlog
from sqlalchemy import text
from sqlalchemy.orm import Session

from catalog.checks import Defaults
from catalog.enqueue import Enqueued, enqueue
from catalog.errors import BadRowsError, CatalogError
from catalog.intake import take_in
from models.spend import spent_by
from workers.config.accounts import AccountsError
from workers.engine.runtime import Runtime
from workers.schedules.runs import Firing, NotDueError, begin, claim, fail, note

TOLD_MISTAKES = 5  # of a catalog, in the run's note; `recast run --dry-run` tells them all

_SPENT = text(f"SELECT {spent_by('b.id')} FROM batches b WHERE b.name = :batch")

log = structlog.get_logger()


def fire(runtime: Runtime, run_id: int) -> None:
    """Start a run if it is due and its turn; what is wrong with its catalog ends it as failed.

    A message may come twice, and the worker may die anywhere: the run is begun in the transaction that enqueues.
    """
    firing = runtime.db(claim, run_id)
    if firing is None:
        return
    told: dict[str, Any] = {"schedule": firing.schedule, "planned_at": firing.planned_at.isoformat()}
    try:
        enqueued = _enqueue(runtime, firing)
    except NotDueError:
        log.info("schedule_run_begun_elsewhere", **told)
    except (CatalogError, AccountsError) as error:
        runtime.db(fail, run_id, _words(error))
        log.warning("schedule_run_failed", **told, error=_words(error))
    else:
        runtime.db(note, firing, enqueued.batch_id, json.dumps(_numbers(enqueued)))
        log.info("schedule_run_begun", **told, batch=enqueued.name, queued=enqueued.queued)


def _enqueue(runtime: Runtime, firing: Firing) -> Enqueued:
    options = firing.options
    limit = options.max_cost
    if limit is not None:
        # A batch's limit is for its life; a schedule's is for one run.
        limit += runtime.db(_spent, firing.batch)
    with take_in(
        firing.catalog,
        runtime.accounts,
        runtime.reach,
        name=firing.batch,
        defaults=Defaults(options.account, options.provider, options.require_consent),
    ) as intake:
        return enqueue(
            runtime,
            intake,
            max_cost=limit,
            max_in_flight=options.max_in_flight,
            label=options.label,
            priority=options.priority,
            retry_rejected=options.retry_rejected,
            first=lambda session, batch_id: begin(session, firing.run_id, batch_id),
        )


def _spent(session: Session, batch: str) -> Decimal:
    return session.execute(_SPENT, {"batch": batch}).scalar() or Decimal(0)


def _numbers(enqueued: Enqueued) -> dict[str, int]:
    """What became of the rows, by word."""
    numbers = asdict(enqueued)
    del numbers["batch_id"]
    return {name: value for name, value in numbers.items() if isinstance(value, int) and value}


def _words(error: Exception) -> str:
    if isinstance(error, BadRowsError):
        return str(BadRowsError(error.file, error.mistakes[:TOLD_MISTAKES], error.total))
    return str(error)
