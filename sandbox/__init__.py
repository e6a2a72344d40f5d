"""The provider sandbox: every provider's API on one port of this machine, with real pictures, faults and a bill.

It is written from the providers' documents and shares no code with `providers/`, so that a misreading there shows.

    with Sandbox(SandboxConfig(home=folder)) as sandbox:
        accounts = sandbox_accounts(sandbox.url)
        ...
        sandbox.kill(); sandbox.restart()      # it remembers what it accepted
        assert len(sandbox.bill()) == attempts
"""

from __future__ import annotations

from sandbox.child import Sandbox, SandboxError, sandbox_accounts
from sandbox.config import SandboxConfig

__all__ = ["Sandbox", "SandboxConfig", "SandboxError", "sandbox_accounts"]
