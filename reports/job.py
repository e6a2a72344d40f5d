"""Job details, and filtered lists of jobs."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from catalog.errors import UnknownJobError
from models.base import LAST_BIGINT
from models.fragments import PLACE, checks_of
from models.jobs import ROLES
from models.states import UNPAID_ATTEMPT_STATES, JobState
from reports import archives
from reports.provenance import stated
from workers.jobs.filters import JOBS, LAST, Filter, Filtered
from workers.jobs.request import CONSENT

if TYPE_CHECKING:  # lists of jobs need none
    from workers.images.storage import Storage

MIN_PREFIX = 8  # characters of an id: with fewer, too many ids match, as four are the same in a whole batch
ANSWER_BYTES = 4_000  # of a provider's answer, which can contain a whole picture

_FIND = text("""
    SELECT j.id FROM jobs j JOIN batches b ON b.id = j.batch_id
    WHERE j.id = :word OR (b.name = :batch AND j.key = :key) OR j.id LIKE :prefix
    ORDER BY (j.id = :word) DESC, j.seq DESC LIMIT 2
""")
_BY_KEY = text("SELECT id FROM jobs WHERE batch_id > 0 AND key = :key ORDER BY seq DESC LIMIT 2")
_JOB = text("""
    SELECT j.id, b.name AS batch, j.batch_id, j.key, j.lane, j.priority, j.dedupe_key, j.version, j.kind, j.source,
        j.target, j.image, j.prompt, j.options, j.account, j.provider, j.operation, j.extra, j.state, j.reason, j.error,
        j.created_at, j.not_before, j.expires_at, j.started_at, j.finished_at, j.erased_at,
        j.kept_attempt
    FROM jobs j JOIN batches b ON b.id = j.batch_id WHERE j.id = :id
""")
_VERSIONS = text("""
    SELECT version, last_attempt, kind, source, target, image, prompt, options, account, provider, operation, extra,
        state, reason, error, started_at, finished_at, replaced_at
    FROM versions WHERE job_id = :id ORDER BY version
""")
_ATTEMPTS = text("""
    SELECT id AS reference, number, account, operation, state, reason, error, handle, send_count, cost, passed_over,
        created_at, sent_at, accepted_at, finished_at, next_poll_at, deadline_at, callback_at, polls,
        substring(raw FOR :answer_bytes) AS answer
    FROM attempts WHERE job_id = :id ORDER BY number
""")
_RESULTS = text(f"""
    SELECT r.id, r.index, r.key, r.sha256, r.original_key, r.original_sha256, r.mark_start, r.mark_length,
        r.provenance, r.source_type, r.size,
        r.media_type, r.width, r.height, r.facts, r.created_at, a.number AS attempt,
        {checks_of("r.id")} AS checks
    FROM results r JOIN attempts a ON a.id = r.attempt_id WHERE r.job_id = :id ORDER BY a.number, r.index
""")
_INPUTS = text("""
    SELECT source, target, image FROM jobs WHERE id = :id AND version = coalesce(:version, version)
    UNION ALL SELECT source, target, image FROM versions WHERE job_id = :id AND version = :version
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """The request of one version of a job, and how it ended."""

    version: int
    kind: str
    source: str | None
    target: str | None
    image: str | None
    prompt: str | None
    options: Mapping[str, Any]
    #: The account, provider and operation that the request pins, if any.
    account: str | None
    provider: str | None
    operation: str | None
    #: Further columns of the catalog's row.
    extra: Mapping[str, Any]
    state: str
    reason: str | None
    error: str | None
    started_at: datetime | None
    finished_at: datetime | None

    @property
    def pictures(self) -> dict[str, str]:
        """The input pictures by role."""
        return {role: uri for role in ROLES if (uri := getattr(self, role))}

    @property
    def consent(self) -> str | None:
        """The reference of the release that the person shown has signed."""
        return self.extra.get(CONSENT)


