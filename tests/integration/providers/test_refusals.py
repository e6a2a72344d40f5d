"""What providers refuse and fail, end to end: no account stops for a picture, and "at most" holds against the bill."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from fnmatch import fnmatchcase
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from sandbox import SandboxConfig
from tests.invariants import check_all
from tests.stack import ROOT, Stack, running, wait_for
from tests.words import unsaid

SOURCE, TARGET = "https://media.example/a.jpg", "https://media.example/b.jpg"
SWAP: Mapping[str, Any] = {"kind": "swap", "source": SOURCE, "target": TARGET}
PORTRAIT: Mapping[str, Any] = {"kind": "generate", "image": SOURCE, "prompt": "a knight"}


@dataclass
class Rule:
    """Which requests are answered here, how often, and with what; with `after`, the provider takes them first.

    `path` is a shell pattern.
    """

    path: str
    body: Any
    status: int = 200
    times: int = 1_000
    method: str = "POST"
    after: bool = False


class Between:
    """A proxy in front of the sandbox, which answers some requests in its own words."""

    def __init__(self, sandbox: str) -> None:
        self.sandbox, self.rules, self.url = sandbox, list[Rule](), ""

    def answer(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> tuple[int, bytes]:
        rule = next(
            (rule for rule in self.rules if rule.times > 0 and fnmatchcase(path, rule.path) and rule.method == method),
            None,
        )
        if rule is not None:
            rule.times -= 1
            if rule.after:
                self._forward(method, path, body, headers)
            return rule.status, json.dumps(rule.body).encode()
        return self._forward(method, path, body, headers)

    def _forward(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> tuple[int, bytes]:
        kept = {name: value for name, value in headers.items() if name.lower() not in ("host", "content-length")}
        request = urllib.request.Request(self.sandbox + path, body or None, kept, method=method)  # noqa: S310
        try:
            with urllib.request.urlopen(request) as reply:  # noqa: S310
                return reply.status, reply.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()


@contextmanager
def between(sandbox: str) -> Iterator[Between]:
    proxy = Between(sandbox)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, answer = proxy.answer(self.command, self.path, body, dict(self.headers))
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        do_GET = do_POST = do_DELETE = _any  # noqa: N815 - names that the base class calls

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    proxy.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield proxy
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Stack, Between]]:
    """A deployment whose providers are asked through a proxy."""
    home = tmp_path_factory.mktemp("shop")
    config = SandboxConfig(home=home / "sandbox", pictures="cheap", latency=0.2)
    with running(home, config, RECAST_PUBLIC_URL="http://127.0.0.1:9") as stack, between(stack.sandbox.url) as proxy:
        stack.only("sandbox-zhiqite", "sandbox-qolaba", "sandbox-replicate")
        for name, table in stack.accounts.items():
            address = table["base_url"].replace(stack.sandbox.url, proxy.url)
            stack.configure(**{name: {"base_url": address, "poll_every": "0.2s", "max_in_flight": 4}})
        stack.worker().wait_ready()
        stack.beat()
        yield stack, proxy


@dataclass
class Told:
    """What a run promised, and how it stood afterwards."""

    batch: str
    at_most: Decimal
    billed: Decimal
    lines: int
    jobs: list[Any]
    stopped: str | None
    note: str


class Shop:
    """Runs catalogs of one account, and compares them with the bill."""

    def __init__(self, stack: Stack, proxy: Between, folder: Path, name: str) -> None:
        self.stack, self.proxy, self.folder, self.name = stack, proxy, folder, name
        self._before: list[Any] = []

    def run(self, account: str, rows: int, row: Mapping[str, Any], *rules: Rule) -> str:
        """Enqueue that many rows; the batch's name."""
        self.proxy.rules[:] = rules
        self.account = f"sandbox-{account}"
        self.stack_sql("UPDATE accounts SET closed_until = NULL, closed_reason = NULL, failures = 0, streak = NULL")
        self._before = self.stack.sandbox.bill()
        catalog = self.folder / f"{self.name}.jsonl"
        catalog.write_text("".join(json.dumps({"key": f"{n}", **row}) + "\n" for n in range(rows)))
        command = [sys.executable, "-m", "cli", "run", str(catalog), "--no-wait", "--json", "--account", self.account]
        told = subprocess.run(command, cwd=ROOT, env=self.stack.env, capture_output=True, text=True, check=False)
        assert told.returncode == 0, told.stdout + told.stderr
        self.promised = Decimal(json.loads(told.stdout)["at_most"]["amount"])
        return self.name

    def stack_sql(self, statement: str) -> None:
        with self.stack.engine.begin() as connection:
            connection.exec_driver_sql(statement)

    def now(self) -> Told:
        jobs = self.stack.sql(
            "SELECT j.state, j.reason, j.error FROM jobs j JOIN batches b ON b.id = j.batch_id WHERE b.name = :name"
            " ORDER BY j.key", name=self.name,
        )  # fmt: skip
        (row,) = self.stack.sql(
            "SELECT CASE WHEN closed_until > clock_timestamp() THEN closed_reason END AS reason, closed_note AS note"
            " FROM accounts WHERE name = :name", name=self.account,
        )  # fmt: skip
        lines = self.stack.sandbox.bill()[len(self._before) :]
        billed = sum((Decimal(str(line["amount"])) for line in lines), Decimal(0))
        return Told(self.name, self.promised, billed, len(lines), jobs, row.reason, row.note or "")

    def settled(self) -> Told:
        self.stack.wait_settled(timeout=90)
        told = self.now()
        assert told.billed <= told.at_most, f"{told.billed} were billed, and {told.at_most} promised"
        check_all(self.stack)
        return told

    def cancel(self) -> None:
        self.proxy.rules.clear()
        self.stack_sql("UPDATE accounts SET closed_until = NULL, closed_reason = NULL, failures = 0, streak = NULL")
        self.stack.wait_settled(timeout=90)


