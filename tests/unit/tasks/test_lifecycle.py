"""What a worker refuses at its start, whatever program starts it, and which queues it leaves alone."""

from __future__ import annotations

import errno
import gc
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from kombu import Queue

from cli.exit_codes import ExitCode
from tasks import lifecycle
from tasks.lifecycle import check_pool, check_storage, leave_default_queue
from tests.stack import ROOT
from tests.words import names, unsaid
from workers.config.settings import SettingsError
from workers.images.storage import Storage
from workers.messaging.app import QUEUES, app

MANY_OBJECTS = 10_000

celery_queues = type(app.amqp.queues)


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "accounts.toml").write_text(
        '[accounts.one]\nprovider = "qolaba"\nbase_url = "http://127.0.0.1:9"\ntoken = "t"\n'
        'prices = { avatar = "0.01 USD" }\n'
    )
    return {
        **os.environ, "RECAST_HOME": str(tmp_path), "RECAST_ACCOUNTS_FILE": str(tmp_path / "accounts.toml"),
        "RECAST_SECRET_KEY": "test-secret-key-of-32-characters", "PYTHONPATH": str(ROOT),
        # Nobody listens there: it is refused before it connects.
        "RECAST_DATABASE_URL": "postgresql://127.0.0.1:9/none", "RECAST_BROKER_URL": "redis://127.0.0.1:9/0",
    }  # fmt: skip


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("options", "facts"),
    [
        (["--pool=processes"], ("prefork", "threads")),
        pytest.param(["--pool=solo"], ("solo", "threads"), marks=pytest.mark.long),
        (["--concurrency=2"], ("2", "RECAST_SLOTS", "--concurrency")),
        pytest.param(["-c", "7"], ("7", "8"), marks=pytest.mark.long),
        (["-Q", "celery"], ("celery", "pumps")),
    ],
)
def test_celerys_own_command_is_checked_like_ours(
    env: dict[str, str], options: list[str], facts: tuple[str, ...]
) -> None:
    command = [sys.executable, "-m", "celery", "-A", "tasks.main", "worker", *options]
    ran = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False, timeout=120)
    assert ran.returncode == ExitCode.USAGE, ran.stderr
    lines = [json.loads(line) for line in (ran.stdout + ran.stderr).splitlines()]
    (refusal,) = [line["error"] for line in lines if line["event"] == "not_started"]
    assert unsaid(refusal, *facts) == []


@pytest.mark.parametrize(
    ("asked", "consumed"),
    [(None, set(QUEUES)), (["jobs", "celery"], {"jobs"}), (["pumps"], {"pumps"})],
    ids=["all", "with-the-default", "one"],
)
def test_the_default_queue_is_left_to_the_producers(asked: list[str] | None, consumed: set[str]) -> None:
    queues = celery_queues([Queue(name) for name in ("celery", *QUEUES)])
    queues.select(asked)
    leave_default_queue(queues, "celery")
    assert set(queues.consume_from) == consumed
    assert "celery" in queues, "callbacks are still sent there"


def test_only_the_pool_of_threads_runs_pumps() -> None:
    check_pool("threads")
    for other in ("prefork", "solo"):
        with pytest.raises(SettingsError, match=names(other, "threads")):
            check_pool(other)


def test_a_folder_for_results_that_cannot_be_written_is_refused_before_anything_is_paid(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for place in (tmp_path / "file", tmp_path / "file" / "below", "/proc/pictures"):
        with pytest.raises(SettingsError, match=names("RECAST_STORAGE_URL", place)):
            check_storage(Storage(str(place)))
    check_storage(Storage(str(tmp_path / "new" / "pictures")))


def test_a_full_folder_may_have_room_by_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = Storage(str(tmp_path))

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(storage, "_write", full)
    check_storage(storage)


def test_what_a_worker_has_imported_is_left_out_of_later_looks_for_garbage() -> None:
    try:
        lifecycle._keep_imported()
        assert gc.get_freeze_count() > MANY_OBJECTS
    finally:
        gc.unfreeze()
