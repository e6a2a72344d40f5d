"""Pictures with Content Credentials on their whole way: stored, exported, named to webhooks, signed, stored again."""

from __future__ import annotations

import hashlib
import json
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import pytest

from cli import doctor
from cli.findings import State
from reports.export import jobs_of
from reports.origins import origins_of
from reports.pictures import write_pictures
from tests.credentials import COMPOSITE, MADE, MEDIA_TYPES, SIGN, identity, is_valid, picture, with_credentials
from tests.hostile.saving import FileServer, file_server, paid_for, save_all
from tests.integration.receiver import Receiver, receiving
from tests.words import unsaid
from workers.engine.runner import run
from workers.engine.runtime import Runtime
from workers.webhooks.deliver import DeliverPump
from workers.webhooks.messages import make_secret, seal

if TYPE_CHECKING:
    from tests.integration.database import Database, RuntimeFactory

pytest_plugins = ["tests.integration.database"]

NUMBERS = pytest.mark.parametrize("number", [9, pytest.param(1_000, marks=pytest.mark.long)])
SECRET = make_secret()
ALLOWED = {"main": {"allow_hosts": ["127.0.0.1"]}}
TYPES_BY_ENDING = {"jpg": "image/jpeg", "png": "image/png", "webp": "image/webp"}


@pytest.fixture
def files() -> Iterator[FileServer]:
    with file_server() as server:
        yield server


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as made:
        yield made


def pictures(number: int) -> list[bytes]:
    """Pictures with credentials, of the three formats in turn."""
    formats = list(MEDIA_TYPES.items())
    return [
        with_credentials(picture(format_, seed=index), media_type)
        for index in range(number)
        for format_, media_type in [formats[index % len(formats)]]
    ]


def ways_of(
    database: Database, runtime: Runtime, files: FileServer, receiver: Receiver, made: list[bytes], folder: Path
) -> dict[str, list[tuple[bytes, str]]]:
    """The files of a batch's results with their media types, by the way on which they are got."""
    database.sql(
        "INSERT INTO webhooks (url, events, batches, secrets) VALUES (:url, :events, :none, :secrets)",
        url=receiver.url(), events=["job.succeeded"], none=[], secrets=seal(runtime.settings, [(SECRET, None)]),
    )  # fmt: skip
    batch = database.batch()
    for index, data in enumerate(made):
        url = files.offer(f"/{index}", data)
        paid_for(database, [{"url": url}], batch=batch, extra=json.dumps({"consent": f"release {index}"}))
    save_all(database, runtime)
    while database.one("SELECT count(*) FROM deliveries WHERE next_at IS NOT NULL"):
        run(runtime, DeliverPump(runtime), None)
    stored = database.sql("SELECT key, media_type FROM results ORDER BY job_id")
    write_pictures(jobs_of(runtime, batch, runtime.storage, "USD"), runtime.storage, folder)
    named = [event["data"]["results"][0] for event in receiver.events(SECRET)]
    return {
        "stored": [(runtime.storage.get(row.key), row.media_type) for row in stored],
        "exported": [(path.read_bytes(), TYPES_BY_ENDING[path.suffix[1:]]) for path in sorted(folder.iterdir())],
        "named": [(Path(unquote(urlsplit(each["uri"]).path)).read_bytes(), each["media_type"]) for each in named],
    }


@NUMBERS
def test_no_credentials_break_on_the_way(
    database: Database, make_runtime: RuntimeFactory, files: FileServer, receiver: Receiver, tmp_path: Path, number: int
) -> None:
    runtime = make_runtime({"webhook_hosts": "127.0.0.1"}, **ALLOWED)
    made = pictures(number)
    ways = ways_of(database, runtime, files, receiver, made, tmp_path / "export")

    assert {name: sorted(data for data, _ in found) == sorted(made) for name, found in ways.items()} == {
        "stored": True, "exported": True, "named": True,
    }  # fmt: skip
    assert all(is_valid(data, media_type) for data, media_type in ways["stored"])
    rows = database.sql("SELECT provenance, source_type, original_key, sha256 = original_sha256 AS own FROM results")
    assert {tuple(row) for row in rows} == {("credentials", MADE, None, True)}


