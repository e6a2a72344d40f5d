"""Links that swallow packets: nothing is refused or reset, so that only time-outs of our own notice it.

Each link of a deployment in turn goes dead under work for longer than every time-out, and heals: with the connections
that were open before, or, as behind a firewall that lost its state, without them. The worker says that it is ill, work
goes on by itself, and nothing is lost or paid twice.
"""

from __future__ import annotations

import ctypes
import json
import os
import socket
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit

import pytest

from sandbox import SandboxConfig
from tests.faults.conftest import Deploy
from tests.faults.proxy import Proxy
from tests.invariants import check_all
from tests.stack import PORTRAITS, Stack, wait_for
from workers.heartbeats import Verdict, file_of, judge
from workers.jobs import request

pytestmark = [pytest.mark.faults, pytest.mark.timeout(1200)]

T = TypeVar("T")

NOBODY = "02:00:00:00:00:99"  # an Ethernet address of no machine
CLONE_NEWNET = 0x40000000  # of setns(2); Python has it from 3.12 on
JOBS = 120
DEAD_SECONDS = 25.0  # longer than every time-out of a call, a lease or a link
SHORT_SECONDS = 6.0  # longer than a ping may take
START_SECONDS = 90.0  # of a worker's start on a machine with other things to do
RED_SECONDS = 15.0
RESUMED_SECONDS = 30.0
SOURCE, TARGET = str(PORTRAITS / "astronaut.png"), str(PORTRAITS / "grace_hopper.jpg")
#: A few jobs a second, so that submissions are under way before, during and after.
LIMITS = {"max_in_flight": 60, "rate": "180/min", "submit_timeout": "3s", "poll_every": "0.3s"}
ACCOUNTS = ("sandbox-zhiqite", "sandbox-qolaba")


@dataclass(frozen=True, slots=True)
class Link:
    """A link that goes dead, and the parts of the worker's health that say so."""

    name: str
    parts: frozenset[str]
    attach: Callable[[Stack], Proxy]


def _broker(stack: Stack, listener: socket.socket | None = None) -> Proxy:
    proxy = Proxy.of(stack.env["RECAST_BROKER_URL"], listener)
    for name in ("RECAST_BROKER_URL", "RECAST_RESULT_URL"):
        stack.env[name] = proxy.url(stack.env[name])
    return proxy


def _database(stack: Stack, listener: socket.socket | None = None) -> Proxy:
    # This process's own engine exists already, and does not go through it.
    proxy = Proxy.of(stack.env["RECAST_DATABASE_URL"], listener)
    stack.env["RECAST_DATABASE_URL"] = proxy.url(stack.env["RECAST_DATABASE_URL"])
    return proxy


def _provider(stack: Stack) -> Proxy:
    proxy = Proxy.of(stack.sandbox.url)
    stack.configure(**{name: {"base_url": proxy.url(stack.accounts[name]["base_url"])} for name in ACCOUNTS})
    return proxy


BROKER = Link("broker", frozenset({"broker", "results", "consumer"}), _broker)
DATABASE = Link("database", frozenset({"database"}), _database)
PROVIDER = Link("provider", frozenset(), _provider)


