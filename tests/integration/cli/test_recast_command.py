"""The command as people use it: joined, interrupted, killed, taken over; and what it says when a person is needed."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hostile.saving import file_server, status
from tests.integration.cli.desk import PORTRAIT, SECONDS, SWAP, Desk, bill, read_until
from tests.stack import wait_for
from tests.words import unsaid


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path)
    yield desk
    desk.close()


PROGRAM = """
import json, recast
batch = recast.run([ROW], name="elsewhere", max_cost="1.00")
states = batch.wait(90)
(row,) = batch.results()
print(json.dumps([str(batch.cost), states["succeeded"], str(row["cost"]), row["results"][0]["uri"]]))
"""


@pytest.mark.long
def test_a_program_of_another_folder_runs_a_table_with_the_home_alone(desk: Desk, tmp_path: Path) -> None:
    shop = tmp_path / "another shop"
    shop.mkdir()
    for name in ("models", "tasks", "catalog", "workers", "web"):
        (shop / f"{name}.py").write_text("raise SystemExit('the shop is not ours')\n")
    up = desk.start("up")
    read_until(up, "commands with --sandbox")
    home = desk.folder / ".recast" / "sandbox"
    done = subprocess.run(
        [sys.executable, "-P", "-c", PROGRAM.replace("[ROW]", repr([{"key": "1", **SWAP}]))],
        cwd=shop, env={**desk.env, "RECAST_HOME": str(home)}, capture_output=True, text=True, timeout=SECONDS * 2,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    limit, succeeded, cost, uri = json.loads(done.stdout)
    assert (limit, succeeded, cost) == ("0.02 USD", 1, "0.02 USD")
    assert Path(uri.removeprefix("file://")).is_relative_to(home)


@pytest.mark.long
def test_a_stack_that_is_up_is_joined_and_ends_with_its_own_terminal(desk: Desk) -> None:
    catalog = desk.catalog(SWAP, PORTRAIT)
    up = desk.start("up")
    read_until(up, "--sandbox")
    stack_file = desk.folder / ".recast" / "sandbox" / "stack.json"
    assert stack_file.stat().st_mode & 0o077 == 0

    code, out = desk.recast("run", catalog)
    assert code == 0, out
    assert sorted(path.name for path in (desk.folder / "recast-pictures" / "shoes").iterdir()) == [
        "row-0_0.png",
        "row-1_0.jpg",
    ]
    code, out = desk.recast("up")
    assert code == 2
    assert unsaid(out, ".recast") == []

    up.send_signal(signal.SIGINT)
    out, _ = up.communicate(timeout=SECONDS)
    assert up.returncode == 0, out
    assert desk.left() == []
    assert not stack_file.exists()

    # Everything can still be looked at, with servers that run for as long as the look takes.
    (batch,) = desk.json("status")
    assert (batch["batch"], batch["states"]["succeeded"], batch["settled"]) == ("shoes", 2, True)
    assert {job["key"] for job in desk.json("jobs", "--state", "succeeded")} == {"row-0", "row-1"}
    detail = desk.json("show", "row-0")
    assert [attempt["state"] for attempt in detail["attempts"]] == ["done"]
    code, out = desk.recast("export", "shoes", "--to", "out.csv", "--pictures", "out")
    assert code == 0, out
    assert (desk.folder / "out" / "row-0_0.png").exists()
    assert desk.json("db", "check")["ok"]
    assert desk.left() == []


def test_a_run_names_the_rows_whose_addresses_lead_nowhere_before_it_queues_them(desk: Desk) -> None:
    with file_server() as files:
        gone = files.offer("/gone.jpg", status(410))
        catalog = desk.catalog(SWAP, SWAP | {"target": gone})
        code, out = desk.recast("run", catalog, "--no-wait")
    assert code == 0, out
    (line,) = [line for line in out.splitlines() if gone in line]
    assert unsaid(line, "row-1", "target", 410) == []
    queued = next(number for number, line in enumerate(out.splitlines()) if "2 rows" in line)
    assert out.splitlines().index(line) < queued


@pytest.mark.long
@pytest.mark.parametrize(
    ("number", "code", "other"),
    [
        (signal.SIGINT, 130, PORTRAIT),
        (signal.SIGTERM, 143, PORTRAIT),
        # What is being sent then is lost, and found again only where the provider can be searched.
        (signal.SIGKILL, -signal.SIGKILL, SWAP),
    ],
)
def test_whatever_ends_a_run_the_next_one_goes_on_and_pays_nothing_twice(
    desk: Desk, number: signal.Signals, code: int, other: dict[str, str]
) -> None:
    catalog = desk.catalog(SWAP, other, SWAP)
    run = desk.start("run", catalog)
    read_until(run, "running")
    run.send_signal(number)
    out, _ = run.communicate(timeout=SECONDS)
    assert run.returncode == code, out
    if number is signal.SIGINT:
        assert unsaid(out, f"recast run {catalog} --sandbox") == []
    wait_for(lambda: not desk.left(), message="every process of the run to end")

    code, out = desk.recast("run", catalog)
    assert code == 0, out
    assert "3 succeeded" in out
    assert len(bill(desk)) == 3


@pytest.mark.long
def test_one_run_takes_over_from_another_that_ends(desk: Desk) -> None:
    first = desk.start("run", desk.catalog(SWAP, PORTRAIT, SWAP, PORTRAIT), "--name", "first")
    read_until(first, "first.* 4 ")
    second = desk.start("run", desk.catalog(SWAP, PORTRAIT, SWAP, PORTRAIT), "--name", "second")
    read_until(second, "second.* 4 ")
    first.send_signal(signal.SIGINT)
    first.communicate(timeout=SECONDS)

    out, _ = second.communicate(timeout=SECONDS)
    assert second.returncode == 0, out
    assert "4 succeeded" in out


@pytest.mark.long
def test_without_waiting_the_jobs_are_done_by_the_next_run(desk: Desk) -> None:
    catalog = desk.catalog(PORTRAIT)
    code, out = desk.recast("run", catalog, "--no-wait")
    assert code == 0, out
    assert "1 row queued" in out
    assert desk.json("status", "shoes")["states"]["queued"] == 1
    assert desk.json("run", catalog)["states"]["succeeded"] == 1


@pytest.mark.long
def test_a_limit_that_is_spent_needs_a_person(desk: Desk) -> None:
    catalog = desk.catalog(PORTRAIT, PORTRAIT, PORTRAIT)
    code, out = desk.recast("run", catalog, "--max-cost", "0.07")
    assert code == 3, out
    assert unsaid(out.replace("0.0600", "0.06"), "0.06") == []
    assert unsaid(out, "--max-cost") == []

    code, out = desk.recast("run", catalog, "--max-cost", "1")
    assert code == 0, out
    assert "3 succeeded" in out


@pytest.mark.long
def test_a_stopped_account_needs_a_person(desk: Desk) -> None:
    catalog = desk.catalog(PORTRAIT)
    assert desk.json("run", catalog)["exit_code"] == 0
    assert desk.recast("accounts", "pause", "sandbox-qolaba", "--note", "holidays")[0] == 0
    (closed,) = [account for account in desk.json("accounts", "list") if not account["open"]]
    assert (closed["account"], closed["closed_note"]) == ("sandbox-qolaba", "holidays")

    catalog = desk.catalog(PORTRAIT, PORTRAIT)
    code, out = desk.recast("run", catalog)
    assert code == 3, out
    assert unsaid(out, "sandbox-qolaba", "stopped", "by an operator") == []

    assert desk.recast("accounts", "resume", "sandbox-qolaba")[0] == 0
    assert desk.json("run", catalog)["states"]["succeeded"] == 2


def test_credentials_are_checked_without_spending(desk: Desk) -> None:
    desk.recast("run", desk.catalog(PORTRAIT), "--no-wait")
    found = desk.json("accounts", "check")
    assert found
    assert {answer["verdict"] for answer in found.values()} == {"good"}


@pytest.mark.long
def test_a_producers_own_tasks_do_not_get_in_the_way(desk: Desk) -> None:
    """A worker imports our `tasks` although the working folder has one of its own."""
    for name in ("tasks.py", "web.py", "local.py", "workers.py"):
        (desk.folder / name).write_text("raise RuntimeError('not ours')")
    catalog = desk.catalog(PORTRAIT)
    script = "import sys; from cli.main import main; sys.exit(main(sys.argv[1:]))"
    done = subprocess.run(
        [sys.executable, "-P", "-c", script, "run", catalog, "--sandbox", "--json"],
        cwd=desk.folder, env=desk.env, capture_output=True, text=True, timeout=SECONDS, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
