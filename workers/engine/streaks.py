"""Answers of one kind in a row: what one of them does not prove, several on different jobs do.

Two kinds are counted, over all workers, in the account's row; a submission that is taken ends a row.

A refusal in words that nobody knows concerns its job alone. `JOBS_IN_A_ROW` of them, all alike and on different jobs,
concern the account: it stops for a growing back-off, and then probes. The jobs of the burst stay queued, and those of
the first probes, too: an outage that is over in a minute loses no job. Later ones fail when they have no try left; a
catalog whose every row is refused so would never end otherwise.

An answer that a wrong key is given (`Unclear.as_of_a_wrong_key`) is unclear. If as many jobs in a row get it, and none
was ever taken with this key, then the key is wrong: the account stops until a person starts it, and nothing was taken.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.orm import Session

from models.states import AttemptState, Closure, JobState, Reason
from workers.config.accounts import Account
from workers.engine.effects import Effects, Evidence, Trouble
from workers.engine.outcomes import AGAIN
from workers.http.redaction import secrets_of
from workers.jobs.state_changes import AttemptMove, JobMove

JOBS_IN_A_ROW = 3  # two may be one catalog's odd pictures; after three the rest would be lost as well
PATIENT_PROBES = 6  # in a row that lose no job: by their back-off they are over a minute after the account stopped

_TAKEN = text("""
    UPDATE accounts SET streak = NULL, proven_key = coalesce(:key, proven_key)
    WHERE name = :name AND (streak IS NOT NULL OR proven_key IS DISTINCT FROM coalesce(:key, proven_key))
""")
_READ = text("""
    SELECT streak, proven_key, failures, coalesce(closed_until > cast(:sent_at AS timestamptz), false) AS of_a_burst
    FROM accounts WHERE name = :name FOR UPDATE
""")
_KEEP = text("UPDATE accounts SET streak = cast(:streak AS jsonb), proven_key = :key WHERE name = :name")


@dataclass(frozen=True, slots=True)
class _Streak:
    """Equal answers in a row: their kind, and the first jobs that got them, each with its latest attempt."""

    kind: str
    jobs: dict[str, str]

    @property
    def long(self) -> bool:
        return len(self.jobs) >= JOBS_IN_A_ROW

    def after(self, said: Evidence) -> _Streak:
        known = self.jobs if said.kind == self.kind else {}
        room = len(known) < JOBS_IN_A_ROW or said.job_id in known
        return _Streak(said.kind, {**known, said.job_id: str(said.reference)} if room else known)


_NONE = _Streak("", {})


def key_mark(secret_key: SecretStr | None, account: Account) -> str | None:
    """A mark of an account's credentials, from which they cannot be told."""
    if secret_key is None:
        return None
    secrets = "\n".join(sorted(secrets_of(account.own))).encode()
    return hmac.digest(secret_key.get_secret_value().encode(), secrets, hashlib.sha256).hex()


def settled(session: Session, account: str, effects: Sequence[Effects], key: str | None) -> list[Effects]:
    """`effects`, with what follows from the row of answers that they continue. Locks the account's row."""
    evidence = sorted((effect.evidence for effect in effects if effect.evidence), key=lambda said: said.sent_at)
    if not any(said.kind for said in evidence):
        if evidence:
            session.execute(_TAKEN, {"name": account, "key": key})
        return list(effects)
    row = session.execute(_READ, {"name": account, "sent_at": evidence[-1].sent_at}).one()
    before = _Streak(**row.streak) if row.streak else _NONE
    streak, proven = before, row.proven_key
    for said in evidence:
        if not said.kind:
            streak, proven = _NONE, key or proven
        elif not (said.as_of_a_wrong_key and proven == key):
            streak = streak.after(said)
    document = json.dumps({"kind": streak.kind, "jobs": streak.jobs}) if streak.jobs else None
    session.execute(_KEEP, {"name": account, "streak": document, "key": proven})
    if not streak.long:
        return list(effects)
    begins = not (before.long and before.kind == streak.kind)
    keeps = begins or row.of_a_burst or row.failures <= PATIENT_PROBES
    found = [_of_the_row(effect, streak, keeps=keeps) for effect in effects]
    return found + _others_of_a_wrong_key(streak, effects)


def _of_the_row(effect: Effects, streak: _Streak, *, keeps: bool) -> Effects:
    """One answer of a row that is long enough to count; `keeps`: its job gets another try, however many it had."""
    said, job = effect.evidence, effect.job
    if said is None or said.kind != streak.kind:
        return effect
    if said.as_of_a_wrong_key:
        return _wrong_key(said.job_id, said.reference, said.note)
    if job is not None and job.to is JobState.FAILED and keeps:
        job = replace(job, to=JobState.QUEUED, wait=AGAIN.first)  # so that other jobs are probes as well
    note = f"{JOBS_IN_A_ROW} jobs or more in a row were refused with: {said.note}"
    return replace(effect, job=job, trouble=Trouble(Closure.OUTAGE, note, sent_at=said.sent_at))


def _others_of_a_wrong_key(streak: _Streak, effects: Sequence[Effects]) -> list[Effects]:
    """The earlier answers of the row: they wait as unclear, or for a person, and were not taken either."""
    now = {str(effect.evidence.reference): effect for effect in effects if effect.evidence}
    wrong = next((said for effect in effects if (said := effect.evidence) and said.as_of_a_wrong_key), None)
    if wrong is None or wrong.kind != streak.kind:
        return []
    return [
        _wrong_key(job_id, UUID(attempt), wrong.note) for job_id, attempt in streak.jobs.items() if attempt not in now
    ]


def _wrong_key(job_id: str, reference: UUID, said: str) -> Effects:
    note = f"the provider takes nothing with this key: {said}"
    return Effects(
        AttemptMove(reference, AttemptState.REFUSED, _NOT_KNOWN, Reason.AUTH, note),
        JobMove(job_id, JobState.QUEUED, Reason.AUTH, note, _WAITING),
        release=True,
        trouble=Trouble(Closure.AUTH, note, lasting=True),
    )


_NOT_KNOWN = frozenset({AttemptState.SENDING, AttemptState.UNKNOWN})
_WAITING = frozenset({JobState.RUNNING, JobState.HELD})