@pytest.fixture
def opened(shop: tuple[Stack, Between], tmp_path: Path, request: pytest.FixtureRequest) -> Shop:
    name = "".join(char if char.isascii() and char.isalnum() else "-" for char in request.node.name)[:80]
    return Shop(*shop, tmp_path, f"{name}-{abs(hash(request.node.nodeid)) % 10_000}")


def said(message: str) -> dict[str, Any]:
    """Zhiqite's form of an error."""
    return {"code": "500", "msg": message, "data": None}


# --- Words ---------------------------------------------------------------------------------------------------------


def one_of(messages: list[str]) -> list[Any]:
    """The messages, of which `make test` runs the first, and `make long` the others."""
    return [messages[0], *(pytest.param(message, marks=pytest.mark.long) for message in messages[1:])]


@pytest.mark.parametrize(
    "message", one_of(["download image failed: HTTP 403 Forbidden", "too many faces", "image exceeds the quota of 10MB",
                "图片认证失败", "face quota: at most 1 face"]),
)  # fmt: skip
def test_words_about_one_picture_reject_it_alone(opened: Shop, message: str) -> None:
    opened.run("zhiqite", 6, SWAP, Rule("*/tool/roop", said(message), times=1))
    told = opened.settled()

    assert sorted(job.state for job in told.jobs) == ["rejected"] + ["succeeded"] * 5
    assert (told.stopped, told.lines) == (None, 5)


@pytest.mark.parametrize("message", one_of(["服务器繁忙，请稍后再试", "insufficient GPU capacity", "图片审核服务超时"]))
def test_words_that_mean_not_now_fail_nothing(opened: Shop, message: str) -> None:
    opened.run("zhiqite", 3, SWAP, Rule("*/tool/roop", said(message), times=1))
    told = opened.settled()

    assert [job.state for job in told.jobs] == ["succeeded"] * 3
    assert told.lines == 3
    # A refusal of any kind is tried again: one that says nothing of the job costs it no try.
    refused = "SELECT a.error FROM attempts a JOIN jobs j ON j.id = a.job_id JOIN batches b ON b.id = j.batch_id"
    assert opened.stack.sql(f"{refused} WHERE b.name = :name AND a.state = 'refused'", name=opened.name) == []


@pytest.mark.parametrize(("message", "reason"), [("账户已被冻结", "auth"), ("monthly spend limit reached", "credit")])
def test_words_about_the_account_stop_it_with_its_jobs(opened: Shop, message: str, reason: str) -> None:
    opened.run("zhiqite", 3, SWAP, Rule("*/tool/roop", said(message)))
    wait_for(lambda: opened.now().stopped, message="the account stops")
    told = opened.now()

    assert (told.stopped, {job.state for job in told.jobs}, told.lines) == (reason, {"queued"}, 0)
    opened.cancel()
    assert opened.settled().lines == 3


