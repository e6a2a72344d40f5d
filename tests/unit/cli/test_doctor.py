"""The doctor: everything that is wrong is named, with what to do, whatever else is wrong beside it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from math import inf
from pathlib import Path

import pytest

from cli import doctor
from cli.doctor import _connections, examine
from cli.exit_codes import ExitCode
from cli.findings import CLOCK_SECONDS, Finding, State, clock
from models.accounts import CredentialVerdict
from models.connection import Server
from models.states import Closure
from reports.documents import AccountStatus
from reports.signs import LAG_SECONDS
from tests.words import unsaid
from workers.accounts.admission import AdmissionState, Count
from workers.config.accounts import parse
from workers.config.settings import Settings
from workers.engine.runtime import Runtime
from workers.http.transport import PROXIES
from workers.observability.metrics import Snapshot

SNAPSHOT = Snapshot(
    jobs={}, oldest_queued=None, in_flight={}, accounts=[], unannounced=0, lag={}, spend={}, counters=[]
)  # fmt: skip


@pytest.fixture
def down(tmp_path: Path) -> Iterator[Runtime]:
    """A deployment of which nothing is there but a folder."""
    (tmp_path / "file").touch()
    runtime = Runtime(
        Settings(
            _env_file=None, database_url="postgresql://127.0.0.1:1/none", broker_url="redis://127.0.0.1:1/0",
            home=tmp_path, accounts_file=tmp_path / "accounts.toml", storage_url=str(tmp_path / "file"),
            public_url="http://127.0.0.1:1",
        )
    )  # fmt: skip
    yield runtime
    runtime.close()


def by_name(found: Iterator[Finding]) -> dict[str, Finding]:
    return {finding.name: finding for finding in found}


def test_where_everything_is_down_each_thing_is_named_with_what_to_do(
    down: Runtime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    (tmp_path / "health").mkdir()
    old = {"pid": 1, "at": (datetime.now(UTC) - timedelta(hours=1)).isoformat(), "every": 5, "parts": {}}
    (tmp_path / "health" / "worker@here.json").write_text(json.dumps(old))
    found = by_name(examine(down))

    bad = {name: finding for name, finding in found.items() if finding.state is State.BAD}
    assert set(bad) == {
        "secret key", "storage", "public url", "heartbeat worker@here", "accounts file", "database", "broker"
    }  # fmt: skip
    assert all(finding.message and finding.advice for finding in bad.values())
    assert {name for name, finding in bad.items() if finding.code is ExitCode.USAGE} == {"secret key", "accounts file"}
    assert found["versions"].state is State.OK
    assert found["proxy"].state is State.WARN


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "http_proxy"])
def test_a_proxy_that_is_not_used_is_named_without_its_address(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for other in [other for other in os.environ if other.lower() in PROXIES]:
        monkeypatch.delenv(other)
    assert list(doctor._proxies()) == []
    monkeypatch.setenv(name, "http://me:password@proxy.example:3128")
    (found,) = doctor._proxies()
    assert found.state is State.WARN
    assert unsaid(found.message, name) == []
    assert "password" not in found.message + found.advice


@pytest.mark.parametrize(("own", "used", "state"), [(24, 40, State.OK), (24, 90, State.WARN), (60, 40, State.WARN)])
def test_connections_are_told_with_the_servers_limit(own: int, used: int, state: State) -> None:
    found = _connections(Server("15.4", datetime.now(UTC), most=100, reserved=3, used=used), own)
    assert found.state is state
    assert unsaid(found.message, str(own), "100", str(used)) == []
    assert (unsaid(found.advice, "RECAST_DATABASE_CONNECTIONS", "max_connections") == []) is (state is State.WARN)


def test_what_is_late_unannounced_or_held_is_told() -> None:
    assert {finding.name: finding.state for finding in doctor._work(SNAPSHOT)} == {"pumps": State.OK}
    wrong = Snapshot(
        jobs={("catalog", "held"): 2, ("single", "held"): 1}, oldest_queued=1.0, in_flight={}, accounts=[],
        unannounced=4, lag={"poll:main": LAG_SECONDS + 1, "store:0": 1.0}, spend={}, counters=[],
    )  # fmt: skip
    told = {finding.name: finding for finding in doctor._work(wrong)}

    assert {finding.state for finding in told.values()} == {State.WARN}
    assert unsaid(told["pumps"].message, "poll:main", "1 min 1 s") == []
    assert unsaid(told["completion notices"].message, 4) == []
    assert unsaid(told["held jobs"].message, 3) == []
    assert "recast resolve" in told["held jobs"].advice


@pytest.mark.parametrize(("seconds", "state"), [(0, State.OK), (CLOCK_SECONDS + 2, State.WARN)])
def test_clocks_that_are_apart(seconds: float, state: State) -> None:
    for sign in (1, -1):
        finding = clock("clock", datetime.now(UTC) + timedelta(seconds=sign * seconds))
        assert finding.state is state


@pytest.mark.parametrize(
    ("verdict", "state", "code"),
    [("good", State.OK, None), ("unknown", State.OK, None), ("refused", State.BAD, 2), ("silent", State.BAD, 4)],
)
def test_credentials_and_stopped_accounts(
    monkeypatch: pytest.MonkeyPatch, verdict: str, state: State, code: int | None
) -> None:
    account = parse("main", {"provider": "qolaba", "base_url": "http://127.0.0.1:1", "token": "t"})
    admission = AdmissionState(
        now=datetime.now(UTC), closed_for=inf, closed_reason=Closure.CREDIT, failures=0, rate_tokens=None, rate_age=0.0,
        count=Count(0, 0), sending=0, overrides={},
    )  # fmt: skip

    class Deployment:
        accounts = {"main": account}  # noqa: RUF012

    monkeypatch.setattr(doctor, "credentials", lambda *_: (CredentialVerdict(verdict), "they say so"))
    monkeypatch.setattr(doctor, "statuses_of", lambda *_: [AccountStatus(account, admission, "no funds", None, None)])
    stopped, credentials = doctor._accounts(Deployment)  # type: ignore[arg-type]

    assert (stopped.name, stopped.state) == ("account main", State.WARN)
    assert unsaid(stopped.message, "stopped", "credit", "no funds") == []
    assert "recast accounts resume main" in stopped.advice
    assert (credentials.state, credentials.message) == (state, "they say so")
    assert code is None or credentials.code == code
