"""`recast show`: the detail of one job."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Annotated

import typer

from cli.deployment import open_deployment
from cli.environment import JsonOption, SandboxOption
from cli.output import STATE_STYLES, Style, duration, emit, moment, priced, say, why
from models.states import JobState
from recast.hints import hint
from recast.money import Money
from reports.flags import sentence, words
from reports.job import AttemptDetail, FormerVersion, JobDetail, PresentVersion, ResultDetail, find_detail
from workers.jobs.lanes import PARKED, WAITING, bare


def show(
    job: Annotated[str, typer.Argument(help="Job id, the beginning of one, key, or BATCH/KEY.")],
    *,
    sandbox: SandboxOption = False,
    as_json: JsonOption = False,
) -> None:
    """Show one job: request, attempts, pictures, former versions."""
    with open_deployment(sandbox=sandbox) as runtime:
        detail = runtime.db(find_detail, job, runtime.storage)
        currency = runtime.settings.currency
    if as_json:
        emit(priced({**asdict(detail), "cost": detail.cost}, currency))
    else:
        _print(detail, currency)


def _print(detail: JobDetail, currency: str) -> None:
    job = detail.job
    _print_request(job, Money(detail.cost, currency))
    if job.state == JobState.HELD:
        _print_decision(job.id, detail.attempts[-1] if detail.attempts else None)
    for former in detail.versions:
        _print_former(former)
        for result in detail.results_of(former.version):
            _print_result(result)
    for attempt in detail.attempts:
        of = f", version {attempt.version}" if detail.versions else ""
        say(f"attempt {attempt.number}{of}: {attempt.operation} at {attempt.account}", style="bold")
        _print_attempt(attempt, currency)
    if detail.versions:
        say(f"version {job.version}, current", style="bold")
    for result in detail.results_of(job.version):
        _print_result(result)


def _print_request(job: PresentVersion, cost: Money) -> None:
    say(f"job {job.id}", style="bold")
    pinned = {"account": job.account, "provider": job.provider, "operation": job.operation}
    _print_fields(
        {
            "batch": f"{job.batch} / {job.key}" if job.batch else None,
            "kind": job.kind,
            **job.pictures,
            "prompt": job.prompt,
            "options": job.options,
            "pinned to": ", ".join(f"{name} {value}" for name, value in pinned.items() if value),
            "lane": bare(job.lane),
            "paused": f"{hint('resume', job.id)} sends it again" if PARKED in job.lane else None,
            "waits": f"for the pilot of its batch: {hint('pilot', job.batch)}" if WAITING in job.lane else None,
            "created": moment(job.created_at),
            "deadline": moment(job.expires_at),
            "finished": moment(job.finished_at),
            "pictures": f"removed {moment(job.erased_at)}" if job.erased_at else None,
            "consent": job.consent,
            "metadata": job.extra,
            "spent": cost,
        }
    )
    say(f"  {_state_text(job.state, job.reason, job.error)}", style=STATE_STYLES[job.state])


def _print_decision(job_id: str, last: AttemptDetail | None) -> None:
    style = STATE_STYLES[JobState.HELD]
    say(f"  waiting for a decision (held): {hint('resolve', job_id)}", style=style)
    if last is not None and last.callback_at is not None:
        proof = (
            f"the provider called back at {moment(last.callback_at)}, so it accepted the job: find its id there, then"
        )
        say(f"  {proof} {hint('resolve', job_id, accepted='HANDLE')}", style=style)


def _print_former(former: FormerVersion) -> None:
    say(f"version {former.version}, replaced {moment(former.replaced_at)}", style="bold")
    _print_fields(
        {
            **former.pictures,
            "prompt": former.prompt,
            "options": former.options,
            "consent": former.consent,
            "state": _state_text(former.state, former.reason, former.error),
        }
    )


def _print_attempt(attempt: AttemptDetail, currency: str) -> None:
    took = attempt.finished_at - attempt.sent_at if attempt.finished_at else None
    times = f" ({attempt.send_count} times)" if attempt.send_count > 1 else ""
    _print_fields(
        {
            "state": _state_text(attempt.state, attempt.reason, attempt.error),
            "client ref": attempt.reference,
            "provider id": attempt.handle,
            "cost": Money(attempt.cost, currency),
            "instead of": attempt.passed_over,
            "sent": moment(attempt.sent_at) + times,
            "accepted": moment(attempt.accepted_at),
            "callback": moment(attempt.callback_at),
            "finished": moment(attempt.finished_at) + (f" (after {duration(took.total_seconds())})" if took else ""),
            "polls": attempt.polls,
            "next poll": moment(attempt.next_poll_at),
            "answer": "".join(letter if letter.isprintable() else " " for letter in attempt.answer or ""),
        }
    )


def _print_result(result: ResultDetail) -> None:
    say(f"picture {result.index} of attempt {result.attempt}", style="bold")
    size = f"{result.width} x {result.height} pixels, {result.size:,} bytes, {result.media_type}"
    _print_fields(
        {"uri": result.uri, "size": size, "sha256": result.sha256, "provenance": result.stated, "facts": result.facts}
    )
    for check in result.checks:
        if check["flagged"]:
            figures = f"({check['score']:.2f}, flagged from {check['threshold']:.2f})"
            say(f"  {'check':<11} {words(check['name'])}: {sentence(check['name'])} {figures}", style=Style.WAITING)
    fine = [f"{words(check['name'])} {check['score']:.2f}" for check in result.checks if not check["flagged"]]
    _print_fields({"no fault in": ", ".join(fine)})


def _state_text(state: str, reason: str | None, error: str | None) -> str:
    return f"{state}: {why(reason, error)}" if reason or error else state


def _print_fields(facts: Mapping[str, object]) -> None:
    for name, value in facts.items():
        if value not in (None, "", {}):
            written = json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else value
            say(f"  {name:<11} {written}")
