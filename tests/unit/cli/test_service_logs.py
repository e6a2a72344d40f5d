from __future__ import annotations

from pathlib import Path

import pytest

from cli.exit_codes import ExitCode
from cli.main import main
from cli.service_logs import TAIL_BYTES, Tail
from tests.words import unsaid


@pytest.fixture
def logs(folder: Path) -> Path:
    found = folder / ".recast" / "logs"
    found.mkdir(parents=True)
    (found / "web.log").write_text("one\ntwo\nthree\n")
    (found / "worker.log").write_bytes(b"four\n\xff\n")
    (found / "web.log.1").write_text("of the run before\n")
    return found


def test_each_line_is_read_once_and_when_it_is_finished(tmp_path: Path) -> None:
    path = tmp_path / "web.log"
    tail = Tail(path)
    assert (tail.last(5), tail.new()) == ([], [])
    path.write_text("one\ntwo\nthr")
    assert tail.new() == ["one", "two"]
    with path.open("a") as log:
        log.write("ee\n")
    assert (tail.new(), tail.new()) == (["three"], [])
    # A new run has a new file, and one that is emptied begins anew.
    path.replace(tmp_path / "web.log.1")
    path.write_text("a longer line than all of those before\n")
    assert tail.new() == ["a longer line than all of those before"]
    path.write_text("x\n")
    assert tail.new() == ["x"]


def test_the_last_lines_of_a_long_log_are_whole(tmp_path: Path) -> None:
    path = tmp_path / "web.log"
    line = "a" * 999
    path.write_text(f"{line}\n" * (TAIL_BYTES // 500))
    assert Tail(path).last(2) == [line, line]
    assert set(Tail(path).last(TAIL_BYTES)) == {line}


def test_logs_are_printed_for_one_service_or_for_all(logs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["logs", "web", "--lines", "2"]) == ExitCode.OK
    assert capsys.readouterr().out == "two\nthree\n"
    assert main(["logs", "--lines", "1"]) == ExitCode.OK
    assert capsys.readouterr().out == "web | three\nworker | \ufffd\n"


def test_new_lines_are_printed_until_ctrl_c(
    logs: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def pass_time(_: float, times: list[int] = []) -> None:  # noqa: B006 - it counts the calls
        times.append(1)
        if len(times) > 2:
            raise KeyboardInterrupt
        with (logs / "web.log").open("a") as log:
            log.write(f"new {len(times)}\n")

    monkeypatch.setattr("cli.service_logs.time.sleep", pass_time)
    assert main(["logs", "web", "-f", "--lines", "0"]) == ExitCode.INTERRUPTED
    assert capsys.readouterr().out == "new 1\nnew 2\n"


def test_what_is_not_there_is_said_with_what_is(logs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["logs", "beat"]) == ExitCode.USAGE
    assert unsaid(capsys.readouterr().err, "beat", "web", "worker", logs.relative_to(Path.cwd())) == []
    for path in logs.glob("*.log"):
        path.unlink()
    assert main(["logs"]) == ExitCode.USAGE
    assert unsaid(capsys.readouterr().err, "recast up") == []
