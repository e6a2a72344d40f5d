"""Preparation of claimed jobs: inputs uploaded or linked, options validated, cost computed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

import structlog
from sqlalchemy import text
from sqlalchemy.orm import Session

from models.states import ACCOUNT_REASONS, REJECTING_REASONS, Closure, JobState, Reason
from providers.outcomes import Refused, Throttled, Unclear
from providers.protocol import NotSentError, Provider, UnclearError, UploadError
from providers.spec import Fit, FittedOptions, Input, Need, Order, Via
from workers.config.accounts import Account
from workers.engine.begin import Ready
from workers.engine.claims import Claim
from workers.engine.outcomes import Trouble
from workers.engine.runtime import Runtime
from workers.http.client import TooLargeError
from workers.http.ssrf import ForbiddenAddressError
from workers.http.urls import new_address
from workers.images.download import DeadUrlError, TransientDownloadError, fetch
from workers.images.inputs import (
    MAX_INPUT_BYTES,
    BadInputError,
    ImageSpec,
    InputTroubleError,
    LoadedImage,
    NoFaceInputError,
    load_image,
)
from workers.images.uris import is_remote
from workers.jobs.moves import JobMove

TROUBLE_WAIT_SECONDS = 15.0  # before a job whose input could not be read just now is claimed again

log = structlog.get_logger()

_NOTE_INPUT = text("""
    INSERT INTO inputs (uri, sha256, key) VALUES (:uri, :sha256, :key)
    ON CONFLICT (uri, sha256) DO UPDATE SET used_at = now(), key = coalesce(excluded.key, inputs.key)
""")
_KNOWN_UPLOAD = text("""
    SELECT handle FROM uploads WHERE account = :account AND role = :role AND sha256 = :sha256
        AND (expires_at IS NULL OR expires_at > clock_timestamp())
""")
_REMEMBER_UPLOAD = text("""
    INSERT INTO uploads (account, role, sha256, handle) VALUES (:account, :role, :sha256, :handle)
    ON CONFLICT (account, role, sha256) DO UPDATE SET handle = excluded.handle, created_at = clock_timestamp()
