"""Erasure of a person's data: pictures leave the storage and the rows; the books, which name no picture, stay.

Providers' copies are not removed: no documented API does that, so the report lists what each provider has.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from celery.exceptions import BackendError
from redis.exceptions import RedisError
from sqlalchemy import text
from sqlalchemy.orm import Session

from models import attempts, jobs
from models.attempts import Attempt
from models.base import Base
from models.connection import take_time
from models.fragments import columns, is_paid
from models.jobs import ROLES, Job, Version
from models.states import JobState, Reason
from workers.engine.record import waiting_for
from workers.engine.runtime import Runtime
from workers.images.foreign import converted
from workers.images.inputs import MAX_INPUT_BYTES
from workers.images.roots import Roots
from workers.images.segments import BadPictureError
from workers.images.uris import file_of
from workers.jobs.state_changes import JobMove
from workers.jobs.transitions import move_jobs
from workers.messaging.app import app
from workers.messaging.publish import announce
from workers.operations.erase import Removed, expect, remove_files, take_results


def _named(picture: str) -> str:
    """SQL: whether `picture` is one of the person's: by its address, or by the digest in an address of our storage."""
    return f"({picture} = ANY(:uris) OR substring({picture} FROM '[0-9a-f]{{64}}') = ANY(:digests))"


#: SQL: each text within a row's options, however deep: a provider's own inputs may be nested, and name pictures too.
_OPTIONS = """
    SELECT value #>> '{}' AS value FROM jsonb_path_query(options, 'strict $.**') AS value
    WHERE jsonb_typeof(value) = 'string'
"""
_ASKS = f"""
    {" OR ".join(map(_named, ROLES))}
    OR EXISTS (SELECT 1 FROM ({_OPTIONS}) AS option WHERE {_named("option.value")})
    OR extra @> ANY(cast(:metadata AS jsonb[]))
"""
_JOBS = text(f"""
    SELECT id, state FROM jobs WHERE {_ASKS} OR id IN (SELECT job_id FROM versions WHERE {_ASKS})
    ORDER BY id FOR UPDATE
""")
# A picture that was made of the person's shows the person, too.
_MADE = text("""
    SELECT key, thumbnail_key, original_key, sha256, size FROM results WHERE job_id = ANY(:ids)
""")
_SAME = text("SELECT DISTINCT uri FROM inputs WHERE sha256 = ANY(:digests)")


def _uris(table: str, which: str) -> str:
    """SQL: every picture that rows of jobs or versions name."""
    return f"""
        SELECT unnest(ARRAY[{columns(ROLES)}]) AS uri FROM {table} WHERE {which}
        UNION SELECT option.value FROM {table}, LATERAL ({_OPTIONS}) AS option WHERE {which}
    """


# Of a job's pictures, those that no other job names: a coat that all models wear is not the person's.
_OWN_URIS = text(f"""
    SELECT uri FROM ({_uris("jobs", "id = ANY(:ids)")} UNION {_uris("versions", "job_id = ANY(:ids)")}) ours
    WHERE uri IS NOT NULL EXCEPT ({_uris("jobs", "NOT id = ANY(:ids)")})
""")
_INPUTS = text("DELETE FROM inputs WHERE uri = ANY(:uris) OR sha256 = ANY(:digests) RETURNING key, sha256")
_UPLOADS = text("DELETE FROM uploads WHERE sha256 = ANY(:digests) RETURNING account, role, handle")
_SENT = text(f"""
    SELECT account, count(*) AS n FROM attempts
    WHERE job_id = ANY(:ids) AND {is_paid("attempts")} GROUP BY account ORDER BY account
""")
_TASKS = text("SELECT task_id FROM announcements WHERE job_id = ANY(:ids) AND announced_at IS NOT NULL")


def _emptied(table: type[Base], personal: Iterable[str]) -> str:
    """SQL: assignments that leave nothing in columns; a document that must be one becomes an empty one."""
    nullable = {name: table.__table__.c[name].nullable for name in personal}
    return ", ".join(f"{name} = NULL" if null else f"{name} = '{{}}'" for name, null in nullable.items())


