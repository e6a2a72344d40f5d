"""A batch to look at: real pictures in a real storage, text that tries to be more than text, and every kind of end."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.states import JobState
from tests.stack import PORTRAITS
from workers.config.settings import Settings
from workers.images.originals import mark_of
from workers.images.provenance import SOURCE_TYPES, marked
from workers.images.storage import Storage

if TYPE_CHECKING:
    from tests.integration.database import Database

AUTH = "recast:correct horse"
HOSTILE = "<script>window.hacked = 1</script><img src=x onerror='window.hacked = 2'>\"'&{{7*7}}"
ENDS = (
    (JobState.FAILED, "timed_out"), (JobState.REJECTED, "content"), (JobState.HELD, "unclear_submit"),
    (JobState.CANCELED, "canceled"), (JobState.QUEUED, None), (JobState.RUNNING, None), (JobState.SAVING, None),
)  # fmt: skip


def settings(database: Database, folder: Path, **more: Any) -> Settings:
    """Settings of a web process on this database."""
    values: dict[str, Any] = {
        "database_url": database.url, "broker_url": "redis://127.0.0.1:1/0", "storage_url": str(folder / "pictures"),
        "home": folder, "accounts_file": folder / "accounts.toml", "secret_key": "a-key-of-the-tests", "web_auth": AUTH,
    }  # fmt: skip
    return Settings(_env_file=None, **values | more)


def stock(database: Database, storage: Storage, *, succeeded: int = 3, name: str = "spring") -> int:
    """The number of a batch with some jobs that succeeded and one of every other end, whose every text is hostile."""
    database.account()
    batch = database.batch(f"{name} {HOSTILE}", max_cost="5")
    source, target = PORTRAITS / "grace_hopper.jpg", PORTRAITS / "astronaut.png"
    pair = {"source": str(source), "target": str(target)}
    for number, job in enumerate(database.jobs(succeeded, batch=batch, state="succeeded")):
        _give(database, job, pair | {"key": f"row-{number}"})
        attempt = _attempt(database, job, "done", "0.02", number)
        _result(database, storage, job, attempt, target.read_bytes())
    for number, (state, reason) in enumerate(ENDS):
        (job,) = database.jobs(batch=batch, state=state.value)
        _give(database, job, pair | {"key": f"{state}-{HOSTILE}", "reason": reason, "error": reason and HOSTILE})
        if reason:
            _attempt(database, job, "expired", "0.05", succeeded + number, HOSTILE)
    return batch


def _give(database: Database, job: str, columns: dict[str, Any]) -> None:
    names = ", ".join(f"{name} = :{name}" for name in columns)
    database.sql(f"UPDATE jobs SET {names} WHERE id = :id", id=job, **columns)  # noqa: S608


def _attempt(database: Database, job: str, state: str, cost: str, second: int, said: str | None = None) -> Any:
    attempt = database.attempt(job, state, cost=cost)
    database.sql(
        "UPDATE attempts SET error = :said, handle = :said, sent_at = sent_at + :second * interval '1 second',"
        " accepted_at = sent_at + :second * interval '1 second',"
        " finished_at = sent_at + (:second * 2 + 3) * interval '1 second' WHERE id = :id",
        id=attempt,
        second=second,
        said=said,
    )
    return attempt


def _result(database: Database, storage: Storage, job: str, attempt: Any, data: bytes) -> None:
    original = hashlib.sha256(data).hexdigest()
    made = marked(data, "image/png", SOURCE_TYPES["swap"])
    mark = mark_of(data, made)
    assert mark is not None
    digest = hashlib.sha256(made).hexdigest()
    database.sql(
        "INSERT INTO results (job_id, attempt_id, index, key, sha256, original_sha256, mark_start, mark_length, size,"
        " media_type, width, height)"
        " VALUES (:job, :attempt, 0, :key, :digest, :original, :start, :length, :size, 'image/png', 512, 512)",
        job=job, attempt=attempt, key=storage.put(made, sha256=digest, suffix="png"), digest=digest, original=original,
        start=mark.start, length=mark.length, size=len(made),
    )  # fmt: skip
