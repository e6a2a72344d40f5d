"""How tests are handed out to the processes of `make test`."""

from __future__ import annotations

from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

#: Modules whose tests share something that takes seconds to make: one process runs all of each.
TOGETHER = {
    f"tests/integration/test_{name}.py"
    for name in ("canaries", "demo", "estimate", "flower", "gallery", "producers", "providers", "s3", "webhooks")
} | {"tests/web/test_gallery_in_a_browser.py"}


class _Scheduling(LoadScopeScheduling):  # type: ignore[misc]  # untyped
    """One test at a time, in the order of the tree, but for what stays together."""

    def _split_scope(self, nodeid: str) -> str:
        module = nodeid.partition("::")[0]
        return module if module in TOGETHER else nodeid


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> _Scheduling:
    return _Scheduling(config, log)