_TOLD = "UPDATE deliveries SET data = data - '{metadata,results,error}'::text[]"
_REDACT = (
    text("""
        DELETE FROM callbacks WHERE token IN (
            SELECT callback_token FROM attempts WHERE job_id = ANY(:ids) AND callback_token IS NOT NULL)
    """),
    # A late look must not bring a picture back.
    text(f"""
        UPDATE attempts SET {_emptied(Attempt, attempts.PERSONAL)},
            next_poll_at = CASE WHEN state <> 'expired' THEN next_poll_at END
        WHERE job_id = ANY(:ids)
    """),
    text("UPDATE announcements SET canvas = '{}' WHERE job_id = ANY(:ids) AND announced_at IS NOT NULL"),
    text(f"{_TOLD} WHERE data ->> 'job' = ANY(:ids)"),
    text(f"UPDATE versions SET {_emptied(Version, jobs.PERSONAL)} WHERE job_id = ANY(:ids)"),
    text(f"UPDATE jobs SET {_emptied(Job, jobs.PERSONAL)} WHERE id = ANY(:ids)"),
)
# Whose pictures a catalog names that was quoted and not run, nobody has looked up: programs ask for new quotes. A quote
# that is being taken is not waited for, because it empties itself.
_NOT_LOOKED_UP = (
    text("""
        DELETE FROM quotes WHERE id IN (SELECT id FROM quotes WHERE used_at IS NULL FOR UPDATE SKIP LOCKED)
    """),
    text("""
        DELETE FROM kept_answers WHERE (token_id, key) IN (
            SELECT token_id, key FROM kept_answers WHERE status IS NOT NULL FOR UPDATE SKIP LOCKED)
    """),
    # What webhooks were told of jobs that have been archived since.
    text(f"""
        {_TOLD} WHERE data ->> 'job' IS NOT NULL AND NOT EXISTS (SELECT FROM jobs WHERE jobs.id = data ->> 'job')
    """),
)

PATIENCE_SECONDS = 600  # no index leads from a picture to its jobs: all rows are read

_AT_WORK = frozenset({JobState.RUNNING, JobState.SAVING})
_WAITING = frozenset({JobState.QUEUED, JobState.HELD})


@dataclass(frozen=True, slots=True)
class Person:
    """By what a person's jobs are known; what is named widens."""

    #: Paths and URLs of their pictures.
    uris: Sequence[str] = ()
    #: Digests of their pictures.
    digests: Sequence[str] = ()
    #: A metadata column with its value, of which one must fit: {"consent": "R-17"}.
    metadata: Sequence[dict[str, Any]] = ()


@dataclass(slots=True)
class Forgotten:
    """What was removed, and what was not."""

    #: The jobs that nothing is left of but what the books need.
    ended: list[str] = field(default_factory=list)
    canceled: int = 0
    #: Jobs that are at a provider or being saved: forget again when they have ended.
    at_work: list[str] = field(default_factory=list)
    inputs: int = 0
    files: Removed = field(default_factory=Removed)
    #: Pictures that lie at providers under these handles.
    uploads: list[dict[str, str]] = field(default_factory=list)
    #: Submissions by account: what a provider keeps of them is for the provider to say.
    sent: dict[str, int] = field(default_factory=dict)
    #: Results of tasks that were removed from the result backend, and the tasks whose results it did not remove.
    results: int = 0
    results_left: list[str] = field(default_factory=list)
    #: Further names that removed files had: hard links in folders that people chose.
    links: int = 0
    #: The pictures that were made, as size and digest: copies of them may lie in folders that people chose.
    pictures: frozenset[tuple[int, str]] = frozenset()
    #: Jobs whose end is still to be announced to their producers.
    announce: tuple[str, ...] = ()

    @property
    def jobs(self) -> int:
        """How many jobs were redacted."""
        return len(self.ended)