@dataclass(frozen=True, slots=True, kw_only=True)
class FormerVersion(Request):
    """The request of a catalog's row before it was changed."""

    #: The number of its last attempt, or of the last attempt before it.
    last_attempt: int
    replaced_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class PresentVersion(Request):
    """The present version of a job."""

    id: str
    #: The batch's name; empty for a single job.
    batch: str
    batch_id: int
    key: str | None
    lane: str
    priority: int
    dedupe_key: str | None
    created_at: datetime
    #: The job is not sent before `not_before` or after `expires_at`.
    not_before: datetime | None
    expires_at: datetime | None
    #: When its pictures were removed from the storage.
    erased_at: datetime | None
    #: The attempt whose pictures are the job's, until a redo has made others.
    kept_attempt: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptDetail:
    """One paid submission for `version`; `reference` is the client reference that the provider got."""

    reference: uuid.UUID
    number: int
    version: int
    account: str
    operation: str
    state: str
    reason: str | None
    error: str | None
    handle: str | None
    send_count: int
    cost: Decimal
    passed_over: str | None
    created_at: datetime
    sent_at: datetime
    accepted_at: datetime | None
    finished_at: datetime | None
    next_poll_at: datetime | None
    deadline_at: datetime
    #: The time of the provider's last callback.
    callback_at: datetime | None
    polls: int
    #: The beginning of the provider's last answer.
    answer: str | None

    @property
    def paid(self) -> bool:
        """Whether its cost counts: the provider accepted it, or may have accepted it."""
        return self.state not in UNPAID_ATTEMPT_STATES


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultDetail:
    """One result; `attempt` is the number of its attempt, `version` the version that has it.

    That is the version it was made for; or the present one, which kept it when nothing came of a redo.
    """

    id: int
    index: int
    attempt: int
    version: int
    uri: str
    key: str
    sha256: str
    original_key: str | None
    original_sha256: str | None
    #: Where in the stored file our mark lies, in bytes; without it, the file is the provider's.
    mark_start: int | None
    mark_length: int | None
    #: How the file says what made it, a `models.results.Provenance`, and the digital source type that it states.
    provenance: str | None
    source_type: str | None
    size: int
    media_type: str
    width: int
    height: int
    facts: Mapping[str, Any]
    #: What quality checks measured, the worst first: name, score, threshold, flagged.
    checks: Sequence[Mapping[str, Any]]
    created_at: datetime

    @property
    def stated(self) -> str | None:
        """How the file says what made it, in words."""
        return stated(self.provenance, self.source_type)


_COLUMNS = f"""
    j.id, b.name AS batch, j.key, j.kind, j.state, j.reason, j.error, j.created_at, j.finished_at,
    {PLACE}
"""
_LISTED = Filtered(
    lambda which: f"SELECT {_COLUMNS} FROM {JOBS} {LAST} WHERE {which.where} ORDER BY j.seq DESC LIMIT :limit"
)
# One short index scan for each state, so that a page of a million jobs costs the same as a page of ten.
_PAGE = Filtered(
    lambda which: (
        f"""
        SELECT {_COLUMNS}
        FROM (
            SELECT found.id FROM unnest(cast(:any_of AS text[])) AS wanted(state) CROSS JOIN LATERAL (
                SELECT j.id, j.seq FROM {which.jobs}
                WHERE j.batch_id = :batch_id AND j.state = wanted.state AND {which.where}
                    AND j.seq < coalesce((SELECT o.seq FROM jobs o WHERE o.id = :before), cast(:last AS bigint))
                ORDER BY j.seq DESC LIMIT :limit
            ) found ORDER BY found.seq DESC LIMIT :limit
        ) page JOIN jobs j ON j.id = page.id JOIN batches b ON b.id = j.batch_id {LAST} ORDER BY j.seq DESC
    """
    )
)


@dataclass(frozen=True, slots=True)
class JobDetail:
    """A job with its request, attempts, costs, answers and results.

    `versions` are the former versions, oldest first. Amounts are in the deployment's currency.
    """

    job: PresentVersion
    attempts: tuple[AttemptDetail, ...]
    results: tuple[ResultDetail, ...]
    versions: tuple[FormerVersion, ...] = ()

    @property
    def cost(self) -> Decimal:
        """The cost of all paid attempts."""
        return sum((attempt.cost for attempt in self.attempts if attempt.paid), Decimal(0))

    def results_of(self, version: int) -> list[ResultDetail]:
        """The results of one version."""
        return [result for result in self.results if result.version == version]


