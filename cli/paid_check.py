"""`recast accounts check --paid`: one paid job at one account, with its requests and answers recorded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import typer

from cli.deployment import running_deployment
from cli.environment import choose
from cli.exit_codes import ExitCode
from cli.output import say, why
from cli.outputs import require_file
from cli.stack import Parts
from models.states import JobState
from recast.money import Money
from reports.job import JobDetail, find_detail
from workers import private
from workers.accounts.overrides import in_force
from workers.engine.runner import run as run_pump
from workers.engine.runtime import Runtime
from workers.engine.store import StorePump
from workers.jobs.request import JobRequest
from workers.operations.paid_check import plan, submit


def options_of(given: str) -> dict[str, Any]:
    """The options of an operation, from JSON.

    Raises:
        typer.BadParameter: they are not a JSON object.
    """
    try:
        options = json.loads(given)
    except ValueError as error:
        raise typer.BadParameter(f"{given!r} is not JSON: {error}", param_hint="--options") from None
    if not isinstance(options, dict):
        raise typer.BadParameter(f"{given!r} is not a JSON object", param_hint="--options")
    return options


def check_with_payment(ask: JobRequest, to: Path, *, yes: bool, sandbox: bool) -> None:
    """Ask, make one paid job, report its result, and write its requests and answers to `to`."""
    require_file(to, "--to")
    with running_deployment(choose(sandbox=sandbox), Parts(worker=False, sandbox=sandbox), sandbox=sandbox) as (
        runtime,
        _,
    ):
        account = runtime.account(str(ask.account))
        _, operation = plan(runtime, account, ask)
        priced = runtime.db(in_force, {account.name: account})[account.name]
        cost = priced.cost(account.operations[operation], ask.options)
        price = str(Money(cost, runtime.settings.currency)) if cost else "it has no price"
        if not yes:
            typer.confirm(f"{operation} at {account.name} will be billed ({price}). Continue?", abort=True)
        done = runtime.on_loop(submit(runtime, account, ask, say))
        _keep(to, json.dumps({"operation": operation, "exchanges": done.exchanges}, indent=2) + "\n")
        detail = _saved(runtime, done.job_id)
    state = detail.job.state
    say(state if state == JobState.SUCCEEDED else f"{state}: {why(detail.job.reason, detail.job.error)}")
    for result in detail.results:
        say(f"picture: {result.uri}")
    say(f"{len(done.exchanges)} requests and answers, without secrets: {to}")
    if state != JobState.SUCCEEDED:
        raise typer.Exit(ExitCode.PERSON if state == JobState.HELD else ExitCode.JOBS_FAILED)


def _keep(to: Path, recording: str) -> None:
    """Write a recording, for its owner alone; to a pipe or a terminal as it is."""
    if to.exists() and not to.is_file():
        to.write_text(recording)
    else:
        private.write(to, recording)


def _saved(runtime: Runtime, job_id: str) -> JobDetail:
    """Save the job's pictures here, whether or not a worker runs."""
    while True:
        run_pump(runtime, StorePump(runtime, 0), None)
        detail = runtime.db(find_detail, job_id, runtime.storage)
        if detail.job.state != JobState.SAVING:
            return detail
