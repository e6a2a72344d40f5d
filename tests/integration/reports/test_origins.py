"""Where a file comes from: copies of results find their jobs by their look, and it is said that this proves nothing."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from cli.exit_codes import ExitCode
from cli.main import main
from models.batches import SINGLES
from reports.origins import ALIKE, lookalikes_of, origins_of
from tests.integration.desk.pictures import give
from tests.stack import PORTRAITS
from tests.words import unsaid
from workers.engine.check import CheckPump
from workers.engine.runner import run
from workers.engine.runtime import Runtime
from workers.images.checks import look_of

if TYPE_CHECKING:
    from tests.integration.database import Database, RuntimeFactory

pytest_plugins = ["tests.integration.database"]

ASTRONAUT, OFFICER = PORTRAITS / "astronaut.png", PORTRAITS / "grace_hopper.jpg"


def copied(path: Path, format_: str, *, scale: float = 1.0, crop: float = 0.0, quality: int = 60) -> bytes:
    """The picture as somebody passes it on."""
    with Image.open(path) as opened:
        picture = opened.convert("RGB")
    width, height = picture.size
    picture = picture.crop((int(crop * width), int(crop * height), int((1 - crop) * width), int((1 - crop) * height)))
    picture = picture.resize((int(picture.width * scale), int(picture.height * scale)))
    out = io.BytesIO()
    picture.save(out, format_, quality=quality)
    return out.getvalue()


def stored(database: Database, runtime: Runtime, path: Path, *, batch: int, target: Path) -> str:
    """The job of a result that is stored and checked."""
    (job,) = database.jobs(batch=batch, state="succeeded", source=str(OFFICER), target=str(target))
    (result,) = give(database, job)
    data = path.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    key = runtime.storage.put(data, sha256=digest, suffix=path.suffix.removeprefix("."))
    database.sql("UPDATE results SET key = :key, sha256 = :digest WHERE id = :id", key=key, digest=digest, id=result)
    database.sql("INSERT INTO due_checks (result_id) VALUES (:id)", id=result)
    run(runtime, CheckPump(runtime), None)
    return job


@pytest.fixture
def runtime(make_runtime: RuntimeFactory) -> Runtime:
    return make_runtime()


@pytest.mark.parametrize("single", [False, True], ids=["of-a-batch", "single"])
@pytest.mark.parametrize(
    ("format_", "change"),
    [
        ("JPEG", {"quality": 30}),
        ("WEBP", {"quality": 50}),
        ("JPEG", {"scale": 0.25}),
        ("PNG", {"scale": 0.6}),
    ],
)
def test_a_copy_finds_its_job(
    database: Database, runtime: Runtime, single: bool, format_: str, change: dict[str, float]
) -> None:
    batch = SINGLES if single else database.batch()
    job = stored(database, runtime, OFFICER, batch=batch, target=ASTRONAUT)
    stored(database, runtime, ASTRONAUT, batch=database.batch("autumn"), target=OFFICER)
    look = look_of(copied(OFFICER, format_, **change))  # type: ignore[arg-type]
    assert look is not None
    (found,) = database.run(lookalikes_of, look)
    assert (found.job, found.batch is None, found.target_as_near) == (job, single, False)
    assert found.bits <= 2


def test_what_is_as_near_to_the_picture_it_was_made_of_is_told(database: Database, runtime: Runtime) -> None:
    stored(database, runtime, ASTRONAUT, batch=database.batch(), target=ASTRONAUT)
    look = look_of(copied(ASTRONAUT, "JPEG"))
    assert look is not None
    (found,) = database.run(lookalikes_of, look)
    assert found.target_as_near


def test_other_pictures_are_not_alike_and_the_nearest_come_first(database: Database, runtime: Runtime) -> None:
    stored(database, runtime, OFFICER, batch=database.batch(), target=ASTRONAUT)
    look = look_of(OFFICER.read_bytes())
    assert look is not None
    far = stored(database, runtime, OFFICER, batch=database.batch("autumn"), target=ASTRONAUT)
    moved = "UPDATE hash_bands h SET hash = :hash FROM results r WHERE r.id = h.result_id AND r.job_id = :job"
    database.sql(moved, job=far, hash=look ^ (1 << ALIKE) - 1)
    assert [(each.bits, each.job == far) for each in database.run(lookalikes_of, look)] == [(0, False), (ALIKE, True)]
    database.sql("UPDATE hash_bands SET hash = :hash", hash=look ^ (1 << ALIKE + 1) - 1)
    assert database.run(lookalikes_of, look) == [], "one bit more than may differ"
    other = look_of(ASTRONAUT.read_bytes())
    assert other is not None
    assert database.run(lookalikes_of, other) == []
    assert look_of(copied(ASTRONAUT, "PNG", scale=0.01)) is not None
    blank = io.BytesIO()
    Image.new("RGB", (64, 64), "white").save(blank, "PNG")
    assert look_of(blank.getvalue()) is None, "a blank picture looks like every other"


def test_the_command_lists_what_looks_alike_and_claims_no_more(
    database: Database, runtime: Runtime, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    for name, value in {
        "DATABASE_URL": database.url, "BROKER_URL": "redis://127.0.0.1:1/0", "HOME": tmp_path,
        "ACCOUNTS_FILE": tmp_path / "accounts.toml",
    }.items():  # fmt: skip
        monkeypatch.setenv(f"RECAST_{name}", str(value))
    job = stored(database, runtime, OFFICER, batch=database.batch("spring"), target=ASTRONAUT)
    Path("copy.jpg").write_bytes(copied(OFFICER, "JPEG", scale=0.5))
    Path("same.jpg").write_bytes(OFFICER.read_bytes())

    assert main(("verify", "copy.jpg")) == ExitCode.JOBS_FAILED, "a look says nothing of what made it"
    said = " ".join(capsys.readouterr().out.split())
    assert unsaid(said, "looks like", "64 bits", job, "proves nothing") == []
    assert main(("verify", "copy.jpg", "--json")) == ExitCode.JOBS_FAILED
    document = json.loads(capsys.readouterr().out)
    assert (document["jobs"], [each["job"] for each in document["lookalikes"]]) == ([], [job])

    assert main(("verify", "same.jpg", "--json")) == ExitCode.OK
    document = json.loads(capsys.readouterr().out)
    assert ([each["job"] for each in document["jobs"]], document["lookalikes"]) == ([job], [])
    assert database.run(origins_of, document["sha256"])[0].job == job

    monkeypatch.setattr("cli.verify.missing", lambda _: "cv2")
    assert main(("verify", "copy.jpg")) == ExitCode.JOBS_FAILED
    assert unsaid(capsys.readouterr().out, "recast-server[faces]") == []
