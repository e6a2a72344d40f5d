"""Preparation of claimed jobs: inputs uploaded or linked, options validated, cost computed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

import structlog
from sqlalchemy import text
from sqlalchemy.orm import Session

from models.fragments import seconds_ago, seconds_from_now
from models.states import ACCOUNT_REASONS, REJECTING_REASONS, Closure, JobState, Reason
from providers.outcomes import Refused, Throttled
from providers.protocol import NotSentError, Provider, UnclearError, UploadError
from providers.spec import Fit, FittedOptions, Input, Need, Order, Via
from workers.backoff import Backoff
from workers.config.accounts import Account
from workers.engine.begin import Ready
from workers.engine.blame import gives_links
from workers.engine.claims import Claim
from workers.engine.effects import Trouble
from workers.engine.leases import MAX_LAPSES
from workers.engine.listed import UnlistedError, check_listed
from workers.engine.looks import OwnWebError, insisted
from workers.engine.runtime import Runtime
from workers.http.client import TooLargeError
from workers.http.ssrf import ForbiddenAddressError
from workers.images.download import DeadUrlError, TransientDownloadError, fetch
from workers.images.inputs import (
    MAX_INPUT_BYTES,
    BadInputError,
    ImageSpec,
    InputTroubleError,
    LoadedImage,
    NoFaceInputError,
    OwnStorageError,
    load_image,
)
from workers.images.uris import is_remote
from workers.jobs.releases import says
from workers.jobs.state_changes import JobMove

FRESH_UPLOAD_SECONDS = 60.0  # a younger upload that is refused is not forgotten but wrong, and is not made again
INPUT_AGAIN = Backoff(first=5.0, cap=60.0)  # before a job whose input could not be read just now is claimed again
INPUT_TRIES = 7  # about three minutes: a server that restarts is back by then, and every run ends
UPLOAD_TRIES = 12  # the account stops between them, so that an outage of half an hour costs no job
OWN_WEB_LONGEST_SECONDS = 30.0  # between two looks at our own web: they cost nothing

log = structlog.get_logger()

_NOTE_INPUT = text("""
    INSERT INTO inputs (uri, sha256, key) VALUES (:uri, :sha256, :key)
    ON CONFLICT (uri, sha256) DO UPDATE SET used_at = now(), key = coalesce(excluded.key, inputs.key)
""")
_KNOWN_UPLOAD = text(f"""
    SELECT handle, created_at < {seconds_ago("cast(:fresh AS float8)")} AS old FROM uploads
    WHERE account = :account AND role = :role AND sha256 = :sha256
        AND coalesce(expires_at, created_at + cast(:life AS float8) * interval '1 second', 'infinity')
            > clock_timestamp()
""")
_REMEMBER_UPLOAD = text(f"""
    INSERT INTO uploads (account, role, sha256, handle, expires_at)
    VALUES (:account, :role, :sha256, :handle, {seconds_from_now("cast(:life AS float8)")})
    ON CONFLICT (account, role, sha256) DO UPDATE
    SET handle = excluded.handle, created_at = clock_timestamp(), expires_at = excluded.expires_at
