"""A shop's own Celery project, as users have one: its module is called `tasks`, like one of Recast's packages."""

import os
from typing import Any

from celery import Celery

from recast import JobError

app = Celery("shop", broker=os.environ["RECAST_BROKER_URL"], backend=os.environ["RECAST_RESULT_URL"])
app.conf.broker_connection_retry_on_startup = True


@app.task
def note(result: dict[str, Any], label: str = "noted") -> dict[str, Any]:
    """A link: what it was given, under a label."""
    return {"label": label, "job": result["job"], "pictures": len(result["results"])}


@app.task
def total(results: list[dict[str, Any]]) -> dict[str, Any]:
    """A chord's body."""
    return {"jobs": sorted(result["job"] for result in results), "pictures": sum(len(r["results"]) for r in results)}


@app.task
def pick(path: str) -> str:
    """A task before a job: it finds the picture that the job takes."""
    return path


@app.task
def complain(task_id: str) -> None:
    """A link_error: Celery hands a task of another project the failed task's id."""
    app.backend.client.set(f"complaint:{task_id}", repr(app.AsyncResult(task_id).result))


@app.task
def complain_of_all(request: Any, exc: Exception, traceback: str) -> None:
    """A link_error of the newer form, which Celery calls with the failed task's request and error."""
    reason = exc.reason if isinstance(exc, JobError) else repr(exc)
    told = f"{reason} | {request.task} {sorted(request.kwargs)} | {traceback}"
    app.backend.client.set(f"complained:{request.id}", told)