def forget(runtime: Runtime, person: Person, *, dry_run: bool = False) -> Forgotten:
    """Remove a person's pictures, and what rows say of them, wherever we have them.

    Jobs that wait are canceled. Jobs whose pictures were made of the person's are the person's, too, and so on. A
    picture that another job made or names too stays for that job.
    """
    person = Person(person.uris, [*person.digests, *_digests(person.uris, runtime.reach.roots)], person.metadata)
    with runtime.sessions() as session:
        done, keys, tasks = _take(session, person)
        done.files = expect(session, keys)
        (session.rollback if dry_run else session.commit)()
    done.links = sum(map(runtime.storage.links, keys))
    if not dry_run:
        done.files = remove_files(runtime, keys)
        for task in tasks:
            _forget_result(done, task)
        announce(done.announce)
    return done


def _forget_result(done: Forgotten, task: str) -> None:
    if done.results_left:  # each try would wait for a result backend that has just not answered
        done.results_left.append(task)
        return
    try:
        app.AsyncResult(task).forget()
        done.results += 1
    except (RedisError, BackendError, OSError):
        done.results_left.append(task)


def _everything(session: Session, person: Person, metadata: list[str], done: Forgotten) -> tuple[set[str], set[str]]:
    """Find the person's jobs, and what was made of their pictures, until nothing more is found; uris and digests."""
    uris, digests, ids = set(person.uris), set(person.digests), dict[str, str]()
    while True:
        uris |= set(session.execute(_SAME, {"digests": list(digests)}).scalars())
        asked = {"uris": list(uris), "digests": list(digests), "metadata": metadata}
        found = {row.id: row.state for row in session.execute(_JOBS, asked)}
        new = found.keys() - ids.keys()
        if not new:
            break
        ids |= found
        for row in session.execute(_MADE, {"ids": list(new)}):
            digests |= {PurePosixPath(key).stem for key in row[:3] if key is not None}
            done.pictures |= {(row.size, row.sha256)}
    done.at_work = sorted(id_ for id_, state in ids.items() if state in _AT_WORK)
    done.ended = sorted(ids.keys() - set(done.at_work))
    return uris, digests


def _take(session: Session, person: Person) -> tuple[Forgotten, set[str], list[str]]:
    take_time(session, PATIENCE_SECONDS)
    done = Forgotten()
    found = _everything(session, person, [json.dumps(each) for each in person.metadata], done)
    uris, digests, ids = *map(list, found), done.ended
    note = "a person requested the erasure of its pictures"
    moves = [JobMove(id_, JobState.CANCELED, Reason.CANCELED, note, _WAITING) for id_ in ids]
    canceled = move_jobs(session, moves)
    done.canceled = len(canceled)
    if person.metadata:
        uris += session.execute(_OWN_URIS, {"ids": ids}).scalars()
    # What is at a provider may still be fetched by it.
    taken = [] if done.at_work else session.execute(_INPUTS, {"uris": uris, "digests": digests}).all()
    done.inputs = len(taken)
    if not done.at_work:
        uploads = session.execute(_UPLOADS, {"digests": [*digests, *(row.sha256 for row in taken)]})
        done.uploads = [dict(row._mapping) for row in uploads]
    done.sent = {row.account: row.n for row in session.execute(_SENT, {"ids": ids})}
    keys = take_results(session, ids) | {row.key for row in taken if row.key is not None}
    tasks = list(session.execute(_TASKS, {"ids": ids}).scalars())
    done.announce = waiting_for(session, canceled)
    for statement in _REDACT:
        session.execute(statement, {"ids": ids})
    for statement in _NOT_LOOKED_UP:
        session.execute(statement)
    return done, keys, tasks


def _digests(uris: Sequence[str], roots: Roots) -> list[str]:
    """Of the local pictures among `uris`, so that copies under other names are found too.

    Raises:
        OutsideRootsError: one lies outside, so no job can have read it.
    """
    found = []
    for uri in uris:
        path = file_of(uri)
        if path is not None and path.is_file():
            with roots.open(path) as file:
                found.append(hashlib.file_digest(file, "sha256").hexdigest())
                file.seek(0)
                with suppress(BadPictureError):  # jobs know a HEIC by the JPEG that was made of it
                    found.append(hashlib.sha256(converted(file.read(MAX_INPUT_BYTES))).hexdigest())
    return found
