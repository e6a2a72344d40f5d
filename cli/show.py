"""`recast show`: everything of one job."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Annotated

import typer

from cli.environment import JsonOption, SandboxOption, looking
from cli.output import STATE_STYLES, duration, emit, moment, priced, say, why
from recast.money import Money
from reports.job import AttemptDetail, FormerVersion, JobDetail, PresentVersion, ResultDetail, find_detail
from workers.jobs.lanes import PARKED


def show(
    job: Annotated[str, typer.Argument(help="Its id, the beginning of it, its key, or BATCH/KEY.")],
    *,
    sandbox: SandboxOption = False,
    as_json: JsonOption = False,
) -> None:
    """Show everything of one job: the request, each attempt at a provider, former versions and the pictures."""
    with looking(sandbox=sandbox) as runtime:
        detail = runtime.db(find_detail, job, runtime.storage)
        currency = runtime.settings.currency
    if as_json:
        emit(priced({**asdict(detail), "cost": detail.cost}, currency))
    else:
        _tell(detail, currency)


def _tell(detail: JobDetail, currency: str) -> None:
    job = detail.job
    _tell_request(job, Money(detail.cost, currency))
    for former in detail.versions:
        _tell_former(former)
        for result in detail.results_of(former.version):
            _tell_result(result)
    for attempt in detail.attempts:
        of = f", for version {attempt.version}" if detail.versions else ""
        say(f"attempt {attempt.number}{of}: {attempt.operation} at {attempt.account}", style="bold")
        _tell_attempt(attempt, currency)
    if detail.versions:
        say(f"version {job.version}, the present one", style="bold")
    for result in detail.results_of(job.version):
        _tell_result(result)


def _tell_request(job: PresentVersion, cost: Money) -> None:
    say(f"job {job.id}", style="bold")
    pinned = {"account": job.account, "provider": job.provider, "operation": job.operation}
    _facts(
        {
            "batch": f"{job.batch} / {job.key}" if job.batch else None,
            "kind": job.kind,
            **job.pictures,
            "prompt": job.prompt,
            "options": job.options,
            "asked for": ", ".join(f"{name} {value}" for name, value in pinned.items() if value),
            "lane": job.lane.removeprefix(PARKED),
            "paused": "`recast resume` lets it go on" if job.lane.startswith(PARKED) else None,
            "created": moment(job.created_at),
            "deadline": moment(job.expires_at),
            "finished": moment(job.finished_at),
            "pictures": f"removed {moment(job.erased_at)}" if job.erased_at else None,
            "consent": job.consent,
            "metadata": job.extra,
            "spent": cost,
        }
    )
    say(f"  {_ended(job.state, job.reason, job.error)}", style=STATE_STYLES[job.state])


def _tell_former(former: FormerVersion) -> None:
    say(f"version {former.version}, replaced {moment(former.replaced_at)}", style="bold")
    _facts(
        {
            **former.pictures,
            "prompt": former.prompt,
            "options": former.options,
            "consent": former.consent,
            "state": _ended(former.state, former.reason, former.error),
        }
    )


def _tell_attempt(attempt: AttemptDetail, currency: str) -> None:
    took = attempt.finished_at - attempt.sent_at if attempt.finished_at else None
    times = f" ({attempt.send_count} times)" if attempt.send_count > 1 else ""
    _facts(
        {
            "state": _ended(attempt.state, attempt.reason, attempt.error),
            "reference": attempt.reference,
            "handle": attempt.handle,
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


def _tell_result(result: ResultDetail) -> None:
    say(f"picture {result.index} of attempt {result.attempt}", style="bold")
    size = f"{result.width} x {result.height} pixels, {result.size:,} bytes, {result.media_type}"
    _facts({"uri": result.uri, "size": size, "sha256": result.sha256, "facts": result.facts})


def _ended(state: str, reason: str | None, error: str | None) -> str:
    return f"{state}: {why(reason, error)}" if reason or error else state


def _facts(facts: Mapping[str, object]) -> None:
    for name, value in facts.items():
        if value not in (None, "", {}):
            written = json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else value
            say(f"  {name:<10} {written}")
