"""The core of every provider: it accepts submissions, bills them, and applies faults to requests."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from http import HTTPStatus
from typing import Any

from starlette.responses import HTMLResponse, JSONResponse, Response

from sandbox import recipes
from sandbox.callbacks import CallbackRequest, Callbacks
from sandbox.config import SandboxConfig, charge
from sandbox.faults import Call, Faults, Rule
from sandbox.jobs import Job, Jobs, Submission
from sandbox.recipes import Recipe
from sandbox.stats import Stats
from sandbox.store import Store
from sandbox.studio import Studio, UnusableInputError
from sandbox.transport import Reset, Silence
from workers import open_folders, private

logger = logging.getLogger(__name__)

GATEWAY_PAGE = "<html><head><title>{0}</title></head><body><center><h1>{0}</h1></center></body></html>"
NOISE = 0x5A  # what the bytes of a file are combined with, so that nothing of it is left
LOOK_AGAIN_SECONDS = 0.02  # between two checks of a call that waits for its result

#: Why a job fails that was accepted, when a fault rule says so.
DETAILS = {
    "no_face": "there is no face in the picture",
    "unreadable": "the picture cannot be fetched",
    "content": "the picture was rejected by the content filter",
    "internal": "the model crashed",
}


class Desk:
    """One sandbox's state: its durable jobs, its fault rules, its counts, and the studio that makes real pictures."""

    def __init__(self, config: SandboxConfig) -> None:
        self.config = config
        open_folders.close_home(private.folder(config.home))
        self.store = Store(config.home / "sandbox.sqlite3")
        self.jobs = Jobs(self.store)
        self.faults = Faults()
        self.stats = Stats()
        self.callbacks = Callbacks(self.jobs, self.faults, self.stats, config.callback_scale)
        self.studio = Studio(config.home, keep=config.pictures == "real")
        #: By provider: called with each of its jobs as soon as it is known how the job ends.
        self.on_end: dict[str, Callable[[Job], None]] = {}
        self._random = random.Random(config.seed)  # noqa: S311 (repeatable, not secret)
        self._making: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Continue the jobs that the last sandbox in this home left unfinished."""
        self.callbacks.open()
        now = time.time()
        for job in (*self.jobs.ready_after(now), *self.jobs.unfinished()):
            self._take(now, job)

    async def close(self) -> None:
        """Stop making pictures and commit."""
        for task in self._making:
            task.cancel()
        await self.callbacks.close()
        await asyncio.to_thread(self.studio.close)
        self.store.close()

    async def serve(
        self,
        call: Call,
        work: Callable[[Rule | None], Awaitable[Response]],
        refuse: Callable[[str], Response],
        throttle: Callable[[Rule], Response] | None = None,
    ) -> Response:
        """Answer one request of a provider by `work`, or as a fault rule has it.

        `refuse` says "auth" or "out_of_credit" in the provider's own way, and so may `throttle`. `work` gets the rule,
        for what only the acceptance of a job can do (see `accept`).
        """
        rule = self.faults.draw(call)
        self.stats.request(call, rule.fault if rule else None)
        if rule is None:
            return await work(None)
        match rule.fault:
            case "throttle" if throttle is not None:
                return throttle(rule)
            case "throttle":
                headers = {"Retry-After": rule.retry_after_header()}
                return JSONResponse({"message": "Too Many Requests"}, 429, headers)
            case "auth" | "out_of_credit":
                return refuse(rule.fault)
        if rule.stage == "before" and rule.fault in {"error5xx", "reset"}:
            return _instead(rule)
        if rule.stage == "before" and rule.fault == "latency":
            await asyncio.sleep(rule.seconds)
        answer = await work(rule)
        if rule.stage == "after" and rule.fault == "latency":
            await asyncio.sleep(rule.seconds)
        return _afterwards(rule, answer)

    async def accept(
        self,
        call: Call,
        handle: str,
        recipe: Recipe,
        *,
        rule: Rule | None,
        notes: dict[str, Any],
        error: str | None = None,
        callback: CallbackRequest | None = None,
    ) -> Job:
        """Bill a submission, commit it, and begin with its pictures.

        `error` makes the job fail later for a reason that the provider already knows. A lost job sends no callbacks.
        """
        if callback is not None and (rule is None or rule.fault != "lost"):
            notes = notes | {"callback": self.callbacks.note(call, callback)}
        job = await self.jobs.add(self._submission(call, handle, recipe, rule, *_with_fault(rule, error, notes)))
        self.callbacks.accepted(job)
        self._take(job.accepted_at, job)
        return job

    def _submission(
        self, call: Call, handle: str, recipe: Recipe, rule: Rule | None, error: str | None, notes: dict[str, Any]
    ) -> Submission:
        now = time.time()
        late = rule.seconds if rule and rule.fault == "late" else 0.0
        return Submission(
            provider=call.provider,
            operation=call.operation,
            account=call.account,
            reference=call.reference or None,
            handle=handle,
            pictures=recipe.pictures,
            amount=str(charge(f"{call.provider}.{call.operation}", recipe.pictures)),
            accepted_at=now,
            ready_at=now + self._latency(call.provider) + late,
            recipe=recipes.dump(recipe),
            notes=notes,
            finished=error is not None or self.config.pictures == "cheap",
            lost=rule is not None and rule.fault == "lost",
            error=error,
            detail=error and DETAILS.get(error, error),
        )

    async def finished(self, job: Job) -> Job:
        """Wait until `job` is failed or done, and return it as it is then."""
        await asyncio.sleep(job.ready_at - time.time())
        while not job.finished:
            await asyncio.sleep(LOOK_AGAIN_SECONDS)
            job = self.jobs.get(job.id) or job
        return job

    def _latency(self, provider: str) -> float:
        mean = self.config.latencies.get(provider, self.config.latency)
        return max(0.0, self._random.normalvariate(mean, self.config.spread)) if self.config.spread else mean

    def _take(self, now: float, job: Job) -> None:
        self.stats.accepted(now, f"{job.provider}:{job.account}", job.id, job.ready_at, made=job.finished)
        if job.finished:
            self._ended(job)
        else:
            task = asyncio.create_task(self._make(job))
            self._making.add(task)
            task.add_done_callback(self._making.discard)

    async def _make(self, job: Job) -> None:
        error: str | None = None
        detail: str | None = None
        recipe = recipes.load(job.recipe)
        try:
            await asyncio.get_running_loop().run_in_executor(self.studio.threads, self.studio.make, job.id, recipe)
        except UnusableInputError as unusable:
            error, detail = unusable.code, str(unusable)
        except Exception:
            logger.exception("job %d cannot be made", job.id)
            error, detail = "internal", DETAILS["internal"]
        await self.jobs.finish(job.id, error, detail)
        self.stats.made(f"{job.provider}:{job.account}", job.id)
        self._ended(replace(job, finished=True, error=error, detail=detail))

    def _ended(self, job: Job) -> None:
        self.callbacks.ended(job)
        notify = self.on_end.get(job.provider)
        if notify is not None:
            notify(job)


def _with_fault(rule: Rule | None, error: str | None, notes: dict[str, Any]) -> tuple[str | None, dict[str, Any]]:
    """Return a job's error and notes, as a fault rule changes them."""
    if rule and rule.fault == "fail":
        return rule.error, notes | {"form": rule.form}
    if rule and rule.fault == "withhold":
        return error, notes | {"withheld": rule.pictures}
    return error, notes


