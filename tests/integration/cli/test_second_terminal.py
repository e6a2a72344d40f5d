"""What a second terminal shows of a deployment that runs in the first: the display, the logs, the web's address."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import http
from tests.integration.cli.desk import PORTRAIT, SECONDS, SWAP, Desk, read_until
from tests.stack import wait_for
from tests.words import unsaid


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path)
    yield desk
    desk.close()


@pytest.mark.long
def test_a_batch_is_watched_from_a_second_terminal(desk: Desk) -> None:
    catalog = desk.catalog(SWAP, PORTRAIT)
    code, out = desk.recast("run", catalog, "--no-wait")
    assert code == 0, out
    # Nothing runs: it says so, and does not wait for workers that its own servers would keep from starting.
    for words in (("watch", "shoes"), ("status", "--watch")):
        code, out = desk.recast(*words)
        assert (code, unsaid(out, "shoes", "2 queued", "recast up --sandbox")) == (3, []), out
    up = desk.start("up")
    said = read_until(up, "sign in as recast with")
    (link,) = re.findall(r"^  web +(\S+)$", said, re.MULTILINE)
    password = re.findall(r"sign in as recast with ([^\s;]+)", said)[0]
    # The link works with the name and the password beside it, which are not in it.
    assert password not in link
    assert http.get(link, auth=("recast", password), timeout=60).status_code == 200
    assert desk.recast("open") == (0, f"{link}\n")
    code, out = desk.recast("open", "shoes")
    assert (code, out.startswith(f"{link}/")) == (0, True), out
    assert http.get(out.strip(), auth=("recast", password), timeout=60).status_code == 200
    # On a crowded machine the database may answer too late for a person who waits.
    wait_for(lambda: desk.completed("recast status --sandbox sh") == ["shoes"], message="the batch to be completed")
    code, out = desk.recast("logs", "worker", "--lines", "1")
    assert (code, len(out.splitlines())) == (0, 1), out

    code, out = desk.recast("watch", "shoes")
    assert (code, unsaid(out, "shoes", "succeeded")) == (0, []), out
    assert desk.json("watch", "shoes")["states"]["succeeded"] == 2
    code, out = desk.recast("watch", "shoe")
    assert (code, unsaid(out, "shoe", "shoes")) == (2, []), out
    code, out = desk.recast("status", "--watch", "--json")
    assert code == 2, out

    # Ctrl-C ends the display alone.
    listing = desk.start("status", "--watch")
    read_until(listing, "shoes.* 2 succeeded")
    listing.send_signal(signal.SIGINT)
    out, _ = listing.communicate(timeout=SECONDS)
    assert (listing.returncode, unsaid(out, "recast status --sandbox")) == (130, []), out

    # The end of the first terminal ends the list, which has nothing more to show.
    listing = desk.start("status", "--watch")
    read_until(listing, "shoes.* 2 succeeded")
    up.send_signal(signal.SIGINT)
    up.communicate(timeout=SECONDS)
    out, _ = listing.communicate(timeout=SECONDS)
    assert (listing.returncode, unsaid(out, "recast up --sandbox")) == (4, []), out
