"""The sandbox as a program: ``python -m sandbox --home FOLDER``. When ready, it prints its address, nothing else."""

from __future__ import annotations

import argparse
import signal
import socket
import sys
from pathlib import Path

import uvicorn

from devstack.launch import die_with
from sandbox.app import build
from sandbox.config import SandboxConfig
from sandbox.door import Door, token_of
from sandbox.transport import ResettableProtocol
from workers import private

STOP_SECONDS = 1  # for requests in flight at a stop; those that a fault leaves without an answer would wait forever


class _Server(uvicorn.Server):
    """A server that prints its address once it listens."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if not self.should_exit:
            host, port = self.servers[0].sockets[0].getsockname()[:2]
            print(f"http://{host}:{port}", flush=True)  # noqa: T201 (the parent reads it)


def _arguments(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m sandbox", description="A local simulator of every provider's API, with faults and a bill."
    )
    parser.add_argument("--home", type=Path, required=True, help="folder for the bill, the jobs and the pictures")
    parser.add_argument("--port", type=int, default=0, help="0 picks a free port")
    parser.add_argument("--fd", type=int, help="descriptor of a bound socket to listen on, instead of --port")
    parser.add_argument("--pictures", choices=("real", "cheap"), default="real")
    parser.add_argument("--latency", type=float, default=1.0, metavar="SECONDS")
    parser.add_argument(
        "--spread", type=float, default=0.0, metavar="SECONDS", help="standard deviation of the latency"
    )
    parser.add_argument("--latency-of", action="append", default=[], metavar="PROVIDER=SECONDS")
    parser.add_argument("--files-expire", type=float, metavar="SECONDS")
    parser.add_argument("--results-expire", type=float, default=14_400.0, metavar="SECONDS")
    parser.add_argument("--duplicates", choices=("refuse", "bill"), default="refuse")
    parser.add_argument("--callback-scale", type=float, default=1.0, metavar="FACTOR")
    parser.add_argument("--tokens-expire", type=float, metavar="SECONDS")
    parser.add_argument("--inbox-expire", type=float, default=600.0, metavar="SECONDS")
    parser.add_argument("--inbox-gap", type=float, default=3.0, metavar="SECONDS")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--parent", type=int, metavar="PID", help="exit with this process, which must be the parent")
    return parser.parse_args(arguments)


def _config(asked: argparse.Namespace) -> SandboxConfig:
    return SandboxConfig(
        home=asked.home,
        pictures=asked.pictures,
        latency=asked.latency,
        spread=asked.spread,
        latencies={name: float(seconds) for name, _, seconds in (text.partition("=") for text in asked.latency_of)},
        files_expire=asked.files_expire,
        results_expire=asked.results_expire,
        duplicates=asked.duplicates,
        callback_scale=asked.callback_scale,
        tokens_expire=asked.tokens_expire,
        inbox_expire=asked.inbox_expire,
        inbox_gap=asked.inbox_gap,
        seed=asked.seed,
    )


def main(arguments: list[str]) -> None:
    """Serve on loopback until a stop signal arrives."""
    private.begin()
    asked = _arguments(arguments)
    if asked.parent and sys.platform == "linux":
        die_with(asked.parent, signal.SIGKILL)
    server = _Server(
        uvicorn.Config(
            Door(build(_config(asked)), token_of(asked.home)),
            host="127.0.0.1",
            port=asked.port,
            fd=asked.fd,
            http=ResettableProtocol,
            ws="none",
            lifespan="on",
            log_level="warning",
            access_log=False,
            timeout_graceful_shutdown=STOP_SECONDS,
        )
    )
    server.run()


if __name__ == "__main__":
    main(sys.argv[1:])
