"""The sandbox as a child process, for the command line, benchmarks and tests."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from providers.http import Client
from sandbox.config import CREDENTIAL, CURRENCY, PER_CALL, PRICES, WEBHOOK_SECRET, SandboxConfig
from sandbox.door import token_of
from workers import private

STOP_SECONDS = 10.0  # a picture being made is finished first
ASK_SECONDS = 60.0  # the bill of a load test is some 30 MB


class SandboxError(RuntimeError):
    """The sandbox did not start; the message quotes its log."""


class Sandbox:
    """A running sandbox; leaving the context stops it, and it exits with the thread that started it.

    (On Linux, where the kernel does this: start it in a thread that lives long enough.) Its log is `sandbox.log` in its
    home.
    """

    def __init__(self, config: SandboxConfig, *, port: int = 0) -> None:
        self.config = config
        self.url = ""
        self._port = port
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """The process id of the running sandbox."""
        return self._running().pid

    def start(self) -> None:
        """Start it and wait until it answers. Raises SandboxError where it does not."""
        log = private.folder(self.config.home) / "sandbox.log"
        with open(log, "ab", opener=private.opener) as errors:
            self._process = subprocess.Popen(  # noqa: S603 (our own module)
                [sys.executable, "-m", "sandbox", *_arguments(self.config, self._port)],
                cwd=Path(__file__).parents[1],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        if self._process.stdout is None:
            raise SandboxError("the sandbox has no standard output")
        self.url = self._process.stdout.readline().strip()
        if not self.url:
            self.kill()
            raise SandboxError(f"the sandbox did not start; {log} ends with: {log.read_text()[-1000:]}")
        self._port = int(self.url.rpartition(":")[2])

    def stop(self) -> None:
        """Stop it cleanly; kill it if it does not end."""
        self.kill(signal.SIGTERM)

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Send it a signal that ends it, and wait for its end. Does nothing if it does not run."""
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(number)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()

    def restart(self) -> None:
        """Stop it if it runs, and start it on the same port with all it remembers; its fault rules are gone."""
        self.stop()
        self.start()

    def bill(self, *, provider: str | None = None, account: str | None = None) -> list[dict[str, Any]]:
        """Return the lines of the bill, one for each accepted submission (see `sandbox.bill`)."""
        asked = {name: value for name, value in (("provider", provider), ("account", account)) if value is not None}
        lines: list[dict[str, Any]] = self._ask("GET", "bill", params=asked)["lines"]
        return lines

    def jobs(self) -> list[dict[str, Any]]:
        """Return the accepted jobs in full."""
        jobs: list[dict[str, Any]] = self._ask("GET", "jobs")
        return jobs

    def stats(self) -> dict[str, Any]:
        """Return the counts since the last start (see `sandbox.stats`)."""
        stats: dict[str, Any] = self._ask("GET", "stats")
        return stats

    def add_fault(self, fault: str, *, where: dict[str, str] | None = None, **more: object) -> None:
        """Add a rule, for instance ``add_fault("throttle", where={"provider": "zhiqite"}, times=3, retry_after=2)``."""
        self._ask("POST", "faults", json={"fault": fault, "where": where or {}, **more})

    def faults(self) -> list[dict[str, Any]]:
        """Return the rules in force, with how often each has fired."""
        faults: list[dict[str, Any]] = self._ask("GET", "faults")
        return faults

    def clear_faults(self) -> None:
        """Drop all rules."""
        self._ask("DELETE", "faults")

    def _running(self) -> subprocess.Popen[str]:
        if self._process is None:
            raise SandboxError("the sandbox is not running")
        return self._process

    def _ask(self, method: str, page: str, **more: Any) -> Any:
        with Client(timeout=ASK_SECONDS, trust_env=False) as client:
            headers = {"Authorization": f"Bearer {token_of(self.config.home)}"}
            answer = client.request(method, f"{self.url}/_sandbox/{page}", headers=headers, **more)
        if answer.is_client_error:
            raise ValueError(answer.text)
        answer.raise_for_status()
        return answer.json()


def sandbox_accounts(url: str) -> dict[str, dict[str, Any]]:
    """Return the tables of an accounts file for accounts at the sandbox at `url`, one for each provider."""
    common = {"allow_hosts": ["127.0.0.1"], "poll_every": "0.5s", "max_in_flight": 32, "deadline": "5min"}
    return {
        f"sandbox-{provider}": {
            "provider": provider,
            "base_url": f"{url}/{provider}",
            "prices": _prices(provider),
            **common,
            **own,
        }
        for provider, own in _own_settings(url).items()
    }


def _own_settings(url: str) -> dict[str, dict[str, Any]]:
    """Return the settings that only one provider has, by provider: its credentials and addresses."""
    return {
        "zhiqite": {"access_key_id": CREDENTIAL, "access_key_secret": CREDENTIAL},
        "qolaba": {"token": CREDENTIAL},
        # Two inbox calls less than 3 s apart are rejected, and requests can overtake each other a little.
        "piktid": {"email": f"{CREDENTIAL}@example.org", "password": CREDENTIAL, "poll_every": "3.2s"},
        "hidream": {
            "api_key": CREDENTIAL,
            "token_url": f"{url}/hidream/prod-api/user/apikey2token",
            "image_url": f"{url}/hidream/image/{{id}}.jpg",
        },
        "replicate": {"token": CREDENTIAL, "webhook_secret": WEBHOOK_SECRET},
    }


def _prices(provider: str) -> dict[str, str]:
    """Return the sandbox's own prices as an accounts file has them."""
    return {
        name.partition(".")[2]: f"{price} {CURRENCY}" if name in PER_CALL else f"{price} {CURRENCY}/picture"
        for name, price in PRICES.items()
        if name.startswith(f"{provider}.")
    }


def _arguments(config: SandboxConfig, port: int) -> list[str]:
    """Return `config` as the command line of ``python -m sandbox``."""
    arguments = [
        f"--home={config.home.resolve()}",
        f"--port={port}",
        f"--pictures={config.pictures}",
        f"--latency={config.latency}",
        f"--spread={config.spread}",
        f"--results-expire={config.results_expire}",
        f"--duplicates={config.duplicates}",
        f"--callback-scale={config.callback_scale}",
        f"--inbox-expire={config.inbox_expire}",
        f"--inbox-gap={config.inbox_gap}",
        f"--seed={config.seed}",
        f"--parent={os.getpid()}",
    ]
    arguments += [f"--latency-of={name}={seconds}" for name, seconds in config.latencies.items()]
    if config.files_expire is not None:
        arguments.append(f"--files-expire={config.files_expire}")
    if config.tokens_expire is not None:
        arguments.append(f"--tokens-expire={config.tokens_expire}")
    return arguments
