"""Repeated requests: one with an Idempotency-Key is answered as it was before, and does nothing a second time."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from models.fragments import seconds_ago
from models.programs import KEPT_SECONDS

IN_WORK_SECONDS = 600.0  # after which a request whose process died may be made again; the largest takes a minute
MAX_KEY_CHARS = 200  # a UUID has 36

_BEGIN = text(f"""
    INSERT INTO kept_answers AS k (token_id, key, digest) VALUES (:token_id, :key, :digest)
    ON CONFLICT (token_id, key) DO UPDATE SET digest = excluded.digest, status = NULL, body = NULL,
        created_at = clock_timestamp()
    WHERE k.created_at < {seconds_ago(":kept")}
        OR (k.status IS NULL AND k.digest = excluded.digest AND k.created_at < {seconds_ago(":in_work")})
    RETURNING key
""")
_FIND = text("SELECT digest, status, body FROM kept_answers WHERE token_id = :token_id AND key = :key")
_KEEP = text("""
    UPDATE kept_answers SET status = :status, body = cast(:body AS jsonb) WHERE token_id = :token_id AND key = :key
""")
_DROP = text("DELETE FROM kept_answers WHERE token_id = :token_id AND key = :key AND status IS NULL")


class OtherRequestError(Exception):
    """The key belongs to another request; nothing was done."""


class InWorkError(Exception):
    """The first request with this key is not answered yet; nothing was done."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What was answered."""

    status: int
    body: Mapping[str, Any]


def begin(session: Session, token_id: int, key: str, digest: str) -> Answer | None:
    """The answer that a request was given before; None if it is new, and is now in work.

    Raises:
        OtherRequestError: the key was used for another request.
        InWorkError: the same request is being answered.
    """
    named = {"token_id": token_id, "key": key}
    for _ in range(2):
        begun = {**named, "digest": digest, "kept": KEPT_SECONDS, "in_work": IN_WORK_SECONDS}
        if session.execute(_BEGIN, begun).first() is not None:
            return None
        row = session.execute(_FIND, named).first()
        if row is None:
            continue  # it was dropped meanwhile
        if row.digest != digest:
            raise OtherRequestError(f"{key!r} was sent with another request; give each request a key of its own")
        if row.status is not None:
            return Answer(row.status, row.body)
        break
    raise InWorkError("the first request with this key is not answered yet; ask again in some seconds")


def keep(session: Session, token_id: int, key: str, answer: Answer) -> None:
    """Keep an answer for a repeated request."""
    body = json.dumps(answer.body, ensure_ascii=False)
    session.execute(_KEEP, {"token_id": token_id, "key": key, "status": answer.status, "body": body})


def drop(session: Session, token_id: int, key: str) -> None:
    """Let a request that failed on our side be made again."""
    session.execute(_DROP, {"token_id": token_id, "key": key})
