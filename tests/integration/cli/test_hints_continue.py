"""What the command advises is done as it is printed: it continues the same work, and nothing is paid for twice."""

from __future__ import annotations

import re
import shlex
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import http
from tests.integration.cli.desk import PORTRAIT, SECONDS, SWAP, Desk, bill, read_until
from tests.stack import PORTRAITS, wait_for
from tests.words import unsaid

#: Everything that a run may be told and that its continuation has to repeat.
SAID = (
    "--name",
    "autumn 'sale'",
    "--account",
    "sandbox-qolaba",
    "--label",
    "a b",
    "--max-cost",
    "1",
    "--priority",
    "7",
)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path)
    yield desk
    desk.close()


def hints(said: str) -> list[list[str]]:
    """The commands in backticks, as a shell reads them, without the program and the sandbox that the desk adds."""
    lines = re.findall(r"`(recast [^`]*)`", said)
    return [[word for word in shlex.split(line)[1:] if word != "--sandbox"] for line in lines]


def hint(said: str, command: str) -> list[str]:
    """The one hint that begins with `command`."""
    (found,) = [words for words in hints(said) if words[: len(command.split())] == command.split()]
    return found


@pytest.mark.long
def test_after_an_interruption_the_hint_continues_the_same_batch(desk: Desk) -> None:
    shop = desk.folder / "my shop"
    shop.mkdir()
    catalog = shutil.move(desk.catalog(*([{**PORTRAIT, "operation": ""}] * 6)), shop / "shoes 1.csv")
    run = desk.start("run", str(catalog), *SAID)
    read_until(run, "running")
    run.send_signal(signal.SIGINT)
    said, _ = run.communicate(timeout=SECONDS)
    assert run.returncode == 130, said
    wait_for(lambda: not desk.left(), message="every process of the run to end")

    again = hint(said, "run")
    assert set(SAID) <= set(again)
    assert "--yes" not in again
    code, said = desk.recast(*again)
    assert code == 0, said
    (batch,) = desk.json("status")
    assert (batch["batch"], batch["label"], batch["states"]["succeeded"]) == ("autumn 'sale'", "a b", 6)
    assert len(bill(desk)) == 6


@pytest.mark.long
def test_failed_rows_are_queued_again_by_the_hint_that_says_so(desk: Desk) -> None:
    catalog = desk.catalog(PORTRAIT, SWAP)
    sandbox = Running(desk)
    sandbox.fault(fault="fail", error="internal", where={"provider": "qolaba"})
    code, said = desk.recast("run", catalog, "--name", "two, at most")
    assert code == 1, said
    paid = sandbox.paid
    sandbox.well()
    code, said = desk.recast(*hint(said, "run"))
    assert code == 0, said
    assert desk.json("status", "two, at most")["states"]["succeeded"] == 2
    assert sandbox.paid == paid + 1


@pytest.mark.long
def test_a_limit_that_is_spent_is_raised_by_either_hint(desk: Desk) -> None:
    code, said = desk.recast("run", desk.catalog(SWAP, SWAP, SWAP), "--max-cost", "0.03", "--name", "small change")
    assert code == 3, said
    by_run = hint(said, "run")
    code, said = desk.recast("resume", "--batch", "small change")
    assert code == 3, said
    assert unsaid(said, "0.02 USD", "0.03 USD", "0.06 USD") == []
    by_resume = hint(said, "resume")
    assert by_resume == ["resume", "--batch", "small change", "--max-cost", "0.06"]
    code, said = desk.recast(*by_resume)
    assert code == 0, said
    assert hint(said, "up") == ["up"]
    code, said = desk.recast(*by_run)
    assert code == 0, said
    assert desk.json("status", "small change")["states"]["succeeded"] == 3
    assert len(bill(desk)) == 3


@pytest.mark.long
def test_two_folders_of_one_name_stay_apart_and_one_that_moved_pays_for_what_changed(desk: Desk) -> None:
    for client, picture in (("a", "astronaut.png"), ("b", "together.jpg")):
        folder = desk.folder / f"client {client}" / "Shoot [1]"
        folder.mkdir(parents=True)
        shutil.copy(PORTRAITS / picture, folder / f"IMG_1{Path(picture).suffix}")
    shutil.copy(PORTRAITS / "grace_hopper.jpg", desk.folder / "client a" / "face.jpg")
    shutil.copy(PORTRAITS / "together.jpg", desk.folder / "client a" / "Shoot [1]" / "IMG_2.jpg")
    shared = ("--source", "client a/face.jpg", "--provider", "zhiqite")
    assert desk.recast("run", "client a/Shoot [1]", *shared)[0] == 0

    code, said = desk.recast("run", "client b/Shoot [1]", *shared)
    assert code == 3, said
    assert unsaid(said, desk.folder / "client a" / "Shoot [1]", desk.folder / "client b" / "Shoot [1]", "--moved") == []
    apart = hints(said)[0]
    assert apart[apart.index("--name") + 1] != "Shoot [1]"
    assert desk.recast(*apart)[0] == 0

    # Moved as a whole, with one picture changed: it is asked about, and only that one is paid for.
    (desk.folder / "client a").rename(desk.folder / "client a, done")
    shutil.copy(PORTRAITS / "astronaut.png", desk.folder / "client a, done" / "Shoot [1]" / "IMG_2.jpg")
    moved = ("run", "client a, done/Shoot [1]", "--source", "client a, done/face.jpg", "--provider", "zhiqite")
    code, said = desk.recast(*moved)
    assert code == 3, said
    (onward,) = [words for words in hints(said) if "--moved" in words]
    code, said = desk.recast(*onward)
    assert code == 0, said
    assert len(bill(desk)) == 2 + 1 + 1


