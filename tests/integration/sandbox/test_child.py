"""The sandbox as a process: real connections, real pictures, and what it remembers when it is killed."""

from __future__ import annotations

import io
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageChops

from sandbox import Sandbox, SandboxConfig, SandboxError
from sandbox.child import STOP_SECONDS
from tests import http
from tests.sandbox_client import PATIENCE, until
from tests.stack import PORTRAITS, crowding

V1 = "/zhiqite/AIGCImgOpenServ/saas/tool/roop"
KEYS = {"X-Request-req-accessKeyId": "sandbox", "X-Request-req-accessKeySecret": "sandbox"}
ROOT = Path(__file__).parents[3]


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[Sandbox]:
    with Sandbox(SandboxConfig(home=tmp_path, pictures="cheap", latency=0)) as sandbox:
        yield sandbox


@pytest.fixture
def client(sandbox: Sandbox) -> Iterator[http.Client]:
    with http.Client(base_url=sandbox.url, headers=KEYS, timeout=PATIENCE, trust_env=False) as client:
        yield client


@pytest.fixture
def media(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server with the two portraits, a picture without a face and a text."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

    folder = tmp_path_factory.mktemp("media")
    for portrait in ("grace_hopper.jpg", "astronaut.png"):
        shutil.copy(PORTRAITS / portrait, folder)
    Image.new("RGB", (300, 300), "#4e79a7").save(folder / "plain.png")
    (folder / "text.txt").write_text("no picture")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def order(reference: str, base: str = "http://127.0.0.1") -> dict[str, str]:
    return {
        "sourceUrl": f"{base}/grace_hopper.jpg",
        "targetUrl": f"{base}/astronaut.png",
        "businessTaskId": reference,
    }


def test_a_reset_is_a_reset_on_the_wire(sandbox: Sandbox, client: http.Client) -> None:
    sandbox.add_fault("reset", stage="before", times=1)
    sandbox.add_fault("reset", stage="after", times=1)
    for lines in (0, 1):
        with pytest.raises(http.ReadError, match="reset by peer"):
            client.post(V1, json=order("one"))
        assert len(sandbox.bill()) == lines
    assert client.post(f"{V1}/queryTask", json={"businessTaskId": "one"}).json()["data"]["status"] == 1
    assert (sandbox.config.home / "sandbox.log").read_text() == ""


def test_accept_then_hang_bills_and_never_answers(sandbox: Sandbox, client: http.Client) -> None:
    sandbox.add_fault("accept_then_hang", times=1)
    with pytest.raises(http.ReadTimeout):
        client.post(V1, json=order("one"), timeout=http.Timeout(PATIENCE, read=0.3))
    [line] = sandbox.bill()
    assert line["reference"] == "one"
    assert client.post(f"{V1}/queryTask", json={"businessTaskId": "one"}).json()["data"]["status"] == 1


def test_stop_does_not_wait_for_those_left_in_silence(sandbox: Sandbox) -> None:
    sandbox.add_fault("accept_then_hang")
    host, _, port = sandbox.url.removeprefix("http://").rpartition(":")
    with socket.create_connection((host, int(port))) as connection:
        body = b'{"sourceUrl": "a", "targetUrl": "b", "businessTaskId": "one"}'
        head = "".join(f"{name}: {value}\r\n" for name, value in KEYS.items())
        connection.sendall(
            f"POST {V1} HTTP/1.1\r\nHost: {host}\r\n{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
        )
        until(lambda: len(sandbox.bill()) == 1)
        started = time.monotonic()
        sandbox.stop()
        assert time.monotonic() - started < STOP_SECONDS * crowding(), "else it was killed after that time"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_every_answered_submission_survives_the_end_of_the_process(sandbox: Sandbox, number: int) -> None:
    answered: list[str] = []
    enough = threading.Event()

    def submit(lane: int) -> None:
        with http.Client(base_url=sandbox.url, headers=KEYS, timeout=PATIENCE, trust_env=False) as client:
            for index in range(100_000):
                reference = f"{lane}-{index}"
                try:
                    if client.post(V1, json=order(reference)).json()["code"] == "200":
                        answered.append(reference)
                except http.TransportError:
                    return
                if len(answered) >= 200:
                    enough.set()

    with ThreadPoolExecutor(4) as lanes:
        for lane in range(4):
            lanes.submit(submit, lane)
        assert enough.wait(PATIENCE)
        sandbox.kill(number)
    url = sandbox.url
    sandbox.restart()
    assert sandbox.url == url
    billed = [line["reference"] for line in sandbox.bill()]
    assert len(set(billed)) == len(billed)
    assert set(answered) <= set(billed)
    assert len(billed) - len(answered) <= 4  # at most one submission of each lane was taken and not answered
    assert sandbox.stats()["billed"] == len(billed)


def test_real_pictures_are_made_from_inputs_fetched_by_url(tmp_path: Path, media: str) -> None:
    with (
        Sandbox(SandboxConfig(home=tmp_path, latency=0)) as sandbox,
        http.Client(base_url=sandbox.url, headers=KEYS, timeout=PATIENCE, trust_env=False) as client,
    ):
        targets = {"good": "astronaut.png", "gone": "nowhere.png", "text": "text.txt", "plain": "plain.png"}
        for name, file in targets.items():
            client.post(V1, json=order(name, media) | {"targetUrl": f"{media}/{file}"})

        def answers() -> dict[str, Any]:
            bodies = {name: client.post(f"{V1}/queryTask", json={"businessTaskId": name}).json() for name in targets}
            return {name: body | body["data"] for name, body in bodies.items()}

        until(lambda: all(answer["status"] in {1, 2} for answer in answers().values()))
        found = answers()
        assert {name: answer["status"] for name, answer in found.items()} == {
            "good": 1,
            "gone": 2,
            "text": 2,
            "plain": 2,
        }
        assert "face" in found["plain"]["msg"]
        assert "download" in found["gone"]["msg"]
        result = Image.open(io.BytesIO(client.get(found["good"]["outputImageUrl"]).content))
        with Image.open(PORTRAITS / "astronaut.png") as target:
            assert (result.format, result.size) == ("PNG", target.size)
            changed = ImageChops.difference(result.convert("RGB"), target.convert("RGB")).getbbox()
        assert changed is not None
        left, top, right, bottom = changed
        assert 100 < left < right < 350  # where the head is: all around it the target is untouched
        assert top < bottom < 250
        assert [line["status"] for line in sandbox.bill()] == ["done", "failed", "failed", "failed"]
        assert sandbox.stats()["in_flight"] == 0


def test_a_restart_makes_the_pictures_a_kill_left_unmade(tmp_path: Path, media: str) -> None:
    with Sandbox(SandboxConfig(home=tmp_path, latency=0)) as sandbox:
        for number in range(3):
            assert http.post(sandbox.url + V1, headers=KEYS, json=order(f"{number}", media)).json()["code"] == "200"
        sandbox.kill()
        sandbox.restart()
        until(lambda: [line["status"] for line in sandbox.bill()] == ["done"] * 3)


def test_it_dies_with_its_parent(tmp_path: Path) -> None:
    script = (
        "import sys\nfrom pathlib import Path\nfrom sandbox import Sandbox, SandboxConfig\n"
        "sandbox = Sandbox(SandboxConfig(home=Path(sys.argv[1]), pictures='cheap'))\n"
        "sandbox.start()\nprint(sandbox.url, flush=True)\nsys.stdin.read()\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with parent:
        assert parent.stdout is not None
        host, _, port = parent.stdout.readline().strip().removeprefix("http://").rpartition(":")
        with socket.create_connection((host, int(port))):
            pass
        parent.kill()

    def refused() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex((host, int(port))) != 0

    until(refused)


def test_what_does_not_start_says_why(tmp_path: Path) -> None:
    (tmp_path / "sandbox.sqlite3").write_bytes(b"this is not a database" * 100)
    with pytest.raises(SandboxError, match="not a database"):
        Sandbox(SandboxConfig(home=tmp_path)).start()


def test_a_wrong_rule_is_named(sandbox: Sandbox) -> None:
    with pytest.raises(ValueError, match="explode"):
        sandbox.add_fault("explode")
