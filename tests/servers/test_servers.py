"""Must hold on the servers that people have: a producer's jobs and a catalog end, once each, and doctor is content."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Literal

import pytest
from redis import Redis

from devstack.servers import Servers
from sandbox import Sandbox, SandboxConfig
from tests import http
from tests.integration.producer import produce
from tests.servers.programs import LOOPBACK, free_port, nginx
from tests.servers.ways import MASTER, WAYS, Settings, Watched, Way, sentinel
from tests.stack import PORTRAITS, ROOT, Stack, migrated, wait_for

pytestmark = pytest.mark.servers

ROWS = 12
LOGIN = ("shop", "a-long-password")


@contextmanager
def deployed(home: Path, way: Way, pictures: Literal["cheap", "real"] = "cheap") -> Iterator[Stack]:
    """A deployment with one worker and a beat that use `way`; a provider fetches inputs for `real` pictures."""
    shutil.copytree(migrated(), home / "servers")
    config = SandboxConfig(home=home / "sandbox", pictures=pictures, latency=0.3)
    with (
        Servers(home / "servers", durable=False) as servers,
        way(home / "way", servers.urls.database) as settings,
        Sandbox(config) as sandbox,
    ):
        stack = Stack(home, servers, sandbox, **{"RECAST_PUBLIC_URL": "http://127.0.0.1:9", **settings})
        try:
            stack.only("sandbox-zhiqite", "sandbox-qolaba")
            stack.worker().wait_ready()
            stack.beat()
            yield stack
        finally:
            stack.close()


def recast(stack: Stack, *arguments: str, code: int = 0) -> str:
    """What the command prints."""
    done = subprocess.run(
        [sys.executable, "-m", "cli", *arguments], cwd=ROOT, env=stack.env, capture_output=True, text=True,
        timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == code, done.stdout + done.stderr + stack.workers[0].log.read_text()[-3000:]
    return done.stdout


def write_catalog(stack: Stack) -> Path:
    path = stack.home / "catalog.csv"
    source, target = PORTRAITS / "astronaut.png", PORTRAITS / "grace_hopper.jpg"
    rows = [f"k{number},swap,{source},{target},zhiqite" for number in range(ROWS)]
    path.write_text("\n".join(["key,kind,source,target,provider", *rows, ""]))
    return path


def billed(stack: Stack) -> int:
    return len(stack.sql("SELECT 1 FROM attempts WHERE handle IS NOT NULL"))


def findings(stack: Stack) -> dict[str, Any]:
    printed = json.loads(recast(stack, "doctor", "--json"))
    return {item["name"]: item for item in printed["findings"]}


@pytest.mark.parametrize("name", WAYS)
def test_producers_and_catalogs_are_served(name: str, tmp_path: Path) -> None:
    with deployed(tmp_path, WAYS[name]) as stack:
        told = findings(stack)
        assert {told[part]["state"] for part in ("database", "broker", "deployment", "migrations")} == {"ok"}
        assert "24" in told["connections"]["message"]

        got = produce(
            stack, "answer(group(swap.s(**PAIR, provider='zhiqite') for _ in range(4)).delay().get(timeout=240))"
        )
        assert [one["state"] for one in got] == ["succeeded"] * 4

        recast(stack, "run", str(write_catalog(stack)))
        assert stack.states() == {"succeeded": 4 + ROWS}
        assert billed(stack) == 4 + ROWS
        # The same catalog again pays for nothing.
        recast(stack, "run", str(write_catalog(stack)))
        assert billed(stack) == 4 + ROWS


@pytest.mark.parametrize("keeps", [True, False], ids=["kept", "removed"])
def test_everything_below_a_path(keeps: bool, tmp_path: Path) -> None:
    port, path = free_port(), "/shop/recast"

    @contextmanager
    def below(folder: Path, _: str) -> Iterator[Settings]:
        with nginx(folder, path, port, keeps=keeps) as url:
            yield {"RECAST_PUBLIC_URL": url, "RECAST_WEB_AUTH": ":".join(LOGIN)}

    with deployed(tmp_path, below, pictures="real") as stack:
        stack.web(port)
        got = produce(stack, "answer(swap.delay(**PAIR, provider='zhiqite').get(timeout=240))")
        assert got["state"] == "succeeded"
        recast(stack, "run", str(write_catalog(stack)))
        assert stack.states() == {"succeeded": 1 + ROWS}
        assert billed(stack) == 1 + ROWS

        url = stack.env["RECAST_PUBLIC_URL"]
        with http.Client(auth=LOGIN, follow_redirects=True) as client:
            page = client.get(f"{url}/")
            assert page.status_code == 200
            links = re.findall(r'(?:href|src)="(/[^"]*)"', page.text)
            assert links
            assert all(link.startswith(path) for link in links)
            assert {client.get(f"{url.removesuffix(path)}{link}").status_code for link in links} == {200}
    answered = re.findall(r'"GET (\S+) HTTP/1.\d" (\d+)', (tmp_path / "way" / "requests.log").read_text())
    assert any(asked.startswith(f"{path}/media/") and code == "200" for asked, code in answered), answered


def killed(servers: Watched) -> None:
    """The master's machine is lost."""
    os.kill(servers.master, signal.SIGKILL)


def replaced(servers: Watched) -> None:
    """A person has another server take over, as for an upgrade; the old master stays, as a replica."""
    with Redis(LOOPBACK, servers.sentinel) as client:
        client.execute_command("SENTINEL FAILOVER", MASTER)


@pytest.mark.parametrize("happens", [killed, replaced])
def test_a_failover_in_the_middle_of_a_run(happens: Callable[[Watched], None], tmp_path: Path) -> None:
    servers: list[Watched] = []
    with deployed(tmp_path, partial(sentinel, watched_by=servers)) as stack:
        catalog = write_catalog(stack)
        recast(stack, "run", str(catalog), "--no-wait")
        wait_for(lambda: billed(stack) > 0, message="the run is under way")
        happens(servers[0])

        assert stack.wait_settled(timeout=120) == {"succeeded": ROWS}
        assert billed(stack) == ROWS
        wait_for(lambda: _served(stack), timeout=60, message="a producer is served by the other server")
        process = stack.workers[0].process
        assert process is not None
        assert process.poll() is None, "the same worker runs"


def _served(stack: Stack) -> bool:
    try:
        got = produce(stack, "answer(swap.delay(**PAIR, provider='zhiqite').get(timeout=60))")
    except AssertionError:
        return False  # the sentinels still point at the server that is gone
    return bool(got["state"] == "succeeded")
