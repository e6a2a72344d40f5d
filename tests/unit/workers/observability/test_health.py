from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.stack import wait_for
from tests.words import unsaid
from workers.heartbeats import GRACE_SECONDS, file_of, judge
from workers.messaging.heartbeat import Heartbeat
from workers.observability import health
from workers.observability.health import Pulse

EVERY = 5.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return file_of(tmp_path, "worker@here")


@pytest.fixture
def stuck() -> Iterator[threading.Event]:
    """A part that hangs until the test ends."""
    event = threading.Event()
    yield event
    event.set()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "ANSWER_SECONDS", 1.0)


def well() -> None:
    return None


def broken() -> None:
    raise ConnectionError("refused\nand a second line")


def test_a_file_is_named_by_process_and_host(tmp_path: Path) -> None:
    assert file_of(tmp_path, "worker@here") == tmp_path / "health" / "worker@here.json"
    assert file_of(tmp_path, "recast").name.startswith("recast@")
    assert file_of(tmp_path, "../../etc/x@y").parent == tmp_path / "health"


def test_all_is_well(path: Path) -> None:
    Pulse(Heartbeat(path, EVERY), {"database": well, "broker": well}, EVERY).beat()
    verdict = judge(path)
    assert (verdict.healthy, verdict.reasons) == (True, ())
    assert set(verdict.parts) == {"database", "broker"}
    assert json.dumps(verdict.document())


def test_a_broken_part_is_named_with_its_error_and_since_when(path: Path) -> None:
    pulse = Pulse(Heartbeat(path, EVERY), {"database": broken, "broker": well}, EVERY)
    pulse.beat()
    since = judge(path).parts["database"]["since"]
    pulse.beat()
    verdict = judge(path)
    assert not verdict.healthy
    (reason,) = verdict.reasons
    assert unsaid(reason, "database", "ConnectionError: refused", since) == []
    assert verdict.parts["broker"]["ok"]


def test_a_part_that_hangs_is_bad_and_is_not_asked_again_until_it_answers(path: Path, stuck: threading.Event) -> None:
    asked: list[float] = []

    def hang() -> None:
        asked.append(time.monotonic())
        stuck.wait()

    pulse = Pulse(Heartbeat(path, EVERY), {"broker": hang, "database": well}, EVERY)
    pulse.beat()
    pulse.beat()
    verdict = judge(path)
    assert unsaid(verdict.reasons[0], "broker", "1 s") == []
    assert verdict.parts["database"]["ok"]
    assert len(asked) == 1
    stuck.set()
    # It answers what it was asked first; from then on it is asked again.

    def healthy() -> bool:
        pulse.beat()
        return judge(path).healthy

    wait_for(healthy, message="the part is well")
    pulse.beat()
    assert len(asked) > 1


def test_a_pulse_goes_on_by_itself_and_leaves_no_file(path: Path) -> None:
    pulse = Pulse(Heartbeat(path, 0.01), {"database": well}, 0.01)
    pulse.start()
    wait_for(path.exists, message="a heartbeat")
    first = path.read_text()
    wait_for(lambda: path.read_text() != first, message="another heartbeat")
    pulse.stop()
    assert not path.exists()
    assert not judge(path).healthy


def test_a_process_that_fell_silent_is_ill(path: Path) -> None:
    Heartbeat(path, EVERY).write({"broker": None})
    limit = timedelta(seconds=EVERY + GRACE_SECONDS)
    now = datetime.now(UTC)
    assert judge(path, now + limit - timedelta(seconds=1)).healthy
    verdict = judge(path, now + limit + timedelta(seconds=1))
    (reason,) = verdict.reasons
    assert unsaid(reason, "16 s", "15 s") == []
    assert not judge(path, now - timedelta(hours=1)).healthy, "a clock that was set back proves nothing"


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"at": "yesterday"}', '{"at": "2026-01-01T00:00:00"}'])
def test_a_file_that_cannot_be_read_is_as_bad_as_none(path: Path, text: str) -> None:
    path.parent.mkdir()
    path.write_text(text)
    verdict = judge(path)
    assert not verdict.healthy
    assert unsaid(verdict.reasons[0], "read") == []


def test_nobody_keeps_the_file(path: Path) -> None:
    verdict = judge(path)
    assert (verdict.healthy, verdict.age) == (False, None)
    assert str(path) in verdict.reasons[0]


def test_a_file_that_cannot_be_written_stops_nobody(path: Path) -> None:
    path.parent.parent.mkdir(exist_ok=True)
    path.parent.write_text("in the way")
    Heartbeat(path, EVERY).write({"broker": None})
    assert not judge(path).healthy