""")


@dataclass(frozen=True, slots=True)
class Prepared:
    """A job that can be sent as soon as its attempt is committed."""

    ready: Ready
    order: Order
    #: Whether the provider gets a picture by a link of ours.
    links: bool = False


@dataclass(frozen=True, slots=True)
class Unready:
    """A job that cannot be sent now: its next state, and the trouble of the account, if any."""

    job: JobMove
    trouble: Trouble | None = None
    #: Whether an input could not be read or uploaded, which counts.
    tried: bool = False
    #: Seconds for which the provider wants no other request of the account.
    hold: float = 0.0


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
    ended = _ended(claim)
    if ended is not None:
        return Unready(ended)
    try:
        return await _prepared(runtime, account, provider, claim)
    except UploadError as error:
        return _not_uploaded(claim, error)
    except UnlistedError as error:
        return Unready(JobMove(claim.job_id, JobState.REJECTED, Reason.BAD_INPUT, str(error), _QUEUED))
    except NoFaceInputError as error:
        return Unready(JobMove(claim.job_id, JobState.REJECTED, Reason.NO_FACE, str(error), _QUEUED))
    except (BadInputError, ForbiddenAddressError, TooLargeError, DeadUrlError) as error:
        return Unready(JobMove(claim.job_id, JobState.REJECTED, Reason.BAD_INPUT, str(error), _QUEUED))
    except (OwnWebError, OwnStorageError) as error:
        return _later(claim, str(error), Trouble(Closure.OUTAGE, str(error), longest=OWN_WEB_LONGEST_SECONDS))
    except (InputTroubleError, TransientDownloadError) as error:
        log.warning("input_not_ready", job=claim.job_id, error=str(error))
        return _counted(claim, Reason.INPUT_UNAVAILABLE, str(error), INPUT_TRIES)
    except (NotSentError, UnclearError) as error:
        # Nothing but uploads is sent to the provider here, and they cost nothing.
        message = f"{_NOT_UPLOADED}: {error.cause}"
        log.warning("input_not_ready", job=claim.job_id, error=message)
        return _later(claim, message, Trouble(Closure.OUTAGE, message))


def _ended(claim: Claim) -> JobMove | None:
    """How a job ends that is not even prepared; None where it may be."""
    if claim.expired:
        message = "the job expired before it could be sent"
        return JobMove(claim.job_id, JobState.CANCELED, Reason.EXPIRED, message, _QUEUED)
    if claim.unreleased is not None:
        message = says(claim.consent or "", claim.unreleased)
        return JobMove(claim.job_id, JobState.REJECTED, Reason.CONSENT, message, _QUEUED)
    if claim.lapses >= MAX_LAPSES:
        message = f"{claim.lapses} workers in a row ended while they prepared its pictures; nothing was sent"
        return JobMove(claim.job_id, JobState.FAILED, Reason.WORKER_LOST, message, _QUEUED)
    return None


def _not_uploaded(claim: Claim, error: UploadError) -> Unready:
    """An upload that the provider did not accept. Uploads cost nothing, so all but a bad picture is tried again."""
    outcome, message = error.outcome, f"{_NOT_UPLOADED}: {error.outcome.message}"
    if isinstance(outcome, Refused) and outcome.reason in REJECTING_REASONS:
        return Unready(JobMove(claim.job_id, JobState.REJECTED, outcome.reason, message, _QUEUED))
    if isinstance(outcome, Refused) and outcome.reason in ACCOUNT_REASONS:
        return _later(claim, message, Trouble(Closure(outcome.reason), message, lasting=True))
    if isinstance(outcome, Refused):
        return _counted(claim, outcome.reason, message, INPUT_TRIES)
    hold = error.retry_after or 0.0
    if isinstance(outcome, Throttled):
        wait = error.retry_after if outcome.retry_after is None else outcome.retry_after
        return _later(claim, message, Trouble(Closure.THROTTLED, message, wait), hold=wait or hold)
    # It may be the picture all the same, so these are counted as well.
    trouble = Trouble(Closure.OUTAGE, message, error.retry_after)
    return replace(_counted(claim, Reason.PROVIDER_ERROR, message, UPLOAD_TRIES, wait=0.0), trouble=trouble, hold=hold)


_NOT_UPLOADED = "the picture could not be uploaded"


def _counted(claim: Claim, reason: Reason, message: str, tries: int, wait: float | None = None) -> Unready:
    """A job that is tried again later, and fails for `reason` when that was done often enough."""
    if claim.input_tries + 1 >= tries:
        said = f"{message}; tried {tries} times"
        return Unready(JobMove(claim.job_id, JobState.FAILED, reason, said, _QUEUED))
    wait = INPUT_AGAIN.delay(claim.input_tries) if wait is None else wait
    return Unready(JobMove(claim.job_id, JobState.QUEUED, None, message, _QUEUED, wait=wait), tried=True)


def _later(claim: Claim, message: str, trouble: Trouble, hold: float = 0.0) -> Unready:
    # The account is stopped, so the job need not wait by itself.
    return Unready(JobMove(claim.job_id, JobState.QUEUED, None, message, _QUEUED), trouble, hold=hold)


_QUEUED = frozenset({JobState.QUEUED})


async def _prepared(runtime: Runtime, account: Account, provider: Provider, claim: Claim) -> Prepared:
    operation = account.operations[claim.operation]
    public_url = runtime.settings.public_url
    called = operation.callback and public_url
    address, token = runtime.callback_tokens.new_address(called) if called else (None, None)
    order = Order(
        reference=claim.reference,
        operation=claim.operation,
        options=operation.options.model_validate(dict(claim.options)),
        inputs={},
        prompt=claim.prompt,
        callback_url=address,
    )
    await check_listed(runtime, account, provider, operation, claim.options)
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
    return Prepared(ready, order, gives_links(operation, pictures))


async def _input(
    runtime: Runtime, account: Account, provider: Provider, order: Order, role: str, need: Need, uri: str
) -> Input:
    fit = order.options.fit if isinstance(order.options, FittedOptions) else Fit.REJECT
    spec = ImageSpec(need, fit, account.check_face, runtime.settings.plain_inputs)
    if need.via is Via.URL:
        return await _linked(runtime, account, role, uri, spec)
    loaded = await _load(runtime, account, role, uri, spec)
    known = loaded.known
    if need.via is Via.BYTES:
        return replace(known, data=loaded.data)
    if not need.shared:
        return replace(known, handle=await provider.upload(role, replace(order, inputs={role: known}), loaded.data))
    # One of the jobs that need the same upload makes it; the others wait for it.
    async with runtime.one_at_a_time(f"upload:{account.name}:{role}:{loaded.sha256}"):
        earlier = await runtime.adb(_known_upload, account.name, role, loaded.sha256, need.life)
        if earlier is not None:
            return replace(known, handle=earlier[0], reused=earlier[1])
        handle = await provider.upload(role, replace(order, inputs={role: known}), loaded.data)
        await runtime.adb(_remember_upload, account.name, role, loaded.sha256, handle, need.life)
    return replace(known, handle=handle)


async def _linked(runtime: Runtime, account: Account, role: str, uri: str, spec: ImageSpec) -> Input:
    """A picture as an address that the provider can fetch, which was looked at."""
    if is_remote(uri) and not spec.need.exact:
        if account.check_face:
            await _load(runtime, account, role, uri, spec)
        elif runtime.settings.check_addresses:
            async with runtime.one_at_a_time(f"look:{account.name}:{uri}"):
                await runtime.addresses.require(runtime.downloads(account), account.name, uri)
        return Input(url=uri)
    if is_remote(uri):
        made = await runtime.in_thread(runtime.inputs.offer, await _load(runtime, account, role, uri, spec))
    else:
        made = await runtime.in_decoder(runtime.inputs.link, role, uri, spec)
    await runtime.own_web.require(made.url)
    return made


async def _load(runtime: Runtime, account: Account, role: str, uri: str, spec: ImageSpec) -> LoadedImage:
    if is_remote(uri):
        client = runtime.downloads(account)
        data = await insisted(lambda: fetch(client, uri, max_bytes=MAX_INPUT_BYTES))
    else:
        data = await runtime.in_thread(runtime.inputs.read_bytes, role, uri)
    return await runtime.in_decoder(lambda: runtime.inputs.ready(role, uri, load_image(role, uri, data), spec))


def _note(session: Session, uri: str, sha256: str, key: str | None) -> None:
    session.execute(_NOTE_INPUT, {"uri": uri, "sha256": sha256, "key": key})


def _known_upload(
    session: Session, account: str, role: str, sha256: str, life: timedelta | None
) -> tuple[str, bool] | None:
    """An upload's handle, and whether it is so old that the provider may have forgotten it."""
    upload = {"account": account, "role": role, "sha256": sha256, "fresh": FRESH_UPLOAD_SECONDS}
    row = session.execute(_KNOWN_UPLOAD, {**upload, "life": life and life.total_seconds()}).one_or_none()
    return row and (row.handle, row.old)


def _remember_upload(
    session: Session, account: str, role: str, sha256: str, handle: str, life: timedelta | None
) -> None:
    upload = {"account": account, "role": role, "sha256": sha256, "handle": handle}
    session.execute(_REMEMBER_UPLOAD, {**upload, "life": life and life.total_seconds()})
