"""What the sandbox's process is started with, and the accounts that lead to it."""

from __future__ import annotations

from pathlib import Path

from sandbox import SandboxConfig, sandbox_accounts
from sandbox.__main__ import _arguments as read_arguments
from sandbox.__main__ import _config as read_config
from sandbox.app import PROVIDERS
from sandbox.child import _arguments
from workers.config.accounts import parse


def test_accounts_point_at_the_sandbox_and_are_accounts() -> None:
    url = "http://127.0.0.1:4711"
    accounts = sandbox_accounts(url)
    assert {table["base_url"] for table in accounts.values()} == {f"{url}/{name}" for name in PROVIDERS}
    assert accounts["sandbox-qolaba"]["prices"]["consistency"] == "0.03 USD/picture"
    assert accounts["sandbox-hidream"]["prices"]["variation"] == "0.06 USD"
    for name, table in accounts.items():
        account = parse(name, table)
        assert account.prices.keys() >= {operation.partition(".")[2] for operation in account.operations}


def test_every_setting_reaches_the_child(tmp_path: Path) -> None:
    config = SandboxConfig(
        home=tmp_path, pictures="cheap", latency=0.5, spread=0.25, latencies={"piktid": 2.0}, files_expire=3.0,
        results_expire=4.0, duplicates="bill", callback_scale=0.5, tokens_expire=5.0, inbox_expire=6.0, inbox_gap=7.0,
        seed=8,
    )  # fmt: skip
    assert read_config(read_arguments(_arguments(config, 0))) == config
