"""Old code on the new schema: workers of the release before each migration, beside workers of this one."""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
from collections import Counter
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest

from sandbox import SandboxConfig
from tests.invariants import check_all, check_idle
from tests.stack import PORTRAITS, ROOT, Stack, Worker, running, wait_for
from workers.jobs.request import JobRequest
from workers.messaging.app import QUEUES

pytestmark = [pytest.mark.faults, pytest.mark.matrix, pytest.mark.timeout(1800)]

SOURCE, TARGET = str(PORTRAITS / "grace_hopper.jpg"), str(PORTRAITS / "together.jpg")
FOLDER = "migrations/versions"
_ENDED = re.compile(rb"Task (submit|poll|store)\[")


def git(*arguments: str) -> bytes:
    """What git says; b"" where there is no git or no repository."""
    try:
        return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return b""


def releases() -> list[str]:
    """The commits just before those that brought migrations, without the one that made the first tables."""
    bringing = git("log", "--diff-filter=A", "--format=%H", "--", FOLDER).decode().split()
    before = [git("rev-parse", "--verify", "--quiet", f"{commit}^").decode().strip() for commit in bringing]
    return [commit for commit in before if commit and git("ls-tree", commit, f"{FOLDER}/")]


RELEASES = releases()


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    config = SandboxConfig(home=tmp_path / "sandbox", pictures="cheap", latency=0.3)
    with running(tmp_path, config, RECAST_PUBLIC_URL="http://127.0.0.1:9") as made:
        made.only("sandbox-zhiqite", "sandbox-qolaba")
        made.configure(**{name: {"max_in_flight": 4} for name in made.accounts})
        yield made


class OldWorker(Worker):
    """A worker of another tree."""

    def __init__(self, stack: Stack, tree: Path) -> None:
        super().__init__(stack, "old")
        self._tree = tree

    def start(self) -> Worker:
        command = [
            sys.executable, "-m", "celery", "-A", "tasks.main", "worker", "-P", "threads",
            "-c", self.stack.env["RECAST_SLOTS"], "-Q", ",".join(QUEUES), "-n", "old@test",
            "--without-gossip", "--without-mingle", "-l", "INFO",
        ]  # fmt: skip
        environment = {**self.stack.env, "PYTHONPATH": str(self._tree)}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, cwd=self._tree, env=environment, stdout=log, stderr=log)
        self.stack.workers.append(self)
        return self


@pytest.mark.skipif(not RELEASES, reason="needs the history of the repository: a full clone, and git")
@pytest.mark.parametrize("release", RELEASES, ids=lambda commit: commit[:8])
def test_old_and_new_workers_share_the_work(stack: Stack, tmp_path: Path, release: str) -> None:
    tree = tmp_path / "old"
    with tarfile.open(fileobj=BytesIO(git("archive", release))) as archive:
        archive.extractall(tree, filter="data")
    assert len(list((tree / FOLDER).glob("*.py"))) < len(list((ROOT / FOLDER).glob("*.py")))

    # Given workers of both releases on this one's schema
    workers = [OldWorker(stack, tree).start(), stack.worker("new")]
    for worker in workers:
        wait_for(lambda worker=worker: b"ready." in worker.log.read_bytes(), timeout=120, message="a worker is ready")  # type: ignore[misc]
    stack.beat()

    # When there is work of every kind
    swap, portrait = (
        JobRequest("swap", source=SOURCE, target=TARGET),
        JobRequest(
            "generate", image=SOURCE, prompt="x", operation="qolaba.consistency", options={"width": 256, "height": 256}
        ),
    )
    asks = [swap, portrait] * 40
    stack.insert(asks)

    # Then all of it is done, by both, and every book is right
    assert stack.wait_settled(timeout=300) == Counter({"succeeded": len(asks)})
    check_all(stack)
    check_idle(stack, timeout=120)
    for worker in workers:
        wait_for(lambda worker=worker: _ENDED.search(worker.log.read_bytes()), message=f"{worker.name} took part")  # type: ignore[misc]
        assert b"UndefinedColumn" not in worker.log.read_bytes()
