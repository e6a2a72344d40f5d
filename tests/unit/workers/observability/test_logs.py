"""A service's log: whatever writes it, and however, each line is one JSON object, and none holds a secret."""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import structlog

from workers.observability import logs
from workers.observability.logs import LogLevel, are_configured, configure_logs, say_at_once

Lines = Callable[[], list[dict[str, Any]]]

other = logging.getLogger("celery.worker")


@pytest.fixture
def lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lines]:
    """Log as a service does, to a file, and give what was written; each line must be what every line is."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    for module, name in ((sys, "excepthook"), (sys, "unraisablehook"), (threading, "excepthook")):
        monkeypatch.setattr(module, name, getattr(module, name))
    path = tmp_path / "log"
    with path.open("w", buffering=1) as stream:
        configure_logs(stream=stream)

        def written() -> list[dict[str, Any]]:
            found = [json.loads(line) for line in path.read_text().splitlines()]
            for line in found:
                assert list(line)[:4] == ["time", "level", "event", "logger"], line
                assert datetime.fromisoformat(line["time"]).tzinfo is not None
                assert line["level"] in {"debug", "info", "warning", "error", "critical"}
            return found

        yield written
        logging.captureWarnings(capture=False)
        root.handlers[:] = handlers
        root.setLevel(level)
        structlog.reset_defaults()


def test_our_own_lines_have_their_fields_and_what_is_bound(lines: Lines) -> None:
    with structlog.contextvars.bound_contextvars(pump="submit:main"):
        structlog.get_logger().info("claimed", jobs=3, at=None, odd={1})
    (line,) = lines()
    del line["time"]
    assert line == {
        "level": "info", "event": "claimed", "logger": __name__, "pump": "submit:main", "jobs": 3, "at": None,
        "odd": "{1}",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("said", "event"),
    [
        (('a "quoted" \\ word',), 'a "quoted" \\ word'),
        (("two\nlines and a tab\t",), "two\nlines and a tab\t"),
        (("%s of %d", "é\ud800", 3), "é\ud800 of 3"),
        ((ValueError("an object"),), "an object"),
    ],
)
def test_what_the_standard_library_logs_is_put_into_json_whatever_it_says(
    lines: Lines, said: tuple[Any, ...], event: str
) -> None:
    # To the service's own handler alone: pytest's would keep half a character, which its processes cannot pass on.
    (handler,) = (each for each in logging.getLogger().handlers if isinstance(each, logs._Handler))
    handler.handle(other.makeRecord(other.name, logging.WARNING, __file__, 1, said[0], said[1:], None))
    (line,) = lines()
    assert (line["level"], line["logger"], line["event"]) == ("warning", "celery.worker", event)


def raise_and_log(write: Callable[..., None]) -> None:
    try:
        _ = 1 / 0
    except ZeroDivisionError:
        write("failed")


def nobody_catches() -> None:
    try:
        _ = 1 / 0
    except ZeroDivisionError as error:
        sys.excepthook(type(error), error, error.__traceback__)


def a_thread_raises() -> None:
    thread = threading.Thread(target=lambda: 1 / 0)
    thread.start()
    thread.join()


def a_task_raises() -> None:
    async def wrong() -> None:
        _ = 1 / 0

    async def main() -> None:
        task = asyncio.ensure_future(wrong())
        await asyncio.wait([task])

    asyncio.run(main())


def a_destructor_raises() -> None:
    class Bad:
        def __del__(self) -> None:
            _ = 1 / 0

    Bad()


@pytest.mark.parametrize(
    ("happens", "event"),
    [
        (lambda: raise_and_log(structlog.get_logger().exception), "failed"),
        (lambda: raise_and_log(other.exception), "failed"),
        (nobody_catches, "uncaught_exception"),
        (a_thread_raises, "uncaught_exception"),
        (a_task_raises, "Task exception was never retrieved"),
        (a_destructor_raises, "exception_ignored"),
    ],
    ids=["ours", "the library's", "nobody's", "a thread's", "a task's", "a destructor's"],
)
def test_an_exception_is_a_field(lines: Lines, happens: Callable[[], None], event: str) -> None:
    happens()
    (line,) = lines()
    assert line["event"].startswith(event)
    assert line["level"] in {"error", "critical"}
    assert line["exception"].startswith("Traceback (most recent call last)")
    assert line["exception"].endswith("ZeroDivisionError: division by zero")


def test_warnings_are_lines(lines: Lines) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("old ways", DeprecationWarning, stacklevel=1)
    (line,) = lines()
    assert (line["level"], line["logger"]) == ("warning", "py.warnings")
    assert "DeprecationWarning: old ways" in line["event"]


def test_a_record_that_cannot_be_put_into_words_is_a_line_that_says_so(
    lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", root.handlers[:1])  # pytest's own would raise
    other.info("%d of %s", "x")
    other.info("it goes on")
    failed, after = lines()
    assert (failed["level"], failed["event"], failed["source"]) == ("error", "log_line_failed", "celery.worker")
    assert "%d of %s" in failed["template"]
    assert after["event"] == "it goes on"


def test_what_is_said_in_a_signal_handler_is_a_line_though_another_is_being_written(lines: Lines) -> None:
    handler = logging.getLogger().handlers[0]
    before = signal.signal(signal.SIGALRM, lambda *_: say_at_once("\nworker: Warm shutdown\n", sys.__stdout__))
    try:
        with handler.lock or threading.Lock():
            signal.raise_signal(signal.SIGALRM)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert [line["event"] for line in lines()] == ["worker: Warm shutdown"]


def test_no_secret_of_a_url_is_in_a_line(lines: Lines) -> None:
    own = structlog.get_logger()
    other.info("Connected to %s", "redis://:s3cr3t@db:6379/0")
    own.info("callback", path="/callbacks/s3cr3t", url="https://cdn.example/x.png?sig=s3cr3t")
    own.error("failed", exc_info=ValueError("GET http://user:s3cr3t@host/x failed"))
    say_at_once("redis://:s3cr3t@db")
    assert len(lines()) == 4
    assert "s3cr3t" not in json.dumps(lines())


@pytest.mark.parametrize(("level", "shown"), [(LogLevel.DEBUG, "abd"), (LogLevel.INFO, "bd"), (LogLevel.WARNING, "")])
def test_lines_below_the_level_are_not_written(
    lines: Lines, capfd: pytest.CaptureFixture[str], level: LogLevel, shown: str
) -> None:
    configure_logs(level.number)
    own = structlog.get_logger()
    own.debug("a")
    own.info("b")
    other.debug("c")
    other.info("d")
    assert "".join(json.loads(line)["event"] for line in capfd.readouterr().err.splitlines()) == shown
    assert lines() == [], "each line is written once"


def test_levels_are_those_of_the_standard_library() -> None:
    assert [level.number for level in LogLevel] == [logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR]


def test_a_command_is_no_service(lines: Lines) -> None:
    assert are_configured()
    logging.getLogger().handlers.clear()
    assert not are_configured()
    assert lines() == []
