"""One deployment with one worker for the tests that only use it from outside."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sandbox import SandboxConfig
from tests.stack import Stack, running


@pytest.fixture(scope="session")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Servers, sandbox with cheap pictures, and one worker."""
    home = tmp_path_factory.mktemp("deployment")
    config = SandboxConfig(home=home / "sandbox", pictures="cheap", latency=0.3)
    # The sandbox does not fetch cheap inputs, so nothing needs to listen at the public URL.
    with running(home, config, RECAST_PUBLIC_URL="http://127.0.0.1:9") as stack:
        stack.only("sandbox-zhiqite", "sandbox-qolaba")
        stack.worker().wait_ready()
        yield stack