class Running:
    """A sandbox that goes on beside the commands: its faults and its bill."""

    def __init__(self, desk: Desk) -> None:
        self._up = desk.start("up")
        url = re.search(r"(http://\S+/_sandbox)/bill\?token=(\S+)", read_until(self._up, "/_sandbox/bill"))
        assert url is not None
        self._url, self._headers = url[1], {"Authorization": f"Bearer {url[2]}"}

    def fault(self, **rule: object) -> None:
        """Let something go wrong from now on."""
        assert http.post(f"{self._url}/faults", json=rule, headers=self._headers, timeout=60).status_code < 300

    def well(self) -> None:
        """Let nothing go wrong anymore."""
        assert http.delete(f"{self._url}/faults", headers=self._headers, timeout=60).status_code < 300

    @property
    def paid(self) -> int:
        """How many lines the bill has."""
        return len(http.get(f"{self._url}/bill", headers=self._headers, timeout=60).json()["lines"])


def ended(desk: Desk, batch: str) -> dict[str, int]:
    """The states of a batch whose jobs have ended."""

    def states() -> dict[str, int]:
        found = {name: number for name, number in desk.json("status", batch)["states"].items() if number}
        return {} if found.keys() & {"queued", "running", "saving"} else found

    return wait_for(states, timeout=SECONDS, every=1.0, message="the batch to end")


@pytest.mark.long
def test_what_was_paid_for_is_downloaded_by_the_hint_of_every_command_that_would_pay_again(desk: Desk) -> None:
    run = ("run", desk.catalog(SWAP), "--name", "it's paid")
    sandbox = Running(desk)
    sandbox.fault(fault="damaged", damage="noise", where={"provider": "zhiqite"})
    code, said = desk.recast(*run)
    assert code == 1, said
    free = hint(said, "redownload")
    for asked in ([*run, "--dry-run"], ["retry", "--batch", "it's paid", "--dry-run"]):
        code, said = desk.recast(*asked)
        assert code == 0, said
        assert hint(said, "redownload") == free
    sandbox.well()
    code, said = desk.recast(*free)
    assert code == 0, said
    assert ended(desk, "it's paid") == {"succeeded": 1}
    assert sandbox.paid == 1
    code, said = desk.recast(*run)
    assert code == 0, said
    assert (hints(said), sandbox.paid) == ([], 1)


@pytest.mark.long
def test_an_account_that_was_stopped_is_started_by_the_hint_and_its_jobs_are_paid_once(desk: Desk) -> None:
    sandbox = Running(desk)
    sandbox.fault(fault="auth", where={"provider": "zhiqite"})
    code, said = desk.recast("run", desk.catalog(SWAP, SWAP), "--name", "two")
    assert code == 3, said
    start = hint(said, "accounts resume")
    assert start[2:] == ["sandbox-zhiqite"]
    assert hint(desk.recast("accounts", "list")[1], "accounts resume") == start
    sandbox.well()
    code, said = desk.recast(*start)
    assert code == 0, said
    assert ended(desk, "two") == {"succeeded": 2}
    assert sandbox.paid == 2


@pytest.mark.long
def test_a_held_job_is_resolved_by_the_hints_and_nothing_is_sent_again(desk: Desk) -> None:
    sandbox = Running(desk)
    sandbox.fault(fault="accept_then_hang", where={"provider": "qolaba"})
    code, said = desk.recast("run", desk.catalog(PORTRAIT), "--name", "held one")
    assert code == 3, said
    code, said = desk.recast(*hint(said, "resolve"))
    assert code == 3, said
    (give_up,) = [words for words in hints(said) if "--give-up" in words]
    code, said = desk.recast(*give_up)
    assert code == 0, said
    assert ended(desk, "held one") == {"failed": 1}
    assert sandbox.paid == 1


@pytest.mark.long
def test_hints_of_schedules_and_webhooks_continue_what_they_speak_of(desk: Desk) -> None:
    sandbox = Running(desk)
    name = "every night's"
    code, said = desk.recast("schedule", "add", name, desk.catalog(SWAP), "--cron", "0 3 1 1 *")
    assert code == 0, said
    code, said = desk.recast("schedule", "pause", name)
    assert code == 0, said
    code, said = desk.recast(*hint(said, "schedule resume"))
    assert code == 0, said
    code, said = desk.recast("schedule", "run", name)
    assert code == 0, said
    history = hint(said, "schedule history")
    wait_for(
        lambda: any(run["enqueued"] for run in desk.json(*history)),
        timeout=SECONDS, every=1.0, message="the run to be enqueued",
    )  # fmt: skip
    assert ended(desk, name) == {"succeeded": 1}
    code, said = desk.recast("schedule", "remove", name)
    assert code == 0, said
    assert desk.recast(*hint(said, "cancel"))[0] == 0
    assert ended(desk, name) == {"succeeded": 1}

    code, said = desk.recast("webhooks", "add", "https://hooks.example/in")
    assert code == 0, said
    number = hint(said, "webhooks test")[-1]
    code, said = desk.recast("webhooks", "off", number)
    assert code == 0, said
    code, said = desk.recast(*hint(said, "webhooks on"))
    assert code == 0, said
    code, said = desk.recast(*hint(said, "webhooks retry"))
    assert code == 0, said
    assert [hook["disabled_at"] for hook in desk.json("webhooks", "list")] == [None]
    assert sandbox.paid == 1
