"""Attacks on a running `recast web`, while honest clients go on."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from devstack.ports import pick_port
from tests.hostile.attacks import CASES
from tests.hostile.pictures import JPEG
from tests.stack import ROOT, crowding, wait_for, write_accounts
from workers.config.settings import Settings
from workers.http.urls import digest
from workers.images.signed_urls import MediaSigner
from workers.images.storage import Storage

if TYPE_CHECKING:
    from tests.integration.database import Database

pytest_plugins = ["tests.integration.database"]

SECONDS = 1.2  # of each attack, after it has begun
LONGEST = 0.5  # seconds, of 99 in 100 requests of honest clients
TOKEN = "an-open-attempts-token"
SETTINGS = {"secret_key": "key-of-32-characters-for-the-test", "web_auth": "recast:correct horse battery",
            "metrics_token": "a-token-for-metrics"}  # fmt: skip


class Web:
    """A `web` process."""

    def __init__(self, folder: Path, database: Database) -> None:
        write_accounts(
            folder / "accounts.toml", {"main": {"provider": "hidream", "base_url": "http://127.0.0.1:9", "token": "t"}}
        )
        values: dict[str, Any] = SETTINGS | {
            "database_url": database.url, "broker_url": "redis://127.0.0.1:1/0", "home": str(folder),
            "storage_url": str(folder / "pictures"), "accounts_file": str(folder / "accounts.toml"),
        }  # fmt: skip
        self.settings = Settings(_env_file=None, **values)
        self.port = pick_port(None)
        self.log = folder / "web.log"
        env = {name: value for name, value in os.environ.items() if not name.startswith("RECAST_")}
        env |= {f"RECAST_{name.upper()}": value for name, value in values.items()}
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "web", f"--port={self.port}"], cwd=ROOT, env=env, stdout=log, stderr=log
            )

    def ask(self, method: str, path: str, body: bytes | None = None) -> tuple[int, float]:
        """A status, and the seconds that an honest client waited for the whole answer."""
        began = time.monotonic()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, body)
            answer = connection.getresponse()
            answer.read()
            return answer.status, time.monotonic() - began
        except OSError as error:
            return -(error.errno or 1), time.monotonic() - began
        finally:
            connection.close()

    @property
    def is_up(self) -> bool:
        return self.ask("GET", "/healthz")[0] == 200

    @property
    def megabytes(self) -> float:
        lines = dict(line.split(":", 1) for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines())
        return int(lines["VmRSS"].split()[0]) / 1000


@pytest.fixture
def web(database: Database, tmp_path: Path) -> Iterator[Web]:
    made = Web(tmp_path, database)
    try:
        wait_for(lambda: made.is_up, message="web answers")
        yield made
    finally:
        made.process.terminate()
        made.process.wait(60)


@pytest.mark.long
def test_honest_clients_go_on_under_every_attack(web: Web, database: Database) -> None:
    database.account()
    (job,) = database.jobs(1, state="running")
    database.attempt(job, callback_token=f"'{digest(TOKEN)}'")
    key = Storage(web.settings.storage).put(JPEG, sha256=hashlib.sha256(JPEG).hexdigest(), suffix="jpg")
    link = MediaSigner(web.settings).link(key, 3600)
    before, problems = web.megabytes, {}
    for case in CASES:
        attacker = subprocess.Popen(
            [sys.executable, "-m", "tests.hostile.attacks", str(web.port), TOKEN, str(SECONDS + 1), case.name],
            cwd=ROOT, stdout=subprocess.PIPE,
        )  # fmt: skip
        waits, wrong = [], []
        while attacker.poll() is None:
            for asked in (("GET", link), ("POST", f"/callbacks/{TOKEN}", b"{}")):
                status, seconds = web.ask(*asked)
                waits.append(seconds)
                if status != 200:
                    wrong.append(status)
            time.sleep(0.02)
        slowest = sorted(waits)[int(len(waits) * 0.99) - 1]
        assert attacker.stdout is not None
        told: dict[str, Any] = json.loads(attacker.stdout.read())["statuses"]
        attacker.stdout.close()
        if wrong or slowest > LONGEST * crowding() or not set(told) <= set(case.facts):
            problems[case.name] = (wrong, round(slowest, 3), told)
    assert problems == {}
    assert web.is_up
    assert web.megabytes - before < 100
    assert database.one("SELECT count(*) FROM callbacks") <= 16
    # What was no HTTP has filled no log.
    assert web.log.stat().st_size < 20_000
