"""Several workers as one program: ``python -m benchmarks.several NUMBER COMMAND...``, with beat in the first alone."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Sequence

BEAT = "-B"
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def main(arguments: Sequence[str]) -> int:
    """Start the workers, pass on the signal that ends them, and wait; returns the first exit code that is not 0."""
    number, command = int(arguments[0]), list(arguments[1:])
    workers: list[subprocess.Popen[bytes]] = []
    for index in range(number):
        own = [word for word in command if index == 0 or word != BEAT]
        workers.append(subprocess.Popen([*own, "-n", f"worker{index + 1}@%h"]))  # noqa: S603 - our own programs

    def stop(_signal: int, _frame: object) -> None:
        for worker in workers:
            worker.terminate()

    for each in STOP_SIGNALS:
        signal.signal(each, stop)
    return next((code for worker in workers if (code := worker.wait())), 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
