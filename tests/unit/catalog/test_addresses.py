"""The addresses that a catalog's rows name, looked at before anything is enqueued."""

from __future__ import annotations

import threading
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from catalog import addresses
from catalog.addresses import dead_addresses
from catalog.intake import take_in
from catalog.rows import open_rows
from tests.hostile.saving import file_server, status
from tests.words import unsaid
from workers.config.accounts import parse
from workers.engine import looks
from workers.jobs.routing import Reach

ACCOUNTS = {
    "main": parse(
        "main",
        {
            "provider": "zhiqite", "access_key_id": "i", "access_key_secret": "s", "allow_hosts": ["127.0.0.1"],
            "base_url": "http://127.0.0.1:9",
        },
    )
}  # fmt: skip
REACH = Reach(public_url=True, presigned=False)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(looks, "NOBODY_PAUSES", (0.01,))


def test_each_row_with_an_address_that_leads_nowhere_is_named(tmp_path: Path) -> None:
    with file_server() as files:
        fine, gone = files.offer("/fine", b"x"), files.offer("/gone", status(410))
        ill, moved = files.offer("/ill", status(503)), files.offer("/moved", status(302, Location=gone))
        named = [fine, gone, "https://no-such-host.invalid/x.jpg", ill, moved, "http://10.0.0.1/private.jpg"]
        rows = "".join(f"k{number},swap,{fine},{url}\n" for number, url in enumerate(named))
        (tmp_path / "shop.csv").write_text(f"key,kind,source,target\n{rows}")
        with take_in(open_rows(str(tmp_path / "shop.csv")), ACCOUNTS, REACH) as intake:
            found = dead_addresses(intake, ACCOUNTS)
            left = dead_addresses(intake, ACCOUNTS, {"k1", "k2", "k4"})
    by_line = {mistake.line: mistake for mistake in found}
    assert sorted(by_line) == [3, 4, 6, 7], "one that is ill now may be well later"
    assert unsaid(str(by_line[3]), "target", gone, 410) == []
    assert unsaid(str(by_line[4]), "target", "no-such-host.invalid") == []
    assert [mistake.key for mistake in left] == ["k5"]
    assert files.asked.count("/fine") == 2, "an address is looked at once for all rows"


def test_looking_ends_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(addresses, "WITHIN_SECONDS", 0.2)
    with file_server() as files:
        over = threading.Event()

        def slow(_: BaseHTTPRequestHandler) -> None:
            over.wait(30)

        url = files.offer("/slow", slow)
        (tmp_path / "shop.csv").write_text(f"key,kind,source,target\nk,swap,{url},{url}\n")
        with take_in(open_rows(str(tmp_path / "shop.csv")), ACCOUNTS, REACH) as intake:
            began = time.monotonic()
            assert dead_addresses(intake, ACCOUNTS) == []
            assert time.monotonic() - began < 10.0
        over.set()
