"""A real Chromium, driven over its own protocol (CDP) by the WebSocket client that aiohttp brings along."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
START_SECONDS = 60.0
SETTLE_SECONDS = 30.0
LOOK_SECONDS = 0.05
#: Keys other than letters, by their number.
CODES = {
    "Tab": 9,
    "Enter": 13,
    "Escape": 27,
    " ": 32,
    "End": 35,
    "ArrowLeft": 37,
    "ArrowUp": 38,
    "ArrowRight": 39,
    "ArrowDown": 40,
    "?": 191,
}


def found() -> str | None:
    """The browser's program, or None where there is none."""
    return os.environ.get("CHROMIUM") or next((path for path in map(shutil.which, NAMES) if path), None)


class Page:
    """One tab. What its console and its security policy complain of is kept in `complaints`."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._number = 0
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self.complaints: list[str] = []
        self._expected: list[str] = []

    async def listen(self) -> None:
        """Take what the browser says until it ends."""
        async for message in self._socket:
            said = json.loads(message.data)
            if "id" in said:
                self._answers.pop(said["id"]).set_result(said)
            elif said["method"] == "Log.entryAdded" and said["params"]["entry"]["level"] == "error":
                text = said["params"]["entry"]["text"]
                if not any(each in text for each in self._expected):
                    self.complaints.append(text)
            elif said["method"] == "Runtime.exceptionThrown":
                self.complaints.append(json.dumps(said["params"]["exceptionDetails"]))

    def expect(self, *words: str) -> None:
        """Take errors with one of these words as meant from now on, whenever the browser tells of them."""
        self._expected.extend(words)

    async def call(self, method: str, **parameters: Any) -> Any:
        """Call one of the protocol's methods."""
        said = await self._ask(method, **parameters)
        assert "error" not in said, said
        return said["result"]

    async def _ask(self, method: str, **parameters: Any) -> Any:
        self._number += 1
        answer = self._answers[self._number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": self._number, "method": method, "params": parameters})
        return await asyncio.wait_for(answer, SETTLE_SECONDS)

    async def evaluate(self, script: str) -> Any:
        """The value of an expression, awaited if it is a promise."""
        said = await self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in said, said
        return said["result"].get("value")

    async def until(self, condition: str) -> None:
        """Wait until an expression is true, on this page or on one that the browser goes to meanwhile."""
        ends = asyncio.get_running_loop().time() + SETTLE_SECONDS
        looking = f"(() => {{ try {{ return Boolean({condition}); }} catch {{ return false; }} }})()"
        while True:
            said = await self._ask("Runtime.evaluate", expression=looking, returnByValue=True)
            # A page that is left while it is asked answers nothing.
            if said.get("result", {}).get("result", {}).get("value") is True:
                return
            assert asyncio.get_running_loop().time() < ends, f"not in time: {condition}"
            await asyncio.sleep(LOOK_SECONDS)

    async def at_rest(self, place: str) -> tuple[float, float]:
        """Where something is on the screen, once it stays there: a page is laid out again in its own time."""
        await self._ready()
        ends = asyncio.get_running_loop().time() + SETTLE_SECONDS
        before: list[float] = []
        while (now := await self.evaluate(f"new Promise((done) => setTimeout(() => done({place}), 100))")) != before:
            assert asyncio.get_running_loop().time() < ends, f"does not rest: {place}"
            before = now
        return now[0], now[1]

    async def open(self, url: str, auth: str | None = None) -> None:
        """Go to `url`, with a password if one is given, and wait until every picture on it is there, or has failed."""
        if auth is not None:
            header = "Basic " + base64.b64encode(auth.encode()).decode()
            await self.call("Network.setExtraHTTPHeaders", headers={"Authorization": header})
        await self.call("Page.navigate", url=url)
        await self.until(f"location.href === {json.dumps(url)} && document.readyState === 'complete'")
        # Each time anew: a part of the page that is fetched again has pictures that wait to be scrolled to.
        loaded = "[...document.images].map((each) => { each.loading = 'eager'; return each.complete; })"
        await self.until(f"{loaded}.every(Boolean)")

    async def look(self, *, width: int, height: int = 900, dark: bool = False) -> None:
        """See pages as on a screen of this size, in the light or in the dark."""
        await self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await self.call("Emulation.setEmulatedMedia", features=[scheme])

    async def offline(self, *, away: bool) -> None:
        """Cut this page off from the network, or connect it again; it is so once this returns."""
        self.expect("ERR_INTERNET_DISCONNECTED")
        speed = {"latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
        await self.call("Network.emulateNetworkConditions", offline=away, **speed)
        # The browser's own network process hears of it in its own time.
        style = "document.querySelector('link[rel=stylesheet]').href"
        asked = f"fetch({style}, {{ cache: 'no-store' }}).then(() => false, () => true)"
        ends = asyncio.get_running_loop().time() + SETTLE_SECONDS
        while await self.evaluate(asked) is not away:
            assert asyncio.get_running_loop().time() < ends, "the network does not change"

    async def answer_late(self, seconds: float) -> None:
        """Let this page's own script get the answers to what it sends so much later."""
        await self.evaluate(
            "(() => { const send = window.fetch; window.fetch = async (url, how) => {"
            " const answer = await send(url, how);"
            f" if (how?.method === 'POST') await new Promise((done) => setTimeout(done, {1000 * seconds}));"
            " return answer; }; })()"
        )

    async def screenshot(self, path: Path, *, whole: bool = True) -> None:
        """The whole page, or what is seen of it, as a PNG."""
        said = await self.call("Page.captureScreenshot", captureBeyondViewport=whole, format="png")
        path.write_bytes(base64.b64decode(said["data"]))  # noqa: ASYNC240

    async def click(self, x: float, y: float, *, held: int = 0) -> None:
        """Click a place on the screen with the mouse, while keys are held down as the protocol counts them."""
        for kind in ("mousePressed", "mouseReleased"):
            await self.call(
                "Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1, modifiers=held, buttons=1
            )

    async def _ready(self) -> None:
        # A browser drops keys and clicks before a page's first picture, and gives a focus that is wanted a frame later.
        focused = "(document.activeElement !== document.body || !document.querySelector('[autofocus]'))"
        await self.until(f"performance.getEntriesByType('paint').length > 0 && {focused}")

    async def press(self, key: str, *, hold: bool = False) -> None:
        """Press a key and let it go, unless it is held."""
        await self._ready()
        number = CODES.get(key) or ord(key.upper())
        known: dict[str, Any] = {"key": key, "code": f"Key{key.upper()}" if key.isalpha() and len(key) == 1 else key}
        typed = {"text": key} if len(key) == 1 else {"text": "\r"} if key == "Enter" else {}
        down = {"type": "keyDown", **typed} if typed else {"type": "rawKeyDown"}
        await self.call("Input.dispatchKeyEvent", **known, **down, windowsVirtualKeyCode=number)
        if not hold:
            await self.release(key)

    async def release(self, key: str) -> None:
        """Let a key go."""
        number = CODES.get(key) or ord(key.upper())
        await self.call("Input.dispatchKeyEvent", type="keyUp", key=key, code=key, windowsVirtualKeyCode=number)

    async def write(self, text: str) -> None:
        """Type text where the focus is."""
        await self._ready()
        await self.call("Input.insertText", text=text)


@asynccontextmanager
async def browsing(program: str) -> AsyncIterator[Page]:
    """A browser of its own, headless, without a profile, with one tab."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = [
            program, "--headless=new", "--remote-debugging-port=0", f"--user-data-dir={profile}", "--no-first-run",
            "--disable-gpu", "--disable-dev-shm-usage", "--disable-extensions", "--disable-background-networking",
            "--disable-component-update", "--force-color-profile=srgb", "--hide-scrollbars", "about:blank",
        ]  # fmt: skip
        if os.geteuid() == 0:
            command.insert(1, "--no-sandbox")  # which Chromium refuses to set up for root
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: ASYNC220
        try:
            port = await _port(Path(profile) / "DevToolsActivePort", process)
            async with aiohttp.ClientSession() as session:
                async with session.get(f"http://127.0.0.1:{port}/json/list") as answer:
                    (tab,) = [tab for tab in await answer.json() if tab["type"] == "page"]
                async with session.ws_connect(tab["webSocketDebuggerUrl"], max_msg_size=0) as socket:
                    page = Page(socket)
                    listening = asyncio.ensure_future(page.listen())
                    for domain in ("Page", "Network", "Runtime", "Log"):
                        await page.call(f"{domain}.enable")
                    yield page
                    listening.cancel()
        finally:
            process.terminate()
            process.wait(30)


async def _port(file: Path, process: subprocess.Popen[bytes]) -> int:
    ends = asyncio.get_running_loop().time() + START_SECONDS
    while not (file.exists() and file.read_text().count("\n")):  # noqa: ASYNC240
        assert process.poll() is None, "the browser has ended"
        assert asyncio.get_running_loop().time() < ends, "the browser does not listen"
        await asyncio.sleep(0.05)
    return int(file.read_text().splitlines()[0])  # noqa: ASYNC240
