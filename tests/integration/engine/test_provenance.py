"""What comes of a picture's origin: the mark in the stored file, the provider's own file beside it, the consent."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from celery.app.task import Context
from PIL import Image

from recast.errors import InvalidJobError
from tests.hostile.saving import FileServer, file_server, paid_for, save_all
from tests.integration.producer import accept_one
from tests.stack import PORTRAITS
from tests.words import names
from workers.engine.runtime import Runtime
from workers.images.originals import Mark, without

if TYPE_CHECKING:
    from tests.integration.database import Database, RuntimeFactory

pytest_plugins = ["tests.integration.database"]

HOPPER = (PORTRAITS / "grace_hopper.jpg").read_bytes()
ASTRONAUT = (PORTRAITS / "astronaut.png").read_bytes()
ALLOWED = {"main": {"allow_hosts": ["127.0.0.1"]}}


@pytest.fixture
def files() -> Iterator[FileServer]:
    with file_server() as server:
        yield server


def saved(database: Database, runtime: Runtime, files: FileServer, data: bytes, **columns: Any) -> Any:
    """The result of a job whose picture is `data`."""
    job = paid_for(database, [{"url": files.offer("/picture", data)}], **columns)
    save_all(database, runtime)
    (row,) = database.sql("SELECT * FROM results WHERE job_id = :id", id=job)
    return row


def source_type(data: bytes) -> str | None:
    with Image.open(io.BytesIO(data)) as image:
        found = image.getxmp()
    return str(found["xmpmeta"]["RDF"]["Description"]["DigitalSourceType"]) if found else None


def pixels(data: bytes) -> bytes:
    with Image.open(io.BytesIO(data)) as image:
        return image.tobytes()


def webp() -> bytes:
    out = io.BytesIO()
    with Image.open(io.BytesIO(HOPPER)) as image:
        image.save(out, "WEBP")
    return out.getvalue()


@pytest.mark.parametrize(
    ("kind", "term"),
    [("swap", "compositeWithTrainedAlgorithmicMedia"), ("generate", "trainedAlgorithmicMedia")],
)
@pytest.mark.parametrize("data", [HOPPER, ASTRONAUT, webp()], ids=["jpeg", "png", "webp"])
def test_a_stored_picture_says_that_a_model_made_it(
    database: Database, make_runtime: RuntimeFactory, files: FileServer, data: bytes, kind: str, term: str
) -> None:
    runtime = make_runtime(**ALLOWED)
    row = saved(database, runtime, files, data, kind=kind)
    stored = runtime.storage.get(row.key)

    expected = f"http://cv.iptc.org/newscodes/digitalsourcetype/{term}"
    assert source_type(stored) == expected
    assert pixels(stored) == pixels(data)
    assert (row.sha256, row.size) == (hashlib.sha256(stored).hexdigest(), len(stored))
    assert row.original_sha256 == hashlib.sha256(data).hexdigest()
    assert row.original_key is None, "it is written once"
    assert without(Mark(row.mark_start, row.mark_length), stored) == data


def test_the_mark_and_the_second_file_can_be_switched_off(
    database: Database, make_runtime: RuntimeFactory, files: FileServer
) -> None:
    unmarked = make_runtime({"mark_synthetic": False}, **ALLOWED)
    row = saved(database, unmarked, files, HOPPER)
    assert unmarked.storage.get(row.key) == HOPPER
    assert (row.original_key, row.mark_length, row.original_sha256) == (None, None, row.sha256)

    alone = make_runtime({"keep_originals": False}, **ALLOWED)
    row = saved(database, alone, files, ASTRONAUT)
    assert source_type(alone.storage.get(row.key)) is not None
    assert (row.original_key, row.mark_length, row.original_sha256) == (
        None,
        None,
        hashlib.sha256(ASTRONAUT).hexdigest(),
    )


def test_saving_again_after_a_crash_writes_the_same_files(
    database: Database, make_runtime: RuntimeFactory, files: FileServer
) -> None:
    """Given a picture that was stored by a worker that died before it said so, when it is saved again, then the storage
    holds the same files as before, and one result."""
    runtime = make_runtime(**ALLOWED)
    row = saved(database, runtime, files, HOPPER)
    before = sorted(Path(runtime.settings.storage).rglob("*.*"))
    database.sql("DELETE FROM results")
    database.sql("UPDATE jobs SET state = 'saving', finished_at = NULL")
    save_all(database, runtime)

    assert sorted(Path(runtime.settings.storage).rglob("*.*")) == before
    (again,) = database.sql("SELECT * FROM results")
    assert (again.key, again.mark_start, again.sha256) == (row.key, row.mark_start, row.sha256)


def test_a_producers_consent_is_kept_with_the_job(database: Database, make_runtime: RuntimeFactory) -> None:
    runtime = make_runtime(main={"require_consent": True})
    pair = {"source": "https://example.com/a.jpg", "target": "https://example.com/b.jpg"}
    accept_one(runtime, "swap", {**pair, "consent": "release 17"}, Context(id="with"))
    with pytest.raises(InvalidJobError, match=names("consent", "main")):
        accept_one(runtime, "swap", pair, Context(id="without"))

    assert [(row.id, row.extra) for row in database.sql("SELECT id, extra FROM jobs")] == [
        ("with", {"consent": "release 17"})
    ]