@dataclass(frozen=True, slots=True)
class ListedJob:
    """A job in a list; account and operation are those of its latest attempt, or those that it requests."""

    id: str
    batch: str
    key: str | None
    kind: str
    state: str
    reason: str | None
    error: str | None
    account: str | None
    operation: str | None
    created_at: datetime
    finished_at: datetime | None


def job_detail(session: Session, job_id: str, storage: Storage) -> JobDetail | None:
    """The details of the job with exactly this id, or None."""
    found = session.execute(_JOB, {"id": job_id}).first()
    if found is None:
        return None
    versions = tuple(FormerVersion(**row._mapping) for row in session.execute(_VERSIONS, {"id": job_id}))

    def version(attempt: int) -> int:
        former = (each.version for each in versions if attempt <= each.last_attempt)
        return int(next(former, found.version))

    def attempts() -> Iterator[AttemptDetail]:
        for row in session.execute(_ATTEMPTS, {"id": job_id, "answer_bytes": ANSWER_BYTES}):
            answer = None if row.answer is None else bytes(row.answer).decode(errors="replace")
            yield AttemptDetail(**{**row._mapping, "version": version(row.number), "answer": answer})

    def results() -> Iterator[ResultDetail]:
        for row in session.execute(_RESULTS, {"id": job_id}):
            of = found.version if row.attempt == found.kept_attempt else version(row.attempt)
            yield ResultDetail(**row._mapping, version=of, uri=storage.url(row.key))

    return JobDetail(PresentVersion(**found._mapping), tuple(attempts()), tuple(results()), versions)


def find_detail(session: Session, word: str, storage: Storage) -> JobDetail:
    """The details of the job that `word` names: its id, the beginning of its id, a key, or ``BATCH/KEY``.

    Raises:
        UnknownJobError: it names no job, or several.
    """
    try:
        job_id = job_id_of(session, word)
    except UnknownJobError:
        archives.refuse(session, name=word.rpartition("/")[0])
        raise
    found = job_detail(session, job_id, storage)
    if found is None:
        raise UnknownJobError(word)
    return found


def input_uri(session: Session, job_id: str, role: str, version: int | None = None) -> str | None:
    """The address of the input picture `role` of a version of a job, by default of the present version."""
    row = session.execute(_INPUTS, {"id": job_id, "version": version}).first()
    uri: str | None = row._mapping[role] if row is not None else None
    return uri


def listed(session: Session, which: Filter, limit: int) -> list[ListedJob]:
    """The latest jobs that match, newest first."""
    return [ListedJob(**row._mapping) for row in _LISTED.execute(session, which, limit=limit)]


def page(session: Session, batch_id: int, which: Filter, limit: int, before: str | None = None) -> list[ListedJob]:
    """The latest jobs of a batch that match, newest first, from those before the job with the id `before`."""
    states = list(which.states or JobState)
    rows = _PAGE.execute(
        session, which, batch_id=batch_id, any_of=states, before=before or "", last=LAST_BIGINT, limit=limit
    )
    return [ListedJob(**row._mapping) for row in rows]


def job_id_of(session: Session, word: str) -> str:
    """The id of the job that `word` names: its id, the beginning of its id, a key, or ``BATCH/KEY``.

    Raises:
        UnknownJobError: it names no job, or several.
    """
    batch, _, key = word.rpartition("/")
    prefix = _literal(word) + ("%" if len(word) >= MIN_PREFIX else "")
    parameters = {"word": word, "batch": batch, "key": key, "prefix": prefix}
    found = session.execute(_FIND, parameters).scalars().all()
    if word in found:
        return word
    found = found or session.execute(_BY_KEY, {"key": word}).scalars().all()
    if len(found) != 1:
        raise UnknownJobError(word, several=bool(found))
    return str(found[0])


def _literal(word: str) -> str:
    """`word` escaped for LIKE, so that none of its characters is a wildcard."""
    return word.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
