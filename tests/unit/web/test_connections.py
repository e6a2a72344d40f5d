"""How many connections there may be, which make room, and which have waited too long."""

from __future__ import annotations

import resource
from ipaddress import ip_network

import pytest

from web import connections
from web.connections import LONGEST, Connections, Phase, most_connections, place_of


class Line:
    """A connection that waits for `phase` since `since`."""

    def __init__(self, phase: Phase, place: str = "192.0.2.1", since: float = 0.0) -> None:
        self.phase, self.place, self.since = phase, place, since
        self.dropped = False

    def waiting(self, now: float) -> tuple[Phase, float]:
        return self.phase, now - self.since

    def drop(self) -> None:
        self.dropped = True


def full(*lines: Line, **limits: int) -> Connections:
    made = Connections([ip_network("10.0.0.0/8")], **limits)
    assert all(made.admit(line, 0.0) for line in lines)
    return made


@pytest.mark.parametrize("limits", [{"most": 3}, {"per_place": 3}], ids=["in all", "of an address"])
def test_the_one_that_has_been_silent_longest_makes_room(limits: dict[str, int]) -> None:
    lines = [Line(Phase.BUSY), Line(Phase.SILENT, since=2.0), Line(Phase.SILENT, since=1.0)]
    made = full(*lines, **limits)
    assert made.admit(Line(Phase.SILENT), 3.0)
    assert [line.dropped for line in lines] == [False, False, True]


def test_what_is_being_answered_or_has_just_begun_makes_no_room() -> None:
    lines = [Line(Phase.BUSY), Line(Phase.BODY, since=9.5), Line(Phase.READING, since=6.0)]
    made = full(*lines, most=3)
    assert not made.admit(Line(Phase.SILENT), 10.0)
    assert not any(line.dropped for line in lines)
    assert made.admit(Line(Phase.SILENT), 11.0)
    assert lines[2].dropped or lines[1].dropped


def test_an_address_cannot_have_all_connections_but_a_proxy_can() -> None:
    made = full(*[Line(Phase.BUSY) for _ in range(3)], most=10, per_place=3)
    assert not made.admit(Line(Phase.SILENT), 1.0)
    assert made.admit(Line(Phase.SILENT, "192.0.2.2"), 1.0)
    assert all(made.admit(Line(Phase.BUSY, "10.1.2.3"), 1.0) for _ in range(5))


@pytest.mark.parametrize("phase", [phase for phase in Phase if phase is not Phase.BUSY])
def test_each_wait_ends(phase: Phase) -> None:
    line = Line(phase)
    made = full(line, Line(Phase.BUSY))
    made.end_overdue(LONGEST[phase])
    assert len(made) == 2
    made.end_overdue(LONGEST[phase] + 1)
    assert (line.dropped, len(made)) == (True, 1)


def test_at_the_end_all_that_wait_for_others_are_dropped() -> None:
    lines = [Line(phase) for phase in Phase]
    made = full(*lines)
    made.end(Phase.BODY, 1.0)
    assert {line.phase for line in lines if not line.dropped} == {Phase.READING, Phase.BUSY}
    assert len(made) == 2


def test_one_that_has_left_is_not_counted() -> None:
    lines = [Line(Phase.BUSY) for _ in range(3)]
    made = full(*lines, most=3)
    made.leave(lines[0])
    made.leave(lines[0])
    assert made.admit(Line(Phase.SILENT), 1.0)


@pytest.mark.parametrize(
    ("host", "place"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("unix", "unix"),
        ("", ""),
    ],
)
def test_addresses_of_one_holder_are_one_place(host: str, place: str) -> None:
    assert place_of(host) == place


def test_no_more_connections_are_let_in_than_there_are_descriptors(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = [(256, 256)]
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits[-1])
    monkeypatch.setattr(resource, "setrlimit", lambda _, wanted: limits.append(wanted))
    assert most_connections(1000) == 256 - connections.KEPT_FILES
    limits.append((256, 4096))
    assert most_connections(1000) == 1000
