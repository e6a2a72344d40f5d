"""Attacks on a running `recast web`, while honest clients go on."""

from __future__ import annotations

import hashlib
import http.client
import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import SecretStr

from desk import guests, people
from desk.actors import Actor
from devstack.ports import pick_port
from models.people import Role
from tests.hostile.attacks import CASES
from tests.hostile.cases import Case
from tests.hostile.pictures import JPEG
from tests.stack import ROOT, crowding, wait_for, write_accounts
from workers.config.settings import Settings
from workers.http.urls import CallbackTokens, digest
from workers.images.signed_urls import MediaSigner
from workers.images.storage import Storage
from workers.messaging.app import app

if TYPE_CHECKING:
    from tests.integration.database import Database

pytest_plugins = ["tests.integration.database"]

SECONDS = 1.2  # of each attack, after it has begun
ENDS_SECONDS = 6.0  # for which a process ends under attack: what it sends itself may be read for five
ATTACKED = 100  # descriptors of a process whose attack has begun
LONGEST = 0.5  # seconds, of 99 in 100 requests of honest clients
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
    def descriptors(self) -> int:
        return len(list(Path(f"/proc/{self.process.pid}/fd").iterdir()))

    @property
    def megabytes(self) -> float:
        lines = dict(line.split(":", 1) for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines())
        return int(lines["VmRSS"].split()[0]) / 1000


@dataclass
class Siege:
    """A `web` process with what honest clients ask of it."""

    web: Web
    database: Database
    #: What each asks, again and again.
    asked: Sequence[tuple[Any, ...]]
    token: str
    megabytes: float

    def attacked(self, case: Case) -> tuple[list[float], list[int], dict[str, int]]:
        """The seconds that honest clients waited during an attack, their bad statuses, and the attacker's."""
        waits, wrong = [], []
        with self.attacker(case, SECONDS + 1) as attacker:
            while attacker.poll() is None:
                for asked in self.asked:
                    status, seconds = self.web.ask(*asked)
                    waits.append(seconds)
                    if status != 200:
                        wrong.append(status)
                time.sleep(0.02)
            assert attacker.stdout is not None
            told: dict[str, int] = json.loads(attacker.stdout.read())["statuses"]
        return waits, wrong, told

    def attacker(self, case: Case, seconds: float) -> subprocess.Popen[bytes]:
        """A process that attacks for some seconds."""
        command = ["-m", "tests.hostile.attacks", str(self.web.port), self.token, str(seconds), case.name]
        return subprocess.Popen([sys.executable, *command], cwd=ROOT, stdout=subprocess.PIPE)


@pytest.fixture(scope="module")
def siege(lasting_database: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Siege]:
    """One process for all attacks: what one of them leaves behind, the next one meets."""
    database, folder = lasting_database, tmp_path_factory.mktemp("siege")
    key = SecretStr(SETTINGS["secret_key"])
    token = CallbackTokens(key).new()
    prepare(database, token)
    web = Web(folder, database)
    try:
        wait_for(lambda: web.is_up, message="web answers")
        name = Storage(web.settings.storage).put(JPEG, sha256=hashlib.sha256(JPEG).hexdigest(), suffix="jpg")
        asked: Sequence[tuple[Any, ...]] = [
            ("GET", MediaSigner(web.settings).link(name, 36_000)),
            ("POST", f"/callbacks/{token}", b"{}"),
        ]
        # The first callback reads the accounts file and loads the providers.
        assert {web.ask(*each)[0] for each in asked} == {200}
        yield Siege(web, database, asked, token, web.megabytes)
    finally:
        web.process.terminate()
        web.process.wait(60)


def prepare(database: Database, token: str) -> None:
    """An open attempt with this token, a person and a guest link."""
    database.account()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(app, "send_task", lambda *_, **__: None)
        (job,) = database.jobs(1, batch=database.batch("portraits"), state="running")
        database.attempt(job, callback_token=f"'{digest(token)}'")
    operator = Actor("operator", Role.OPERATOR)
    database.run(people.add, operator, "ada", Role.REVIEWER, "a password of ada's")
    database.run(guests.add, operator, "portraits", Role.VIEWER, 3600.0)


@pytest.mark.long
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_honest_clients_go_on_under_attack(case: Case, siege: Siege, record_property: Any) -> None:
    waits, wrong, told = siege.attacked(case)
    # Of fewer than a hundred requests it is the slowest one.
    slowest = sorted(waits)[math.ceil(len(waits) * 0.99) - 1]
    record_property("p99", slowest)
    record_property("megabytes", siege.web.megabytes - siege.megabytes)
    assert (wrong, set(told) - set(case.facts)) == ([], set())
    assert slowest <= LONGEST * crowding()
    assert siege.web.is_up
    assert siege.web.megabytes - siege.megabytes < 100
    assert siege.database.one("SELECT count(*) FROM callbacks") <= 16
    # What was no HTTP has filled no log.
    assert siege.web.log.stat().st_size < 20_000


@pytest.mark.long
@pytest.mark.parametrize("name", ["guessed tokens in the present form", "a body's byte each second, known token"])
def test_a_process_ends_soon_under_attack(name: str, siege: Siege, tmp_path: Path) -> None:
    web = Web(tmp_path, siege.database)
    wait_for(lambda: web.is_up, message="web answers")
    case = next(case for case in CASES if case.name == name)
    with replace(siege, web=web).attacker(case, 60.0) as attacker:
        try:
            wait_for(lambda: web.descriptors > ATTACKED, message="the attack has begun")
            began = time.monotonic()
            web.process.terminate()
            web.process.wait(60)
            assert time.monotonic() - began < ENDS_SECONDS * crowding()
        finally:
            web.process.terminate()
            attacker.terminate()