@NUMBERS
def test_signed_results_are_valid_on_every_way_and_stored_once(
    database: Database, make_runtime: RuntimeFactory, files: FileServer, receiver: Receiver, tmp_path: Path, number: int
) -> None:
    we = identity("Our Studio")
    certificate, key = we.write(tmp_path / "keys")
    signing = {"c2pa_certificate": certificate, "c2pa_key": key, "webhook_hosts": "127.0.0.1"}
    runtime = make_runtime(signing, **ALLOWED)
    made = pictures(number)
    ways = ways_of(database, runtime, files, receiver, made, tmp_path / "export")

    assert {name: len(found) for name, found in ways.items()} == dict.fromkeys(ways, number)
    invalid = {
        name: sum(not is_valid(data, media_type, we) for data, media_type in found) for name, found in ways.items()
    }
    assert invalid == dict.fromkeys(ways, 0)
    rows = database.sql("SELECT * FROM results ORDER BY job_id")
    assert {(row.provenance, row.source_type) for row in rows} == {("signed", COMPOSITE)}
    assert [row.original_sha256 for row in rows] == [hashlib.sha256(data).hexdigest() for data in made]
    for row, data in zip(rows, made, strict=True):
        stored = runtime.storage.get(row.key)
        assert (row.sha256, row.size) == (hashlib.sha256(stored).hexdigest(), len(stored))
        assert runtime.storage.get(row.original_key) == data
        (delivered,), (received,) = (database.run(origins_of, digest) for digest in (row.sha256, row.original_sha256))
        assert (delivered.job, delivered.delivered, received.job, received.delivered) == (
            row.job_id, True, row.job_id, False,
        )  # fmt: skip
    assert database.run(origins_of, "0" * 64) == []

    before = sorted(Path(runtime.settings.storage).rglob("*.*"))
    database.sql("DELETE FROM results")
    database.sql("UPDATE jobs SET state = 'saving', finished_at = NULL")
    save_all(database, runtime)
    assert sorted(Path(runtime.settings.storage).rglob("*.*")) == before
    again = database.sql("SELECT * FROM results ORDER BY job_id")
    assert [(row.key, row.sha256) for row in again] == [(row.key, row.sha256) for row in rows]


def test_a_paid_picture_waits_for_its_signature_but_is_not_lost(
    database: Database, make_runtime: RuntimeFactory, files: FileServer, tmp_path: Path
) -> None:
    """Given a command that has stopped signing, when a result is fetched, then it waits; and when its provider will
    soon remove it, it is stored without a signature of ours."""
    certificate, key = identity().write(tmp_path / "keys")
    script = tmp_path / "sign.py"
    script.write_text(SIGN)
    command = shlex.join([sys.executable, str(script), str(key)])
    runtime = make_runtime({"c2pa_certificate": certificate, "c2pa_sign_command": command}, **ALLOWED)
    assert runtime.signer is not None
    script.unlink()
    (data,) = pictures(1)
    job = paid_for(database, [{"url": files.offer("/picture", data)}])
    save_all(database, runtime)
    (waiting,) = database.sql("SELECT state, error FROM jobs WHERE id = :id", id=job)
    assert waiting.state == "saving"
    assert unsaid(waiting.error, "RECAST_C2PA_SIGN_COMMAND") == []

    database.sql("UPDATE jobs SET not_before = NULL")
    database.sql("UPDATE attempts SET sent_at = sent_at - interval '90 days'")
    save_all(database, runtime)
    (row,) = database.sql("SELECT key, provenance FROM results")
    assert (runtime.storage.get(row.key), row.provenance) == (data, "credentials")


def test_a_certificate_that_cannot_sign_is_a_finding(make_runtime: RuntimeFactory, tmp_path: Path) -> None:
    certificate, _ = identity().write(tmp_path / "one")
    _, key = identity().write(tmp_path / "two")
    runtime = make_runtime({"c2pa_certificate": certificate, "c2pa_key": key})
    (bad,) = doctor._certificate(runtime)
    assert bad.state is State.BAD

    _, own = certificate, tmp_path / "one" / "key.pem"
    (soon,) = doctor._certificate(make_runtime({"c2pa_certificate": certificate, "c2pa_key": own}))
    assert soon.state is State.WARN  # it ends within the time that a new one takes
