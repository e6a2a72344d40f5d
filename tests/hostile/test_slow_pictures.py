"""Slow and large pictures: what each costs, and that nothing beside it waits."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from models.results import Provenance
from tests.hostile import costs, manifests, slow_pictures
from tests.hostile.cases import Case, Fate
from tests.stack import ROOT
from tests.words import unsaid
from workers.images.decoding import MAX_DECODED_BYTES, Budget, decoded
from workers.images.headers import inspect
from workers.images.provenance import SOURCE_TYPES
from workers.images.segments import BadPictureError
from workers.images.xmp import MAX_PACKET_BYTES, stated, with_source_type

#: What a picture with credentials states, of which kind, and whether it was left as it was.
BECOMES: Mapping[str, list[object]] = {
    manifests.READ: [Provenance.CREDENTIALS, manifests.TERM, True],
    manifests.UNKNOWN: [Provenance.CREDENTIALS, None, True],
    manifests.CUT: [Provenance.MARK, SOURCE_TYPES["swap"], False],
    manifests.NONE: [Provenance.MARK, SOURCE_TYPES["swap"], False],
}
MOST_CPU_SECONDS = 2.0
MOST_MEGABYTES = 300.0
SLOWER = 4.0  # than linear, at most, where time is measured in a crowd

#: Packets of n bytes that patterns or parsers might read again and again.
GROWING: Mapping[str, Callable[[int], bytes]] = {
    "opened source types": lambda n: slow_pictures.OPENING * (n // len(slow_pictures.OPENING)),
    "source types that never end": lambda n: (b"<a:DigitalSourceType " * n)[:n],
    "attributes without an end": lambda n: slow_pictures.packet_of(b"<b" + b" a:DigitalSourceType='" * (n // 23)),
    "one tag of spaces": lambda n: slow_pictures.packet_of(b"<b" + b" " * n + b"/>"),
    "nested elements": lambda n: slow_pictures.packet_of(b"<b>" * (n // 7) + b"</b>" * (n // 7)),
    "closings": lambda n: slow_pictures.packet_of(b"<r:RDF></r:RDF>" * (n // 15)),
    "a source type of lines": lambda n: slow_pictures.packet_of(
        b"<a:DigitalSourceType>" + b"\n" * n + b"</a:DigitalSourceType>"
    ),
    "quotes": lambda n: slow_pictures.packet_of(b'<b a="' + b"'" * n + b'"/>'),
}


def test_slow_pictures_are_refused_or_cheap() -> None:
    """One test, because one process measures all of them."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.hostile.costs"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    found: dict[str, dict[str, Any]] = json.loads(done.stdout)
    assert len(found) == len(costs.CASES)
    dear = {name: cost for name, cost in found.items() if cost["seconds"] >= MOST_CPU_SECONDS}
    large = {name: cost for name, cost in found.items() if cost["megabytes"] >= MOST_MEGABYTES}
    wrong = {case.name: said for case in costs.CASES if (said := _wrong(case, found[case.name]["error"]))}
    assert (dear, large, wrong) == ({}, {}, {})
    becomes = {case.name: found[case.name]["stated"] for case in manifests.CASES}
    assert becomes == {case.name: BECOMES[case.says] for case in manifests.CASES}


def _wrong(case: Case, error: str | None) -> list[str]:
    """What is wrong about the refusal of a picture."""
    if case.fate is Fate.REFUSED:
        return unsaid(error or "", *case.facts)
    return [error] if error is not None else []


@pytest.mark.parametrize("name", GROWING)
def test_the_time_to_read_and_edit_a_packet_grows_with_its_length(name: str) -> None:
    short, long = (GROWING[name](size) for size in (MAX_PACKET_BYTES // 16, MAX_PACKET_BYTES - 1_000))
    assert with_source_type(long, "https://example.org/made")
    assert _seconds(long) < SLOWER * (len(long) / len(short)) * max(_seconds(short), 0.0005)


def _seconds(packet: bytes) -> float:
    """The least CPU time of a few runs: what else the machine does is not the packet's."""
    times = []
    for _ in range(5):
        began = time.process_time()
        with_source_type(packet, "https://example.org/made")
        stated(packet)
        times.append(time.process_time() - began)
    return min(times)


def test_a_picture_that_needs_too_much_memory_is_refused_before_it_is_decoded() -> None:
    data = slow_pictures.plain("JPEG", 9_000)()
    with pytest.raises(BadPictureError) as caught, decoded(data, inspect(data)):
        pytest.fail("it was decoded")
    assert unsaid(str(caught.value), "324 MB", "300 MB", "9000 x 9000") == []


def test_decodes_wait_for_memory_and_the_largest_is_never_locked_out() -> None:
    budget = Budget(10)
    with budget.taken(6), budget.taken(4):
        pass
    with budget.taken(MAX_DECODED_BYTES):
        pass