class Cable:
    """A network namespace and a cable into it whose packets can be dropped, as by a firewall or a dead switch."""

    HERE, THERE = "10.231.77.1", "10.231.77.2"

    def __init__(self) -> None:
        self.name = f"recast{os.getpid()}"
        self._here, self._there = f"rc{os.getpid()}a", f"rc{os.getpid()}b"

    def __enter__(self) -> Self:
        _ip("netns", "add", self.name)
        try:
            _ip("link", "add", self._here, "type", "veth", "peer", "name", self._there, "netns", self.name)
            _ip("addr", "add", f"{self.HERE}/30", "dev", self._here)
            _ip("link", "set", self._here, "up")
            for command in (
                f"addr add {self.THERE}/30 dev {self._there}", f"link set {self._there} up", "link set lo up",
            ):  # fmt: skip
                _ip("-n", self.name, *command.split())
        except subprocess.CalledProcessError:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        # Here first: with the namespace alone it would go some time later, and its name not be free before.
        subprocess.run(["ip", "link", "del", self._here], check=False, capture_output=True)
        _ip("netns", "del", self.name)

    def cut(self) -> None:
        """Send every packet, from both ends, to a machine that is not there: nobody hears of it."""
        _ip("neigh", "replace", self.THERE, "lladdr", NOBODY, "dev", self._here, "nud", "permanent")
        _ip("-n", self.name, "neigh", "replace", self.HERE, "lladdr", NOBODY, "dev", self._there, "nud", "permanent")

    def mend(self) -> None:
        """Have both ends ask for each other's address again."""
        _ip("neigh", "del", self.THERE, "dev", self._here)
        _ip("-n", self.name, "neigh", "del", self.HERE, "dev", self._there)

    def within(self, work: Callable[[], T]) -> T:
        """Run `work` in the namespace; what it starts, and the sockets it makes, belong there."""

        def run() -> T:
            libc = ctypes.CDLL(None, use_errno=True)
            with Path(f"/run/netns/{self.name}").open() as namespace:
                if libc.setns(namespace.fileno(), CLONE_NEWNET):
                    raise OSError(ctypes.get_errno(), "setns")
            return work()

        # The namespace is the thread's, which ends with this.
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(run).result()


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


def _namespaces_work() -> bool:
    try:
        with Cable() as cable:
            cable.within(lambda: None)
            cable.cut()
            cable.mend()
    except (OSError, subprocess.CalledProcessError):
        return False
    return True


@pytest.mark.matrix
@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="network namespaces take root")
def test_cut_cable(deploy: Deploy, tmp_path: Path, record_property: Any) -> None:
    """Both servers at once, on a link whose kernel sends no acknowledgement: the time-outs of TCP itself."""
    if not _namespaces_work():
        pytest.skip("no network namespaces here (ip netns, veth)")
    config = SandboxConfig(home=tmp_path / "sandbox", pictures="cheap", latency=0.5, duplicates="bill")
    with Cable() as cable, deploy(config) as stack, ExitStack() as links:
        # Given a worker at the far end of a cable from its database and broker, and a provider that it always reaches
        stack.only(*ACCOUNTS)
        stack.configure(**dict.fromkeys(ACCOUNTS, LIMITS))
        for attach in (_broker, _database):
            links.enter_context(attach(stack, socket.create_server((cable.HERE, 0))))
        port = urlsplit(stack.sandbox.url).port
        assert port is not None
        links.enter_context(
            Proxy.of(stack.sandbox.url, cable.within(lambda: socket.create_server(("127.0.0.1", port))))
        )
        stack.insert([ask(number) for number in range(JOBS)])
        stack.beat()
        cable.within(stack.worker)
        wait_for(lambda: stack.states()["succeeded"] > 5, timeout=START_SECONDS, message="work is under way")
        wait_for(lambda: health(stack).healthy, message="the worker is well")

        # When the cable is cut, then the worker says so; and after it is mended, work goes on by itself
        dead_and_back(stack, cable.cut, cable.mend, DATABASE.parts | BROKER.parts, DEAD_SECONDS, record_property)


@pytest.mark.parametrize("forget", [False, True], ids=["kept", "forgotten"])
@pytest.mark.parametrize("link", [BROKER, DATABASE, PROVIDER], ids=lambda link: link.name)
@pytest.mark.matrix
def test_dead_link(deploy: Deploy, tmp_path: Path, record_property: Any, link: Link, forget: bool) -> None:
    run(deploy, tmp_path, link, forget, DEAD_SECONDS, record_property)


@pytest.mark.matrix
def test_dead_database_for_a_moment(deploy: Deploy, tmp_path: Path, record_property: Any) -> None:
    # The short one of them.
    run(deploy, tmp_path, DATABASE, False, SHORT_SECONDS, record_property)


