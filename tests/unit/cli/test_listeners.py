"""Ports and hosts are bound before a process starts, and what is in the way is told by the setting that names it."""

from __future__ import annotations

import socket
from contextlib import closing

import pytest

from cli.listeners import bound, listens, place, url, url_of
from tests.words import names
from workers.config.settings import SettingsError

NAMED = ("RECAST_WEB_HOST", "RECAST_WEB_PORT")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "0.0.0.0", "localhost"])  # noqa: S104 - for a moment
def test_any_address_of_this_machine_is_bound_and_reached(host: str) -> None:
    with closing(bound(host, 0, named_by=NAMED)) as made:
        assert not listens(place(made))
        made.listen()
        assert listens(place(made))
        assert url(made) == url_of(*place(made))


@pytest.mark.parametrize("taken_by", ["127.0.0.1", "0.0.0.0"])  # noqa: S104 - for a moment
def test_a_port_in_use_is_told_by_its_setting(taken_by: str) -> None:
    with closing(socket.create_server((taken_by, 0))) as other:
        port = other.getsockname()[1]
        with pytest.raises(SettingsError, match=names("RECAST_WEB_PORT", port)):
            bound("127.0.0.1", port, named_by=NAMED)


def test_an_address_that_this_machine_has_not_is_told_by_its_setting() -> None:
    with pytest.raises(SettingsError, match=names("RECAST_WEB_HOST", "192.0.2.7")):
        bound("192.0.2.7", 0, named_by=NAMED)


def test_what_is_no_host_is_not_repeated() -> None:
    with pytest.raises(SettingsError, match=names("RECAST_WEB_HOST")) as caught:
        bound("no-such-host.invalid", 0, named_by=NAMED)
    assert "no-such-host" not in str(caught.value)


def test_an_address_for_everybody_is_shown_as_one_that_can_be_opened() -> None:
    assert url_of("0.0.0.0", 8765) == "http://127.0.0.1:8765"  # noqa: S104 - compared
    assert url_of("::", 8765) == "http://[::1]:8765"
    assert url_of("10.0.0.7", 8765) == "http://10.0.0.7:8765"