def _afterwards(rule: Rule, answer: Response) -> Response:
    """Return what the client gets of an answer that was given."""
    match rule.fault:
        case "malformed":
            return _damaged(answer, "half")
        case "damaged" if answer.status_code == HTTPStatus.OK:
            return _damaged(answer, rule.damage)
        case "error5xx" | "reset" | "accept_then_hang":
            return _instead(rule)
    return answer


def _instead(rule: Rule) -> Response:
    """Return what the client gets in place of an answer."""
    if rule.fault == "reset":
        return Reset()
    if rule.fault == "accept_then_hang":
        return Silence()
    status = rule.status or 502
    headers = {"Retry-After": rule.retry_after_header()} if "retry_after" in rule.model_fields_set else None
    return HTMLResponse(GATEWAY_PAGE.format(f"{status} Server Error"), status, headers)


def _damaged(answer: Response, damage: str) -> Response:
    """Return an answer whose body was damaged on its way, with the status and the type of the whole one."""
    whole = bytes(answer.body)
    bodies = {
        "half": whole[: len(whole) // 2],
        "empty": b"",
        "html": GATEWAY_PAGE.format("Service is being maintained").encode(),
        "noise": bytes(byte ^ NOISE for byte in whole),
    }
    return Response(bodies[damage], answer.status_code, media_type=answer.media_type)