def run(
    deploy: Deploy, tmp_path: Path, link: Link, forget: bool, seconds: float, record: Callable[[str, object], None]
) -> None:
    config = SandboxConfig(home=tmp_path / "sandbox", pictures="cheap", latency=0.5, duplicates="bill")
    with deploy(config) as stack, ExitStack() as links:
        # Given a worker and a beat that reach one of their servers through the link, and are well at work
        stack.only(*ACCOUNTS)
        stack.configure(**dict.fromkeys(ACCOUNTS, LIMITS))
        proxy = links.enter_context(link.attach(stack))
        stack.insert([ask(number) for number in range(JOBS)])
        stack.beat()
        stack.worker()
        wait_for(lambda: stack.states()["succeeded"] > 5, timeout=START_SECONDS, message="work is under way")
        wait_for(lambda: health(stack).healthy, message="the worker is well")

        # When the link goes dead and heals, then the worker says so, and work goes on by itself
        def heal() -> None:
            proxy.heal(forget=forget)

        dead_and_back(stack, proxy.swallow, heal, link.parts, seconds, record)


def dead_and_back(
    stack: Stack,
    cut: Callable[[], None],
    heal: Callable[[], None],
    parts: frozenset[str],
    seconds: float,
    record: Callable[[str, object], None],
) -> None:
    cut()
    began = time.monotonic()
    if parts:
        wait_for(lambda: bad(stack) & parts, timeout=RED_SECONDS, message="the worker is ill")
        record("red_after", round(time.monotonic() - began, 1))
    else:
        wait_for(lambda: closed(stack) == set(ACCOUNTS), timeout=RED_SECONDS, message="the accounts stop")
        record("closed_after", round(time.monotonic() - began, 1))
        assert stack.sql("SELECT id FROM attempts WHERE state = 'unknown'"), "what got no answer counts as unsent"
    wait_for(lambda: time.monotonic() - began > seconds, timeout=seconds + 1, message="the time has come")
    done = stack.states()["succeeded"]
    assert done < JOBS, "there is no work left to resume"
    heal()
    healed = time.monotonic()
    wait_for(lambda: stack.states()["succeeded"] > done, timeout=RESUMED_SECONDS, message="work goes on")
    record("resumed_after", round(time.monotonic() - healed, 1))
    wait_for(lambda: health(stack).healthy, timeout=RESUMED_SECONDS, message="the worker is well again")
    record("green_after", round(time.monotonic() - healed, 1))
    wait_for(lambda: judge(file_of(home(stack), "beat")).healthy, timeout=RESUMED_SECONDS, message="so is the beat")
    # Every job ends, or is held because its submission got no answer and its provider cannot be searched.
    states = stack.wait_settled(timeout=90)
    record("settled_after", round(time.monotonic() - healed, 1))
    record("states", json.dumps(states))
    assert states.keys() <= {"succeeded", "held"}
    assert sum(states.values()) == JOBS
    held = stack.sql("SELECT a.account FROM attempts a JOIN jobs j ON j.id = a.job_id WHERE j.state = 'held'")
    assert {row.account for row in held} <= {"sandbox-qolaba"}
    check_all(stack)


def ask(number: int) -> request.JobRequest:
    if number % 2:
        return request.JobRequest("swap", source=SOURCE, target=TARGET)
    return request.JobRequest(
        "generate", image=SOURCE, prompt=f"portrait {number}", options={"width": 256, "height": 256}
    )


def home(stack: Stack) -> Path:
    return Path(stack.env["RECAST_HOME"])


def health(stack: Stack) -> Verdict:
    return judge(file_of(home(stack), "worker@test"))


def bad(stack: Stack) -> set[str]:
    return {name for name, part in health(stack).parts.items() if not part["ok"]}


def closed(stack: Stack) -> set[str]:
    return {row.name for row in stack.sql("SELECT name FROM accounts WHERE closed_until > clock_timestamp()")}
