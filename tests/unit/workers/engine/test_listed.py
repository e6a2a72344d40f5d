"""An option whose values the provider lists: what is refused, and when the list is read."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest

from providers import operation
from providers.protocol import UnclearError
from providers.spec import Choice
from tests.words import names
from workers.engine import listed
from workers.engine.listed import LIST_SECONDS, NEW_SECONDS, UnlistedError, check_listed

VARIATION, SWAP = operation("hidream.variation"), operation("zhiqite.swap")


class Desk:
    """A worker, its clock, and a provider with a list."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *values: int) -> None:
        self.values, self.reads, self.now, self.fails = list(values), 0, 1_000.0, False
        self.listed: dict[str, Any] = {}
        monkeypatch.setattr(listed, "clock", lambda: self.now)

    def one_at_a_time(self, _: str) -> asyncio.Lock:
        return asyncio.Lock()

    async def choices(self) -> Sequence[Choice]:
        self.reads += 1
        if self.fails:
            raise UnclearError("HTTP 502")
        return [Choice(value, {}) for value in self.values]

    def check(self, template: int | None, of: Any = VARIATION) -> None:
        account = cast("Any", SimpleNamespace(name="main", provider="hidream"))
        options = {} if template is None else {"template_id": template}
        asyncio.run(check_listed(cast("Any", self), account, cast("Any", self), of, options))


def test_an_unknown_value_is_refused_by_name_with_the_nearest(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk(monkeypatch, 1, 20, 40)
    desk.check(20)
    with pytest.raises(UnlistedError, match=names("template_id", 22, 20, "recast accounts templates main")):
        desk.check(22)
    assert desk.reads == 1


def test_a_list_is_kept_and_read_again_for_what_it_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk(monkeypatch, 1)
    desk.check(1)
    desk.now += LIST_SECONDS
    desk.check(1)
    assert desk.reads == 1
    desk.values.append(2)
    desk.check(2)
    assert desk.reads == 2
    desk.now += NEW_SECONDS
    with pytest.raises(UnlistedError):
        desk.check(3)
    assert desk.reads == 2
    desk.now += 2 * LIST_SECONDS
    desk.check(1)
    assert desk.reads == 3


def test_a_list_that_cannot_be_read_refuses_nothing_and_is_not_asked_for_by_every_job(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    desk = Desk(monkeypatch, 1)
    desk.fails = True
    for _ in range(3):
        desk.check(7)
    assert desk.reads == 1


def test_other_operations_have_no_list(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk(monkeypatch)
    desk.check(7, SWAP)
    desk.check(None)
    assert desk.reads == 0