def test_unknown_words_in_a_row_stop_the_account_for_a_while(opened: Shop) -> None:
    opened.run("zhiqite", 8, SWAP, Rule("*/tool/roop", said("step 7 did not converge"), times=8))
    wait_for(lambda: opened.now().stopped, message="the account stops")
    assert unsaid(opened.now().note, "step 7 did not converge") == []
    told = opened.settled()

    assert [job.state for job in told.jobs] == ["succeeded"] * 8, "it accepts again by itself, and lost no job"


# --- Internal errors -----------------------------------------------------------------------------------------------

INTERNAL: Mapping[str, Any] = {
    "time_required": {}, "error": "Internal Error", "error_data": "Internal Error", "input": {}, "output": {},
    "app_id": None, "task_id": None, "status": "FAILED",
}  # fmt: skip


def test_an_internal_error_of_queries_pays_nothing_twice(opened: Shop) -> None:
    opened.run(
        "qolaba", 5, {**PORTRAIT, "operation": "qolaba.consistency"}, Rule("*/getImage", INTERNAL, 500, times=10)
    )
    told = opened.settled()

    assert [job.state for job in told.jobs] == ["succeeded"] * 5
    assert told.lines == 5


def test_a_wrong_key_stops_the_account_and_keeps_every_job(opened: Shop) -> None:
    opened.stack_sql("UPDATE accounts SET proven_key = NULL")
    opened.run("qolaba", 12, {**PORTRAIT, "operation": "qolaba.consistency"}, Rule("*/getImage*", INTERNAL, 500))
    wait_for(lambda: opened.now().stopped == "auth", message="the account stops")
    wait_for(lambda: {job.state for job in opened.now().jobs} == {"queued"}, message="every job is queued")

    assert opened.now().lines == 0
    opened.cancel()
    told = opened.settled()
    assert ([job.state for job in told.jobs], told.lines) == (["succeeded"] * 12, 12)


def test_an_internal_error_after_the_job_was_taken_is_not_paid_again(opened: Shop) -> None:
    operation = {**PORTRAIT, "operation": "qolaba.consistency"}
    opened.run("qolaba", 2, operation, Rule("*/getImagetoImage", INTERNAL, 500, times=1, after=True))
    told = opened.settled()

    assert sorted(job.state for job in told.jobs) == ["held", "succeeded"]
    assert told.lines == 2


# --- Paid failures -------------------------------------------------------------------------------------------------

FAILED = "*/v1/predictions/*"


@pytest.mark.parametrize(
    "message", one_of(["list index out of range", "cannot identify image file", "The input image cannot be read."])
)
def test_a_pictures_fault_is_paid_for_once(opened: Shop, message: str) -> None:
    failed = {"id": "a", "status": "failed", "error": message}
    opened.run("replicate", 2, {**SWAP, "operation": "replicate.swap"}, Rule(FAILED, failed, method="GET"))
    told = opened.settled()

    assert ([job.state for job in told.jobs], told.lines) == (["rejected"] * 2, 2)


@pytest.mark.parametrize(
    ("account", "operation", "row", "more"),
    [
        ("replicate", "replicate.swap", SWAP, {"error": "internal"}),
        ("zhiqite", "zhiqite.swap", SWAP, {"error": "internal", "form": "status"}),
        ("qolaba", "qolaba.consistency", PORTRAIT, {"error": "internal", "form": "http-500"}),
        ("qolaba", "qolaba.consistency", PORTRAIT, {"error": "internal", "form": "http-200"}),
        ("qolaba", "qolaba.consistency", PORTRAIT, {"error": "content"}),
    ],
)
def test_the_bill_never_exceeds_what_was_promised(
    opened: Shop, account: str, operation: str, row: Mapping[str, Any], more: Mapping[str, Any]
) -> None:
    sandbox = opened.stack.sandbox
    sandbox.add_fault("fail", where={"provider": account}, **more)
    try:
        opened.run(account, 2, {**row, "operation": operation})
        told = opened.settled()
    finally:
        sandbox.clear_faults()

    once = more["error"] == "content"
    assert {job.state for job in told.jobs} == {"rejected" if once else "failed"}
    assert told.lines == (2 if once else 4)
    assert told.at_most == 2 * told.billed if once else told.at_most == told.billed