""")


@dataclass(frozen=True, slots=True)
class Prepared:
    """A job that can be sent as soon as its attempt is committed."""

    ready: Ready
    order: Order


@dataclass(frozen=True, slots=True)
class Unready:
    """A job that cannot be sent now: its next state, and the trouble of the account, if any."""

    job: JobMove
    trouble: Trouble | None = None


async def prepare(
    runtime: Runtime, account: Account, provider: Provider, claims: Sequence[Claim]
) -> tuple[list[Prepared], list[Unready]]:
    """Prepare claimed jobs side by side: those that can be sent, and those that cannot."""
    results = await asyncio.gather(*(_one(runtime, account, provider, claim) for claim in claims))
    return (
        [item for item in results if isinstance(item, Prepared)],
        [
            # A fault in the inputs of a former version does not concern the job's current version.
            replace(item, job=replace(item.job, version=claim.version))
            for item, claim in zip(results, claims, strict=True)
            if isinstance(item, Unready)
        ],
    )


async def _one(runtime: Runtime, account: Account, provider: Provider, claim: Claim) -> Prepared | Unready:
    if claim.expired:
        message = "the job expired before it could be sent"
        return Unready(JobMove(claim.job_id, JobState.CANCELED, Reason.EXPIRED, message, _QUEUED))
    try:
        return await _prepared(runtime, account, provider, claim)
    except UploadError as error:
        return _not_uploaded(claim, error.outcome)
    except NoFaceInputError as error:
        return Unready(JobMove(claim.job_id, JobState.REJECTED, Reason.NO_FACE, str(error), _QUEUED))
    except (BadInputError, ForbiddenAddressError, TooLargeError, DeadUrlError) as error:
        return Unready(JobMove(claim.job_id, JobState.REJECTED, Reason.BAD_INPUT, str(error), _QUEUED))
    except (InputTroubleError, TransientDownloadError, NotSentError, UnclearError) as error:
        log.warning("input_not_ready", job=claim.job_id, error=str(error))
        return _later(claim, str(error))


def _not_uploaded(claim: Claim, outcome: Refused | Throttled | Unclear) -> Unready:
    """An upload that the provider did not accept. Uploads cost nothing, so all but a bad picture is tried again."""
    if isinstance(outcome, Throttled):
        return _later(claim, outcome.message, Trouble(Closure.THROTTLED, outcome.message, outcome.retry_after))
    if isinstance(outcome, Refused) and outcome.reason in REJECTING_REASONS:
        return Unready(JobMove(claim.job_id, JobState.REJECTED, outcome.reason, outcome.message, _QUEUED))
    if isinstance(outcome, Refused) and outcome.reason in ACCOUNT_REASONS:
        return _later(claim, outcome.message, Trouble(Closure(outcome.reason), outcome.message, lasting=True))
    return _later(claim, outcome.message)


def _later(claim: Claim, message: str, trouble: Trouble | None = None) -> Unready:
    wait = 0.0 if trouble else TROUBLE_WAIT_SECONDS  # a stopped account waits already
    return Unready(JobMove(claim.job_id, JobState.QUEUED, None, message, _QUEUED, wait=wait), trouble)


_QUEUED = frozenset({JobState.QUEUED})


async def _prepared(runtime: Runtime, account: Account, provider: Provider, claim: Claim) -> Prepared:
    operation = account.operations[claim.operation]
    public_url = runtime.settings.public_url
    address, token = new_address(public_url) if operation.callback and public_url else (None, None)
    order = Order(
        reference=claim.reference,
        operation=claim.operation,
        options=operation.options.model_validate(dict(claim.options)),
        inputs={},
        prompt=claim.prompt,
        callback_url=address,
    )
    inputs = {}
    pictures = {**claim.pictures, **operation.option_pictures(claim.options)}
    for role, need in operation.needs.items():
        uri = pictures.get(role)
        if uri is not None:
            inputs[role] = await _input(runtime, account, provider, order, role, need, uri)
            noted = runtime.inputs.to_note(uri, inputs[role])
            if noted is not None:
                await runtime.adb(_note, *noted)
    order = replace(order, inputs=inputs)
    ready = Ready(
        claim=claim,
        cost=account.cost(operation, claim.options),
        locator=provider.locator(order),
        callback_token=token,
    )
    return Prepared(ready, order)


async def _input(
    runtime: Runtime, account: Account, provider: Provider, order: Order, role: str, need: Need, uri: str
) -> Input:
    fit = order.options.fit if isinstance(order.options, FittedOptions) else Fit.REJECT
    spec = ImageSpec(need, fit, account.check_face)
    if need.via is Via.URL:
        if not is_remote(uri):
            return await runtime.in_decoder(runtime.inputs.link, role, uri, spec)
        if need.exact:
            return await runtime.in_decoder(runtime.inputs.offer, await _load(runtime, account, role, uri, spec))
        if account.check_face:
            await _load(runtime, account, role, uri, spec)
        return Input(url=uri)
    loaded = await _load(runtime, account, role, uri, spec)
    known = loaded.known
    if need.via is Via.BYTES:
        return replace(known, data=loaded.data)
    if not need.shared:
        return replace(known, handle=await provider.upload(role, replace(order, inputs={role: known}), loaded.data))
    # One of the jobs that need the same upload makes it; the others wait for it.
    async with runtime.one_at_a_time(f"upload:{account.name}:{role}:{loaded.sha256}"):
        handle = await runtime.adb(_known_upload, account.name, role, loaded.sha256)
        if handle is None:
            handle = await provider.upload(role, replace(order, inputs={role: known}), loaded.data)
            await runtime.adb(_remember_upload, account.name, role, loaded.sha256, handle)
    return replace(known, handle=handle)


async def _load(runtime: Runtime, account: Account, role: str, uri: str, spec: ImageSpec) -> LoadedImage:
    data = await fetch(runtime.downloads(account), uri, max_bytes=MAX_INPUT_BYTES) if is_remote(uri) else None

    def made_ready() -> LoadedImage:
        loaded = runtime.inputs.read(role, uri) if data is None else load_image(role, uri, data)
        return runtime.inputs.ready(role, uri, loaded, spec)

    return await runtime.in_decoder(made_ready)


def _note(session: Session, uri: str, sha256: str, key: str | None) -> None:
    session.execute(_NOTE_INPUT, {"uri": uri, "sha256": sha256, "key": key})


def _known_upload(session: Session, account: str, role: str, sha256: str) -> str | None:
    upload = {"account": account, "role": role, "sha256": sha256}
    handle: str | None = session.execute(_KNOWN_UPLOAD, upload).scalar_one_or_none()
    return handle


def _remember_upload(session: Session, account: str, role: str, sha256: str, handle: str) -> None:
    session.execute(_REMEMBER_UPLOAD, {"account": account, "role": role, "sha256": sha256, "handle": handle})
