"""A desk at which somebody types commands at the embedded stack, and what the tests of commands share."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from desk.local_links import FRAGMENT
from tests import http
from tests.stack import PORTRAITS, ROOT, wait_for
from tests.unit.catalog.catalogs import write_csv

SECONDS = 300.0  # for any one command, on a machine that does other things too

SWAP = {
    "kind": "swap", "source": str(PORTRAITS / "grace_hopper.jpg"), "target": str(PORTRAITS / "astronaut.png"),
    "operation": "zhiqite.swap",
}  # fmt: skip
PORTRAIT = {
    "kind": "generate", "image": str(PORTRAITS / "astronaut.png"), "prompt": "a portrait",
    "operation": "qolaba.consistency", "options": '{"width": 256, "height": 256}',
}  # fmt: skip


class Desk:
    """A folder in which somebody types commands; nothing that was started there outlives the test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.started: list[subprocess.Popen[str]] = []
        self.env = {
            **{name: value for name, value in os.environ.items() if not name.startswith("RECAST_")},
            "PYTHONPATH": str(ROOT),
        }

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "cli", *arguments, "--sandbox"],
            cwd=self.folder, env=self.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            start_new_session=True,
        )  # fmt: skip
        self.started.append(process)
        return process

    def recast(self, *arguments: str) -> tuple[int, str]:
        process = self.start(*arguments)
        out, _ = process.communicate(timeout=SECONDS)
        return process.returncode, out

    def json(self, *arguments: str) -> Any:
        code, out = self.recast(*arguments, "--json")
        assert code == 0, out
        return json.loads(out)

    def completed(self, words: str) -> list[str]:
        """What a shell offers for the last word."""
        env = {"COMP_WORDS": words, "COMP_CWORD": str(words.count(" ")), "_RECAST_COMPLETE": "complete_bash"}
        script = "import sys; sys.argv[0] = 'recast'; from cli.main import main; sys.exit(main())"
        result = subprocess.run(
            [sys.executable, "-c", script], cwd=self.folder, env=self.env | env, capture_output=True, text=True,
            timeout=SECONDS, check=False,
        )  # fmt: skip
        assert result.stderr == ""
        return result.stdout.split()

    def catalog(self, *rows: dict[str, str]) -> str:
        path = self.folder / "shoes.csv"
        write_csv(path, [{"key": f"row-{number}", **row} for number, row in enumerate(rows)])
        return str(path)

    def left(self) -> list[str]:
        """Processes that work in this folder: all of a stack's own do, and its servers name it in their arguments."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and int(entry.name) != os.getpid():
                try:
                    command = (entry / "cmdline").read_bytes().decode(errors="replace").replace("\0", " ")
                    if str(self.folder) in f"{(entry / 'cwd').readlink()} {command}":
                        found.append(command)
                except OSError:
                    continue  # it has just ended
        return found

    def close(self) -> None:
        for process in self.started:
            if process.poll() is None:
                process.kill()
            process.communicate()
        wait_for(lambda: not self.left(), message="every process of the stack to end")


def read_until(process: subprocess.Popen[str], pattern: str) -> str:
    """What a process has said when it has said `pattern`."""
    assert process.stdout is not None
    said = ""
    for line in process.stdout:
        said += line
        if re.search(pattern, line):
            return said
    raise AssertionError(f"it ended without saying {pattern!r}: {said}")


def entered(link: str) -> http.Response:
    """The page to which a link that signs in leads, as a browser's script would go there."""
    with http.Client(timeout=60, follow_redirects=True) as browser:
        page = browser.get(link)
        hidden = dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', page.text))
        key = urlsplit(link).fragment.removeprefix(FRAGMENT)
        return browser.post(f"{link.partition('/sign-in')[0]}/sign-in", data={**hidden, "key": key})


def bill(desk: Desk) -> list[dict[str, Any]]:
    """What the sandbox has charged for, asked of a stack that is started for that."""
    up = desk.start("up")
    url = re.search(r"http://\S+/_sandbox/bill\S*", read_until(up, "/_sandbox/bill"))
    assert url is not None
    lines: list[dict[str, Any]] = http.get(url[0], timeout=60).json()["lines"]
    up.send_signal(signal.SIGINT)
    up.communicate(timeout=SECONDS)
    return lines
