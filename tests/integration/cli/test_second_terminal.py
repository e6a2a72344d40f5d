"""What a second terminal shows of a deployment that runs in the first: the display, the logs, the web's address."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from desk.local_links import FRAGMENT
from tests.integration.cli.desk import PORTRAIT, SECONDS, SWAP, Desk, entered, read_until
from tests.stack import wait_for
from tests.words import unsaid


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path)
    yield desk
    desk.close()


@pytest.mark.long
def test_a_batch_is_watched_from_a_second_terminal(desk: Desk, tmp_path: Path) -> None:
    catalog = desk.catalog(SWAP, PORTRAIT)
    code, out = desk.recast("run", catalog, "--no-wait")
    assert code == 0, out
    # Nothing runs: it says so, and does not wait for workers that its own servers would keep from starting.
    for words in (("watch", "shoes"), ("status", "--watch")):
        code, out = desk.recast(*words)
        assert (code, unsaid(out, "shoes", "2 queued", "recast up --sandbox")) == (3, []), out
    up = desk.start("up")
    said = read_until(up, "signs in once")
    (link,) = re.findall(r"^  web +(\S+)$", said, re.MULTILINE)
    assert entered(link).url.path == "/today"
    assert entered(link).status_code == 422, "it was used"
    opened = desk.json("open")
    assert opened["signs_in"] is True
    assert opened["url"] != link
    assert entered(opened["url"]).status_code == 200
    code, out = desk.recast("open", "shoes")
    page = entered(out.strip())
    assert (code, page.status_code, page.url.path.startswith("/batches/")) == (0, 200, True), out
    kept = (path.read_text(errors="replace") for path in (tmp_path / ".recast").rglob("*.log"))
    assert FRAGMENT not in "".join(kept), "keys are in no log"
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
