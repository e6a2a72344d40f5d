"""Connections to `recast web`: how many there may be, how long each may wait, and which make room for a new one.

A client that connects and says nothing costs others nothing: when an address, or everybody together, has as many
connections as it may, those that have waited the longest are dropped, and only then is a new one refused.
"""

from __future__ import annotations

import heapq
import math
import resource
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from enum import IntEnum
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Final, Protocol

MOST: Final = 1024  # connections in all, of some 30 KB each
PER_PLACE: Final = 512  # connections from one address: no address can have all of them
KEPT_FILES: Final = 200  # descriptors for everything else: pictures that are served, the database, logs
ROOM: Final = 32  # connections dropped at once, so that a flood does not cost a look at all of them each time
WAITING_OF_4: Final = 3  # quarters of an address's connections that may wait for turns, so that others find room
CROWDED_SECONDS: Final = 0.05  # for which an address is believed to be crowded: all of it is looked at for that
IPV6_PLACE: Final = 64  # bits: a client that has one IPv6 address has all 2^64 with this prefix


#: Of a request's scope: its connection, where one is counted here.
CONNECTION: Final = "recast.connection"


class Phase(IntEnum):
    """What a connection waits for, in the order in which connections make room for new ones."""

    CLOSING = 1  # the other side's end, after everything was said
    SILENT = 2  # the first request, of which no more than a part has come
    IDLE = 3  # another request
    TURN = 4  # its turn to try a secret
    BODY = 5  # the rest of a request's body
    READING = 6  # the other side to read what it is sent
    BUSY = 7  # our own answer


#: Seconds after which a connection that waits is ended. A request's headers are one packet, a callback's body a few.
LONGEST: Mapping[Phase, float] = {
    Phase.CLOSING: 2.0,
    Phase.SILENT: 10.0,
    Phase.IDLE: 15.0,
    Phase.TURN: 60.0,
    Phase.BODY: 20.0,
    Phase.READING: 30.0,
    Phase.BUSY: math.inf,
}
#: Seconds for which a connection that waits is spared when room is needed.
SPARED: Mapping[Phase, float] = {
    Phase.CLOSING: 0.0,
    Phase.SILENT: 0.0,
    Phase.IDLE: 0.0,
    Phase.TURN: 0.0,
    Phase.BODY: 1.0,
    Phase.READING: 5.0,
    Phase.BUSY: math.inf,
}

Network = IPv4Network | IPv6Network


class Connection(Protocol):
    """What is known of one connection."""

    place: str

    def waiting(self, now: float) -> tuple[Phase, float]:
        """What it waits for, and for how many seconds."""
        ...

    def drop(self) -> None:
        """End it at once."""
        ...


class Connections:
    """The open connections.

    Args:
        trusted: networks of proxies, which speak for many and have no limit of their own.
        most: connections in all.
        per_place: connections from one address.
    """

    def __init__(self, trusted: Iterable[Network] = (), most: int = MOST, per_place: int = PER_PLACE) -> None:
        self._trusted = tuple(trusted)
        self._most, self._per_place = most, per_place
        self._waiting_per_place = per_place * WAITING_OF_4 // 4
        #: Whether those that wait too long are looked for.
        self.watched = False
        self._open: dict[Connection, None] = {}
        self._by_place: defaultdict[str, dict[Connection, None]] = defaultdict(dict)
        self._crowded_until: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._open)

    def admit(self, connection: Connection, now: float) -> bool:
        """Let a new connection in, for which others may be dropped; False where none can make room."""
        same = self._by_place[connection.place]
        if len(same) >= self._per_place and not self._is_trusted(connection.place) and not self._make_room(same, now):
            return False
        if len(self._open) >= self._most and not self._make_room(self._open, now):
            return False
        self._open[connection] = self._by_place[connection.place][connection] = None
        return True

    def is_crowded(self, place: str, now: float) -> bool:
        """Whether as many requests from `place` wait for their turns as may."""
        if now < self._crowded_until.get(place, 0.0):
            return True
        same = self._by_place.get(place, {})
        if len(same) < self._waiting_per_place or self._is_trusted(place):
            return False
        if sum(connection.waiting(now)[0] is Phase.TURN for connection in same) < self._waiting_per_place:
            return False
        self._crowded_until[place] = now + CROWDED_SECONDS
        return True

    def leave(self, connection: Connection) -> None:
        """Forget a connection that has ended."""
        self._open.pop(connection, None)
        same = self._by_place[connection.place]
        same.pop(connection, None)
        if not same:
            del self._by_place[connection.place]
            self._crowded_until.pop(connection.place, None)

    def end_overdue(self, now: float) -> None:
        """Drop the connections that have waited too long."""
        for connection in list(self._open):
            phase, seconds = connection.waiting(now)
            if seconds > LONGEST[phase]:
                self._drop(connection)

    def end(self, last: Phase, now: float) -> None:
        """Drop the connections that wait for no more than `last`."""
        for connection in list(self._open):
            if connection.waiting(now)[0] <= last:
                self._drop(connection)

    def _make_room(self, crowd: Collection[Connection], now: float) -> bool:
        waits = ((connection, *connection.waiting(now)) for connection in crowd)
        spare = [(phase, -seconds, connection) for connection, phase, seconds in waits if seconds >= SPARED[phase]]
        chosen = heapq.nsmallest(min(ROOM, max(1, len(crowd) // 16)), spare, key=lambda item: item[:2])
        for *_, connection in chosen:
            self._drop(connection)
        return bool(chosen)

    def _drop(self, connection: Connection) -> None:
        self.leave(connection)
        connection.drop()

    def _is_trusted(self, place: str) -> bool:
        try:
            return any(ip_network(place).overlaps(network) for network in self._trusted)
        except ValueError:
            return False


@lru_cache(maxsize=MOST)
def place_of(host: str) -> str:
    """The address by which connections are counted; a part of the network for IPv6."""
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return host
    mapped = getattr(address, "ipv4_mapped", None) or address
    if mapped.version == 4:  # noqa: PLR2004 - of the protocol
        return str(mapped)
    return str(ip_network(f"{mapped}/{IPV6_PLACE}", strict=False))


def most_connections(wanted: int = MOST) -> int:
    """How many connections this process has descriptors for, at most `wanted`; its soft limit is raised for them."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + KEPT_FILES
    if resource.RLIM_INFINITY in (soft, hard) or soft >= needed:
        return wanted
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(needed, hard), hard))
    return max(1, min(wanted, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - KEPT_FILES))
